"""Security labels as one bigint: a bit per sensitivity code, one confidentiality bit, markers.

The order of bits is data (`data/label-bits.json`); stored rows hold them. Bits:

- confidentiality, exactly one in a resource's mask: `none` (not stated), U, L, M, N, R, V; the
  highest stated one counts. In every comparison `none` counts as N.
- sensitivity: every concrete InformationSensitivityPolicy code.
- `unknown`: a label that is none of those we know, nor known to be no sensitivity. No label-scoped
  permit covers it; a deny of a code that we do not know reaches it.
- `other`: a known security code without a bit of its own (obligations, refrains, laws, purposes);
  only denies of such codes look at it.
- NOPAT, `part2` (42 CFR Part 2 program), `victim` (victim-service provider).
- `grantees`: never of a resource, only of search rows that come from what a Consent says of its grantees.
  No Consent permits it, so that such rows are the custodian's and the survivor's.
- `element`: likewise of search rows only, of those that come from an element with labels of its own.

Pinned: hl7.org/fhir/R4/security-labels.html,
hl7.org/fhir/R4/v3/InformationSensitivityPolicy/vs.html.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from app.consent.reading import Json, coded, packaged

ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
PROGRAM_SYSTEM: Final = "https://throughline.example/fhir/CodeSystem/program"
OWN_LABEL_SYSTEM: Final = "https://throughline.example/fhir/CodeSystem/label"
"""Our code for an inherited label that we do not know: it reads back as `unknown`."""

LADDER: Final = ("U", "L", "M", "N", "R", "V")
"""Confidentiality codes, lowest first."""

_DATA: Final = packaged("label-bits.json")
_CONCEPTS: Final = packaged("security-labels.json")

_BITS: Final[dict[tuple[str, str], int]] = {
    (entry["kind"], entry["code"]): 1 << entry["bit"] for entry in _DATA["bits"]
}
_ALIASES: Final[dict[str, str]] = _DATA["aliases"]

NO_CONFIDENTIALITY: Final = _BITS["confidentiality", "none"]
NOPAT: Final = _BITS["handling", "NOPAT"]
PART2: Final = _BITS["handling", "part2"]
VICTIM: Final = _BITS["handling", "victim"]
UNKNOWN: Final = _BITS["handling", "unknown"]
OTHER: Final = _BITS["handling", "other"]
GRANTEES: Final = _BITS["handling", "grantees"]
ELEMENT: Final = _BITS["handling", "element"]

CONFIDENTIALITY: Final[dict[str, int]] = {c: _BITS["confidentiality", c] for c in LADDER}
"""The bit of each stated confidentiality."""

ALL_CONFIDENTIALITY: Final = NO_CONFIDENTIALITY | sum(CONFIDENTIALITY.values())
"""The seven bits of which a resource carries exactly one."""

SENSITIVITY: Final[dict[str, int]] = {
    c: b for (kind, c), b in _BITS.items() if kind == "sensitivity"
}
"""The bit of each concrete sensitivity code."""

ALL_SENSITIVITY: Final = sum(SENSITIVITY.values()) | UNKNOWN
"""What a label-scoped permit must cover; nothing covers `unknown`."""

ALL: Final = sum(_BITS.values())

CLOSED: Final = CONFIDENTIALITY["R"] | CONFIDENTIALITY["V"] | SENSITIVITY["LOCIS"]
"""Labels with which a directory entry is its custodian's alone."""

_PARENTS: Final[dict[str, list[str]]] = {
    c["code"]: c["parents"] for c in _CONCEPTS["sensitivity"]["concepts"]
}


def _ancestors(code: str) -> set[str]:
    found = {code}
    for parent in _PARENTS.get(code, ()):
        found |= _ancestors(parent)
    return found


_CLOSURES: Final[dict[str, int]] = {
    code: sum(bit for other, bit in SENSITIVITY.items() if code in _ancestors(other))
    for code in _PARENTS
}

_MEANING: Final[dict[tuple[str, str], int]] = (
    {(ACT_CODE, code): bit for code, bit in SENSITIVITY.items()}
    | {(CONFIDENTIALITY_SYSTEM, code): bit for code, bit in CONFIDENTIALITY.items()}
    | {
        (CONCEPT["system"], c["code"]): OTHER
        for CONCEPT in (_CONCEPTS["obligation"], _CONCEPTS["refrain"])
        for c in CONCEPT["concepts"]
    }
    | {
        (entry["system"], code): OTHER
        for entry in _DATA["not_sensitivity"]
        for code in entry.get("codes", ())
    }
    | {
        (entry["system"], entry["code"]): next(
            bit for (_, code), bit in _BITS.items() if code == entry["means"]
        )
        for entry in _DATA["equivalents"]
    }
)
_OTHER_SYSTEMS: Final = frozenset(e["system"] for e in _DATA["not_sensitivity"] if "codes" not in e)


def canonical(system: str) -> str:
    """The present URI of a code system known by several (HL7's OIDs and former URIs)."""
    return _ALIASES.get(system, system)


def label_bit(coding: Json) -> int:
    """The one bit that a security Coding means: UNKNOWN for what we do not know, never 0."""
    system, code = coded(coding)
    system = canonical(system)
    known = _MEANING.get((system, code))
    if known is not None:
        return known
    return OTHER if system in _OTHER_SYSTEMS and code else UNKNOWN


def label_mask(security: Iterable[Json]) -> int:
    """The mask of `meta.security`; one confidentiality bit: the highest stated, or `none`."""
    mask = 0
    for coding in security:
        mask |= label_bit(coding)
    return one_confidentiality(mask)


def one_confidentiality(mask: int) -> int:
    """The mask with only its highest confidentiality bit; `none` where it states none."""
    stated = [bit for bit in CONFIDENTIALITY.values() if mask & bit]
    return (mask & ~ALL_CONFIDENTIALITY) | (stated[-1] if stated else NO_CONFIDENTIALITY)


def confidentiality_at_most(bit: int) -> int:
    """The bits whose confidentiality is `bit`'s or lower; `none` counts as N."""
    covered = sum(other for other in CONFIDENTIALITY.values() if other <= bit)
    return covered | (NO_CONFIDENTIALITY if bit >= CONFIDENTIALITY["N"] else 0)


def confidentiality_at_least(bit: int) -> int:
    """The bits whose confidentiality is `bit`'s or higher; `none` counts as N."""
    reached = sum(other for other in CONFIDENTIALITY.values() if other >= bit)
    return reached | (NO_CONFIDENTIALITY if bit <= CONFIDENTIALITY["N"] else 0)


def sensitivity_closure(code: str) -> int:
    """The bits of a sensitivity code and all that it subsumes (SUD: SUD, ETHUD, OPIOIDUD).

    Abstract codes have no bit of their own, only their descendants'. KeyError for any other code.
    """
    return _CLOSURES[code]


class PermitLabels(NamedTuple):
    """The permit reading of `provision.securityLabel`.

    refused: bits none of which the resource may carry. required: bits of which it must carry one.
    unreadable: positions in the list of labels that a permit cannot be read with.
    """

    refused: int
    required: int
    unreadable: tuple[int, ...]


def _sensitivity_of(coding: Json) -> int:
    """The sensitivity and marker bits that a label of a Consent stands for, subsumption closed."""
    system, code = coded(coding)
    if canonical(system) == ACT_CODE and code in _CLOSURES:
        return _CLOSURES[code]
    bit = label_bit(coding)
    by_bit = next((c for c, b in SENSITIVITY.items() if b == bit), None)
    return _CLOSURES[by_bit] if by_bit is not None else bit


def permit_labels(wanted: tuple[Json, ...]) -> PermitLabels:
    """Read the labels of a permit: what it refuses and what it requires.

    Every sensitivity label of the resource must be covered; where a confidentiality is given, the
    resource's must be that or lower; and the resource carries a covered label or a stated, covered
    confidentiality, so that a label-scoped permit never covers an unlabelled resource.
    """
    covered, highest, unreadable = 0, 0, []
    for position, coding in enumerate(wanted):
        bits = _sensitivity_of(coding)
        if bits & (UNKNOWN | OTHER):
            unreadable.append(position)
        elif bits & ALL_CONFIDENTIALITY:
            highest = max(highest, bits)
        else:
            covered |= bits
    refused = ALL_SENSITIVITY & ~covered
    required = covered
    if highest:
        refused |= ALL_CONFIDENTIALITY & ~confidentiality_at_most(highest)
        required |= confidentiality_at_most(highest) & ~NO_CONFIDENTIALITY
    return PermitLabels(refused, required, tuple(unreadable))


def deny_labels(wanted: tuple[Json, ...]) -> int:
    """Read the labels of a deny: the bits any of which it reaches.

    A confidentiality reaches itself and above; a code without a bit reaches `unknown` or `other`;
    an abstract sensitivity reaches `unknown` too, as a resource carrying it is labelled so.
    """
    reached, lowest = 0, 0
    for coding in wanted:
        bits = _sensitivity_of(coding)
        if bits & ALL_CONFIDENTIALITY:
            lowest = min(lowest or bits, bits)
        else:
            reached |= bits | (label_bit(coding) & UNKNOWN)
    return reached | (confidentiality_at_least(lowest) if lowest else 0)


def describe(mask: int) -> tuple[str, ...]:
    """The names of the bits of a mask, in bit order (`none` is left out)."""
    return tuple(code for (_, code), bit in _BITS.items() if mask & bit and code != "none")


def label_codings(mask: int) -> tuple[dict[str, str], ...]:
    """The codings that `label_mask` reads back as this mask (`other`, `none` have none)."""
    codings = [
        {"system": CONFIDENTIALITY_SYSTEM, "code": c}
        for c, b in CONFIDENTIALITY.items()
        if mask & b
    ]
    codings += [{"system": ACT_CODE, "code": c} for c, b in SENSITIVITY.items() if mask & b]
    for bit, system, code in (
        (NOPAT, ACT_CODE, "NOPAT"),
        (PART2, ACT_CODE, "42CFRPart2"),
        (VICTIM, PROGRAM_SYSTEM, "victim-service"),
        (UNKNOWN, OWN_LABEL_SYSTEM, "unrecognised"),
    ):
        if mask & bit:
            codings.append({"system": system, "code": code})
    return tuple(codings)

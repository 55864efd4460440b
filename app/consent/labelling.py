"""Labels computed on write, from a reviewable table of codes (`data/labelling.json`).

A code that discloses something sensitive labels the resource that carries it, at any depth; labels also
climb from what the resource rests on (`inherited`) and come from the writer's program. A writer may
raise labels, never lower the computed ones. Definitional resources (a Questionnaire, a Medication)
carry the sensitivity so that it climbs, and no confidentiality, so that they stay readable.
Neighbours: `app.consent.labels` (bits). Pinned: hl7.org/fhir/R4/security-labels.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from app.consent import labels
from app.consent.reading import Json, coded, many, one, packaged, text

_TABLE: Final = packaged("labelling.json")
_ICD: Final = frozenset({"http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-10"})
_SHORTEST: Final = 2
_LONGEST: Final = 7

DEFINITIONAL: Final[frozenset[str]] = frozenset(_TABLE["definitional"]["types"])
"""Resource types that are about nobody in particular."""


class _Given(NamedTuple):
    """What a rule gives: sensitivity bits, and a confidentiality bit."""

    sensitivity: int
    confidentiality: int


def _given(entry: Json) -> _Given:
    names = entry["labels"]
    if not isinstance(names, list):
        raise TypeError("a labelling rule lacks its labels")
    bits = sum(labels.SENSITIVITY[name] for name in names)
    return _Given(bits, labels.CONFIDENTIALITY[text(entry, "confidentiality") or ""])


def _icd(code: str) -> str:
    return code.replace(".", "").upper()


_BY_CODE: Final[dict[tuple[str, str], _Given]] = {
    (rule["system"], code): _given(rule)
    for rule in _TABLE["rules"]
    for code in rule.get("codes", ())
}
_BY_PREFIX: Final[dict[tuple[str, str], _Given]] = {
    (rule["system"], _icd(prefix)): _given(rule)
    for rule in _TABLE["rules"]
    for prefix in rule.get("prefixes", ())
}
_BY_PROGRAM: Final[dict[int, _Given]] = {
    {"part2": labels.PART2, "victim": labels.VICTIM}[entry["marker"]]: _given(entry)
    for entry in _TABLE["programs"]
}


def _implied() -> dict[int, int]:
    """The highest confidentiality that any rule gives with a sensitivity bit."""
    found: dict[int, int] = {}
    for given in (*_BY_CODE.values(), *_BY_PREFIX.values(), *_BY_PROGRAM.values()):
        for bit in labels.SENSITIVITY.values():
            if given.sensitivity & bit:
                found[bit] = max(found.get(bit, 0), given.confidentiality)
    return found


_IMPLIED: Final = _implied()

CLIMBING: Final[int] = (
    labels.ALL_SENSITIVITY
    | (labels.ALL_CONFIDENTIALITY & ~labels.NO_CONFIDENTIALITY)
    | labels.NOPAT
    | labels.PART2
    | labels.VICTIM
)
"""The labels that rise from what a resource rests on."""


def _restricting() -> int:
    """The sensitivity bits that make a resource restricted; the table knows no other consequence."""
    if set(_IMPLIED.values()) != {labels.CONFIDENTIALITY["R"]}:
        raise ValueError("every labelling rule gives R; the database's climbing relies on it")
    return sum(_IMPLIED)


RESTRICTING: Final[int] = _restricting()
"""Sensitivity bits with which a resource is at least R (the database's `tl.climbed` says the same)."""

_PROGRAMS: Final = {
    (labels.PROGRAM_SYSTEM, "victim-service"): labels.VICTIM,
    (labels.PROGRAM_SYSTEM, "part2"): labels.PART2,
}


def program_of(organization: Json) -> int:
    """The program bits that an Organization's `type` says: `part2`, `victim-service`."""
    found = 0
    for concept in many(organization, "type"):
        for coding in many(concept, "coding"):
            found |= _PROGRAMS.get(coded(coding), 0)
    return found


def code_labels(codings: Iterable[Sequence[str]]) -> int:
    """The sensitivity bits that codings disclose by themselves.

    codings: (system, code) each, further items ignored; the system is "" where there is none.
    """
    found = 0
    for coding in codings:
        system, code = coding[0], coding[1]
        given = _BY_CODE.get((system, code))
        if given is not None:
            found |= given.sensitivity
        if system in _ICD:
            bare = _icd(code)
            for length in range(_SHORTEST, min(len(bare), _LONGEST) + 1):
                prefixed = _BY_PREFIX.get((system, bare[:length]))
                found |= prefixed.sensitivity if prefixed is not None else 0
    return found


def nested_labels(codings: Iterable[Sequence[str]]) -> int:
    """The labels that resources within a resource (the entries of a stored Bundle) carry, as they climb.

    codings: (system, code, FHIRPath) each, of the whole resource; its own `meta.security` is left out.
    """
    found = 0
    for system, code, path in codings:
        above, dot, element = path.rpartition(".meta.")
        if dot and element.startswith("security[") and "." in above:
            found |= labels.label_bit({"system": system, "code": code})
    return found & CLIMBING


def computed_labels(
    resource: Json, *, codings: Iterable[Sequence[str]], inherited: int, program: int
) -> int:
    """The label mask that a resource must carry at least.

    codings: every Coding at any depth, contained included: (system, code, …) each. inherited: the
    label bits of what it rests on (referenced Conditions, the Questionnaire answered, the
    Medication); those in CLIMBING count. program: PART2, VICTIM, both or 0, after the writer's program.
    """
    sensitivity = code_labels(codings) | (inherited & labels.ALL_SENSITIVITY)
    if text(resource, "resourceType") in DEFINITIONAL:
        return labels.one_confidentiality(sensitivity)
    carried = inherited & (labels.ALL_CONFIDENTIALITY | labels.NOPAT | labels.PART2 | labels.VICTIM)
    carried |= program
    for marker, given in _BY_PROGRAM.items():
        if carried & marker:
            sensitivity |= given.sensitivity
    for bit, confidentiality in _IMPLIED.items():
        if sensitivity & bit:
            carried |= confidentiality
    return labels.one_confidentiality(sensitivity | carried)


def merged_security(resource: Json, computed: int) -> list[Json]:
    """`meta.security` to be stored: the writer's codings, and the computed ones that are missing.

    Where the computed confidentiality is higher than the writer's, it takes its place. A resource that states
    none counts as N: what climbs from an entry of low confidentiality must not lower it.
    """
    written = list(many(one(resource, "meta") or {}, "security"))
    least = computed & labels.ALL_CONFIDENTIALITY & ~labels.NO_CONFIDENTIALITY
    stated = labels.label_mask(written) & labels.ALL_CONFIDENTIALITY
    if stated == labels.NO_CONFIDENTIALITY:
        stated = labels.CONFIDENTIALITY["N"] - 1
    kept: list[Json] = [coding for coding in written if not _lower(coding, least)]
    missing = computed & ~labels.label_mask(kept)
    if stated >= least:
        missing &= ~labels.ALL_CONFIDENTIALITY
    return [*kept, *labels.label_codings(missing)]


def _lower(coding: Json, least: int) -> bool:
    system, code = coded(coding)
    if labels.canonical(system) != labels.CONFIDENTIALITY_SYSTEM:
        return False
    return labels.CONFIDENTIALITY.get(code, least) < least

"""Random Consents, as the two forms of the comparison with the oracle draw them.

The same code draws in both: hypothesis decides in the short form, and can shrink; a plain generator in the long
one. Neighbours: `tests.consent.questions` (what is asked about them), `tests.consent.agreement`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, TypeVar

from hypothesis import strategies as st

from tests.consent.chance import Chance
from tests.consent.oracle import ACT_CODE, ACT_REASON, CONFIDENTIALITY, PROGRAM, Given, Json

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

PATIENT = "Patient/ana"
ORGANIZATIONS = ["Organization/river", "Organization/shelter", "Organization/county"]
ACTORS = [
    *ORGANIZATIONS,
    "Practitioner/lee",
    "PractitionerRole/lee-river",
    "Group/night-staff",
    "CareTeam/ana",
    "Device/app",
    "RelatedPerson/uncle",
    PATIENT,
]
GHOST = "Organization/ghost"
THINGS = ["Observation/one", "Condition/two", "DocumentReference/three", "Consent/five"]
AUTHORS = ["Practitioner/lee", "Organization/shelter"]
KNOWN = frozenset({*ACTORS, *THINGS, "Task/four"})
PURPOSES = [
    "TREAT",
    "ETREAT",
    "BTG",
    "COC",
    "HRESCH",
    "CLINTRCH",
    "HOPERAT",
    "HLEGAL",
    "PurposeOfUse",
]
CODES = [("http://loinc.org", "44249-1"), ("http://hl7.org/fhir/sid/icd-10-cm", "F32.1"), ("", "x")]
PROFILES = ["https://throughline.example/fhir/StructureDefinition/safety-plan", "urn:oid:1.2.3"]
DATES = [
    "2025",
    "2026-02",
    "2026-03-01",
    "2026-03-01T12:00:00Z",
    "2026-03-02",
    "2026-04-30",
    "2027",
]
CODED_LABELS = [
    *((CONFIDENTIALITY, c) for c in ("U", "M", "N", "R", "V", "HIV")),
    *((ACT_CODE, c) for c in ("SUD", "ETHUD", "OPIOIDUD", "HIV", "MH", "SPI", "PSYTHPN", "NOPAT")),
    (ACT_CODE, "42CFRPart2"),
    (ACT_CODE, "_ActInformationSensitivityPolicy"),
    (ACT_CODE, "NORDSCLCD"),
    (PROGRAM, "victim-service"),
    ("https://elsewhere.example/labels", "secret"),
]


T = TypeVar("T")


def coding(pair: tuple[str, str]) -> dict[str, str]:
    return {"system": pair[0], "code": pair[1]}


def usually(chance: Chance, common: T, rare: T) -> T:
    return rare if chance.one_in(20) else common


def some(chance: Chance, item: Callable[[Chance], T], most: int = 2) -> list[T]:
    return [item(chance) for _ in range(1 + chance.below(most))]


def period(chance: Chance) -> dict[str, str]:
    given = chance.choice([("start",), ("end",), ("start", "end")])
    return {name: chance.choice(DATES[:5] if name == "start" else DATES) for name in given}


def actor(chance: Chance) -> dict[str, Any]:
    reference = {"reference": usually(chance, chance.choice(ACTORS), GHOST)}
    return {"role": {"text": "r"}, "reference": usually(chance, reference, {"display": "somebody"})}


def action(chance: Chance) -> dict[str, Any]:
    code = chance.choice(["access", "access", "correct", "disclose"])
    known = ("http://terminology.hl7.org/CodeSystem/consentaction", code)
    return {"coding": [coding(usually(chance, known, ("https://elsewhere.example", "peek")))]}


def purpose(chance: Chance) -> dict[str, str]:
    return coding((ACT_REASON, usually(chance, chance.choice(PURPOSES), "NONSENSE")))


def resource_class(chance: Chance) -> dict[str, str]:
    if chance.one_in(2):
        known = ("urn:ietf:rfc:3986", chance.choice(PROFILES))
    else:
        kind = chance.choice(["Observation", "Condition", "DocumentReference"])
        known = ("http://hl7.org/fhir/resource-types", kind)
    return coding(usually(chance, known, ("urn:ietf:bcp:13", "application/hl7-cda+xml")))


def code(chance: Chance) -> dict[str, Any]:
    codings = [coding(pair) for pair in some(chance, lambda c: c.choice(CODES))]
    return usually(chance, {"coding": codings}, {"text": "that one"})


def datum(chance: Chance) -> dict[str, Any]:
    meaning = chance.choice(["instance", "related", "dependents", "authoredby"])
    target = usually(chance, chance.choice([*THINGS, *AUTHORS, "Task/four"]), "Task/gone")
    return {"meaning": meaning, "reference": {"reference": target}}


CRITERIA: Final[dict[str, Callable[[Chance], Any]]] = {
    "actor": lambda chance: some(chance, actor, 3),
    "action": lambda chance: some(chance, action),
    "purpose": lambda chance: some(chance, purpose, 3),
    "securityLabel": lambda chance: some(chance, lambda c: coding(c.choice(CODED_LABELS)), 3),
    "class": lambda chance: some(chance, resource_class),
    "code": lambda chance: some(chance, code),
    "dataPeriod": period,
    "data": lambda chance: some(chance, datum),
    "period": period,
}
NAMES: Final = [*sorted(CRITERIA), "actor", "securityLabel"]
OPPOSITE: Final = {"permit": "deny", "deny": "permit"}


def provision(chance: Chance, depth: int = 1, parent: str = "deny") -> dict[str, Any]:
    names = chance.sample(NAMES, chance.below(4 if depth == 1 else 3))
    made = {name: CRITERIA[name](chance) for name in names}
    kind: str | None = OPPOSITE[parent]
    if chance.one_in(6):
        kind = chance.choice([OPPOSITE[parent]] * 6 + [parent] * 3 + [None])
    if kind:
        made["type"] = kind
    if depth < 4:
        children = chance.choice([0, 0, 1, 1, 2] if depth < 3 else [0, 0, 1])
        inside = [provision(chance, depth + 1, kind or parent) for _ in range(children)]
        if inside:
            made["provision"] = inside
    return made


def consent(chance: Chance) -> dict[str, Any]:
    parent = chance.choice(["deny", "deny", "permit"])
    made: dict[str, Any] = {
        "resourceType": "Consent",
        "status": usually(chance, "active", "inactive"),
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "patient": {"reference": PATIENT},
        "provision": provision(chance, parent=parent),
    }
    if chance.one_in(10):
        rule = chance.choice(["OPTIN", "OPTINR", "OPTOUT", "OPTOUTE"])
        made["policyRule"] = {"coding": [coding((ACT_CODE, rule))]}
    if chance.one_in(4):
        made["performer"] = [{"reference": chance.choice([PATIENT, "RelatedPerson/uncle"])}]
    if chance.one_in(30):
        made["verification"] = [{"verified": False}]
    return made


def given(chance: Chance) -> Given:
    return Given(
        consent(chance),
        chance.choice([PATIENT, PATIENT, "Organization/river", "Organization/county"]),
        chance.choice([None, None, "Organization/river", "Organization/shelter"]),
    )


@dataclass(frozen=True)
class Situation:
    """Consents of one survivor and the policies over them.

    rows: how many grants a grantee may have before denies stay residual (`ROWS_PER_GRANTEE`).
    seed: of the questions asked about it.
    """

    given: tuple[Given, ...]
    ceilings: tuple[Json, ...]
    rows: int
    seed: int


def situation(chance: Chance) -> Situation:
    return Situation(
        given=tuple(given(chance) for _ in range(1 + chance.below(3))),
        ceilings=tuple(consent(chance) for _ in range(chance.choice([0, 0, 0, 0, 0, 1]))),
        rows=chance.choice([64, 64, 1, 3]),
        seed=chance.below(1_000_001),
    )


@st.composite
def drawn(draw: st.DrawFn, make: Callable[[Chance], T]) -> T:
    """What `make` makes where hypothesis decides each draw, and so can shrink it."""
    return make(Chance(lambda bound: draw(_below(bound))))


@cache
def _below(bound: int) -> st.SearchStrategy[int]:
    return st.integers(0, bound - 1)


SITUATIONS: Final[st.SearchStrategy[Situation]] = drawn(situation)

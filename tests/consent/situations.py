"""Random consents and questions for the property test, aimed at what the consents are about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.consent.oracle import (
    ACT_CODE,
    ACT_REASON,
    CONFIDENTIALITY,
    PROGRAM,
    Caller,
    Given,
    Thing,
    bounds,
)
from tests.consent.terms import TYPES

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


def usually(common: st.SearchStrategy[Any], rare: Any) -> st.SearchStrategy[Any]:
    return st.integers(0, 19).flatmap(lambda n: st.just(rare) if n == 0 else common)


def coding(pair: tuple[str, str]) -> dict[str, str]:
    return {"system": pair[0], "code": pair[1]}


def some(items: st.SearchStrategy[Any], most: int = 2) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, min_size=1, max_size=most)


PERIOD = st.fixed_dictionaries(
    {}, optional={"start": st.sampled_from(DATES[:5]), "end": st.sampled_from(DATES)}
).filter(bool)
REFERENCE = usually(st.sampled_from(ACTORS), GHOST)
ACTOR = usually(
    REFERENCE.map(lambda r: {"role": {"text": "r"}, "reference": {"reference": r}}),
    {"role": {"text": "r"}, "reference": {"display": "somebody"}},
)
ACTION = usually(
    st.sampled_from(["access", "access", "correct", "disclose"]).map(
        lambda c: {"coding": [coding(("http://terminology.hl7.org/CodeSystem/consentaction", c))]}
    ),
    {"coding": [coding(("https://elsewhere.example", "peek"))]},
)
CLASS = usually(
    st.one_of(
        st.sampled_from(["Observation", "Condition", "DocumentReference"]).map(
            lambda t: coding(("http://hl7.org/fhir/resource-types", t))
        ),
        st.sampled_from(PROFILES).map(lambda p: coding(("urn:ietf:rfc:3986", p))),
    ),
    coding(("urn:ietf:bcp:13", "application/hl7-cda+xml")),
)
CODE = usually(
    some(st.sampled_from(CODES)).map(lambda pairs: {"coding": [coding(p) for p in pairs]}),
    {"text": "that one"},
)
DATUM = st.builds(
    lambda m, r: {"meaning": m, "reference": {"reference": r}},
    st.sampled_from(["instance", "related", "dependents", "authoredby"]),
    usually(st.sampled_from([*THINGS, *AUTHORS, "Task/four"]), "Task/gone"),
)
CRITERIA: dict[str, st.SearchStrategy[Any]] = {
    "actor": some(ACTOR, 3),
    "action": some(ACTION),
    "purpose": some(
        usually(st.sampled_from(PURPOSES), "NONSENSE").map(lambda c: coding((ACT_REASON, c))), 3
    ),
    "securityLabel": some(st.sampled_from(CODED_LABELS).map(coding), 3),
    "class": some(CLASS),
    "code": some(CODE),
    "dataPeriod": PERIOD,
    "data": some(DATUM),
    "period": PERIOD,
}


NAMES = [*sorted(CRITERIA), "actor", "securityLabel"]
RARELY = st.integers(0, 5).map(lambda n: n == 0)


@st.composite
def provisions(draw: st.DrawFn, depth: int = 1, parent: str = "deny") -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(NAMES), max_size=3 if depth == 1 else 2, unique=True))
    provision = {name: draw(CRITERIA[name]) for name in names}
    other = {"permit": "deny", "deny": "permit"}[parent]
    kind = draw(
        st.sampled_from([other] * 6 + [parent] * 3 + [None]) if draw(RARELY) else st.just(other)
    )
    if kind:
        provision["type"] = kind
    if depth < 4:
        children = draw(st.sampled_from([0, 0, 1, 1, 2] if depth < 3 else [0, 0, 1]))
        inside = [draw(provisions(depth + 1, kind or parent)) for _ in range(children)]
        if inside:
            provision["provision"] = inside
    return provision


@st.composite
def consents(draw: st.DrawFn) -> dict[str, Any]:
    parent = draw(st.sampled_from(["deny", "deny", "permit"]))
    consent: dict[str, Any] = {
        "resourceType": "Consent",
        "status": draw(usually(st.just("active"), "inactive")),
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "patient": {"reference": PATIENT},
        "provision": draw(provisions(parent=parent)),
    }
    if draw(st.integers(0, 9)) == 0:
        rule = draw(st.sampled_from(["OPTIN", "OPTINR", "OPTOUT", "OPTOUTE"]))
        consent["policyRule"] = {"coding": [coding((ACT_CODE, rule))]}
    if draw(st.integers(0, 3)) == 0:
        consent["performer"] = [
            {"reference": draw(st.sampled_from([PATIENT, "RelatedPerson/uncle"]))}
        ]
    if draw(st.integers(0, 29)) == 0:
        consent["verification"] = [{"verified": False}]
    return consent


GIVEN = st.builds(
    Given,
    consents(),
    st.sampled_from([PATIENT, PATIENT, "Organization/river", "Organization/county"]),
    st.sampled_from([None, None, "Organization/river", "Organization/shelter"]),
)

MOMENTS = [
    NOW,
    NOW - timedelta(days=40),
    datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 3, 2, tzinfo=UTC),
]
Question = tuple[Caller, Thing, str, datetime]


class Asker:
    """Questions about some consents: aimed at a provision and what is around it, or astray.

    Plain random, for speed: hypothesis draws (and shrinks) the consents, and one seed.
    """

    def __init__(self, given_consents: list[Given], seed: int) -> None:
        self.paths = [p for g in given_consents for p in paths(g.resource["provision"], [])]
        self.random = Random(seed)

    def ask(self) -> Question:
        chance = self.random
        caller, thing = self._anybody(), self._anything()
        action, now = chance.choice(["access"] * 3 + ["correct"]), NOW
        now += timedelta(hours=chance.choice([0, 0, 0, 0, 1, 24, 24 * 70, 24 * 400]))
        if chance.random() < 0.1:
            return caller, thing, action, now
        path = chance.choice(self.paths)
        thing = self._aimed(thing, path)
        asked = [c["code"] for p in path for c in p.get("purpose", ()) if c["code"] in PURPOSES]
        if asked and chance.random() < 0.8:
            caller = replace(caller, purpose=chance.choice(asked))
        actions = [c["code"] for p in path for a in p.get("action", ()) for c in a["coding"]]
        actions = [a for a in actions if a in {"access", "correct"}]
        if actions and chance.random() < 0.8:
            action = chance.choice(actions)
        if chance.random() < 0.8:
            who = frozenset(a for p in path for a in self._one(references(p, "actor")))
            caller = replace(caller, identities=who, emergency=chance.random() < 0.2)
        edges = [e for p in path if "period" in p for e in _edges(p["period"]) if e > NOW]
        if edges and chance.random() < 0.6:
            now = chance.choice(edges) - timedelta(microseconds=chance.choice([0, 1]))
        return caller, thing, action, now

    def _aimed(self, thing: Thing, path: list[dict[str, Any]]) -> Thing:
        chance = self.random
        wanted: dict[str, Any] = {
            "security": tuple(
                {(c["system"], c["code"]) for p in path for c in self._some(p, "securityLabel")}
            ),
            "codes": frozenset(
                (c["system"], c["code"])
                for p in path
                for k in p.get("code", ())
                for c in k.get("coding", ())[:1]
            ),
            "profiles": frozenset(
                c["code"] for p in path for c in self._some(p, "class") if c["code"] in PROFILES
            ),
            "referenced_by": self._targets(path, "related"),
            "references": self._targets(path, "dependents"),
            "authors": self._targets(path, "authoredby"),
        }
        kinds = [c["code"] for p in path for c in p.get("class", ()) if c["code"] in TYPES]
        named = [r for p in path for r in references(p, "data", "instance") if r in THINGS]
        if kinds or named:
            named = named or [t for t in THINGS if t.startswith(kinds[-1])]
            thing = replace(thing, reference=named[-1], type=named[-1].split("/")[0])
        edges = [e for p in path if "dataPeriod" in p for e in _edges(p["dataPeriod"])]
        if edges and chance.random() < 0.9:
            at = chance.choice(edges) + timedelta(microseconds=chance.choice([-1, 0, 0, 1]))
            thing = replace(thing, clinical=(at, at + timedelta(hours=chance.choice([0, 0, 24]))))
        for name, value in wanted.items():
            if value and chance.random() < 0.85:
                thing = replace(thing, **{name: value})
        return thing

    def _anybody(self) -> Caller:
        chance = self.random
        return Caller(
            frozenset(chance.sample(ACTORS, chance.choice([0, 1, 1, 2]))),
            chance.choice([*PURPOSES, "POPHLTH"]),
            frozenset(["Organization/county"] if chance.random() < 0.3 else []),
            chance.random() < 0.4,
        )

    def _anything(self) -> Thing:
        chance = self.random
        reference = chance.choice(THINGS)
        at = chance.choice([None, *MOMENTS])
        return Thing(
            reference=reference,
            type=reference.split("/")[0],
            custodian=chance.choice(ORGANIZATIONS),
            security=tuple(chance.sample(CODED_LABELS, chance.choice([0, 0, 1, 2]))),
            clinical=(at, at + timedelta(hours=chance.choice([0, 24]))) if at else None,
            codes=frozenset(chance.sample(CODES, chance.choice([0, 1]))),
            profiles=frozenset(chance.sample(PROFILES, chance.choice([0, 1]))),
            references=frozenset(chance.sample([*THINGS, "Task/four"], chance.choice([0, 0, 1]))),
            referenced_by=frozenset(
                chance.sample([*THINGS, "Task/four"], chance.choice([0, 0, 1]))
            ),
            authors=frozenset(chance.sample(AUTHORS, chance.choice([0, 1]))),
        )

    def _one(self, items: list[str]) -> list[str]:
        return [self.random.choice(items)] if items else []

    def _some(self, provision: dict[str, Any], name: str) -> list[dict[str, str]]:
        items: list[dict[str, str]] = provision.get(name, [])
        return [self.random.choice(items)] if items and self.random.random() < 0.6 else items

    def _targets(self, path: list[dict[str, Any]], meaning: str) -> frozenset[str]:
        return frozenset(r for p in path for r in self._one(references(p, "data", meaning)))


def paths(provision: dict[str, Any], above: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Every provision, each with what it stands in."""
    path = [*above, provision]
    return [path, *(p for child in provision.get("provision", ()) for p in paths(child, path))]


def references(provision: dict[str, Any], name: str, meaning: str | None = None) -> list[str]:
    """The known references of the actors, or of the data of one meaning."""
    found = [
        item["reference"].get("reference")
        for item in provision.get(name, ())
        if meaning in {None, item.get("meaning")}
    ]
    return [r for r in found if r in KNOWN]


def _edges(period: dict[str, str]) -> list[datetime]:
    sane = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    return [edge for edge in bounds(period) if sane[0] < edge < sane[1]]

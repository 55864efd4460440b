"""Random searches over random resources find exactly what a naive reading of the specification finds.

The seed of the resources is in the message of a failure; `TL_SEARCH_SEED` takes it back.
"""

from __future__ import annotations

import os
import random
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.search.conftest import HARBOR, Searcher
from tests.search.naive import GRAMS, MEMBERS, PREFIXES, TREE, Json, ordered, satisfies, sort_value
from tests.spine.conftest import actor, consent

SEED = int(os.environ.get("TL_SEARCH_SEED", random.randrange(10**6)))
CODES = ("a", "b", "c")
SYSTEMS = ("urn:x", "urn:y")
FAMILIES = ("Núñez", "Nunes", "Okafor", "O'Neil", "nu")
UCUM = "http://unitsofmeasure.org"
DATES = ("2023", "2024", "2024-01", "2024-02", "2024-01-15", "2024-01-31", "2024-01-15T10:00:00Z")


WORDS = ("Sleeps well", "Schläft", "sleep", "Pain")
URLS = tuple(f"http://example.org/{each}" for each in ("x", "x/y", "x/y/z", "xy", "w"))


class Written(dict[str, Json]):
    """All resources by `Type/id`; short where a failing example is shown."""

    def __repr__(self) -> str:
        return f"<{len(self)} resources of seed {SEED}>"


def coding(chance: random.Random) -> Json:
    made = {"system": chance.choice(SYSTEMS), "code": chance.choice(CODES)}
    return made | ({"display": chance.choice(WORDS)} if chance.random() < 0.5 else {})


def identifier(chance: random.Random) -> Json:
    made: Json = {"system": chance.choice(SYSTEMS), "value": chance.choice(CODES)}
    if chance.random() < 0.5:
        made["type"] = {"coding": [coding(chance)], "text": chance.choice(WORDS)}
    return made


def quantity(chance: random.Random) -> Json:
    unit = chance.choice((*GRAMS, "mL"))
    value = chance.choice((1, 2, 5, 1.5, 0.5, 1000, 0.001, 5.4, 999.5))
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def patient(chance: random.Random) -> Json:
    made: Json = {"resourceType": "Patient", "name": [{"family": chance.choice(FAMILIES)}]}
    if chance.random() < 0.7:
        made["identifier"] = [identifier(chance) for _ in range(chance.randint(1, 2))]
    if chance.random() < 0.7:
        made["gender"] = chance.choice(("female", "male", "other"))
    if chance.random() < 0.7:
        made["birthDate"] = chance.choice(("1990", "1990-05", "1990-05-20", "2001-01-01"))
    return made


def observation(chance: random.Random, patients: list[str]) -> Json:
    made: Json = {
        "resourceType": "Observation",
        "status": chance.choice(("final", "amended", "preliminary")),
        "code": {"coding": [coding(chance) for _ in range(chance.randint(1, 2))]},
        "subject": {"reference": f"Patient/{chance.choice(patients)}"},
    }
    if chance.random() < 0.5:
        made["subject"]["identifier"] = identifier(chance)
    if chance.random() < 0.5:
        made["code"]["text"] = chance.choice(WORDS)
    if chance.random() < 0.5:
        made["meta"] = {"tag": [coding(chance)]}
    if chance.random() < 0.5:
        made["category"] = [{"coding": [coding(chance)]} for _ in range(chance.randint(1, 2))]
    if chance.random() < 0.4:
        made["effectiveDateTime"] = chance.choice(DATES)
    elif chance.random() < 0.5:
        ends = {"start": chance.choice(DATES[:2]), "end": chance.choice(("2024", "2025-03"))}
        kept = chance.choice((("start",), ("end",), ("start", "end")))
        made["effectivePeriod"] = {name: ends[name] for name in kept}
    if chance.random() < 0.5:
        made["valueQuantity"] = quantity(chance)
    elif chance.random() < 0.7:  # obs-7: not both, where a code is the same
        made["component"] = [
            {"code": {"coding": [coding(chance)]}, "valueQuantity": quantity(chance)}
            for _ in range(chance.randint(1, 3))
        ]
    return made


def risk(chance: random.Random, patients: list[str]) -> Json:
    made: Json = {
        "resourceType": "RiskAssessment",
        "status": chance.choice(("final", "amended", "preliminary")),
        "subject": {"reference": f"Patient/{chance.choice(patients)}"},
    }
    if chance.random() < 0.8:
        several = range(chance.randint(1, 2))
        made["prediction"] = [
            {"probabilityDecimal": chance.choice((0.5, 0.25, 0.249, 1, 0.95, 0.1))} for _ in several
        ]
    return made


def terminology() -> list[Json]:
    """The code system urn:x, whose codes are a tree, and the value set urn:set."""
    leaf: Json = {"code": "c"}
    tree = {"code": "a", "concept": [{"code": "b", "concept": [leaf]}]}
    assert TREE == {"c": "b", "b": "a"}
    system = {"url": "urn:x", "content": "complete", "concept": [tree]}
    include = [{"system": system, "concept": [{"code": code}]} for system, code in sorted(MEMBERS)]
    return [
        {"resourceType": "CodeSystem", "status": "active"} | system,
        {
            "resourceType": "ValueSet",
            "status": "active",
            "url": "urn:set",
            "compose": {"include": include},
        },
    ]


@pytest.fixture(scope="module")
async def store(river: Searcher) -> dict[str, Json]:
    """All resources by `Type/id`, as they were written."""
    chance = random.Random(SEED)
    found = Written()
    patients: list[str] = []
    for number in range(8):
        made = patient(chance)
        id_ = await river.write(f"p{number}", made)
        patients.append(id_)
        found[f"Patient/{id_}"] = made | {"id": id_}
    others = [observation(chance, patients) for _ in range(45)]
    others += [risk(chance, patients) for _ in range(15)]
    others += [{"resourceType": "ValueSet", "status": "draft", "url": each} for each in URLS]
    for number, made in enumerate([*others, *terminology()]):
        id_ = await river.write(f"r{number}", made)
        found[f"{made['resourceType']}/{id_}"] = made | {"id": id_}
    # Harbor sees half of the patients, and what is theirs.
    for id_ in patients[::2]:
        permit = consent(id_, type="permit", actor=actor(HARBOR))
        assert (await river.agency.post("/Consent", permit)).status_code == 201
    return found


prefixes = st.sampled_from(("", *PREFIXES))
dates = st.builds("{}{}".format, prefixes, st.sampled_from((*DATES, "2024-01-15T10:00:01Z")))
births = st.builds(
    "{}{}".format, prefixes, st.sampled_from(("1990", "1990-05", "1990-05-20", "2001"))
)
numbers = st.builds(
    "{}{}".format, prefixes, st.sampled_from(("1", "5", "5.4", "1.5", "1000", "2.0"))
)
quantities = st.one_of(
    numbers,
    st.builds("{}|{}|{}".format, numbers, st.just(UCUM), st.sampled_from((*GRAMS, "mL"))),
    st.builds("{}||{}".format, numbers, st.sampled_from((*GRAMS, "mL"))),
)
tokens = st.one_of(
    st.sampled_from((*CODES, "d")),
    st.builds("{}|{}".format, st.sampled_from((*SYSTEMS, "")), st.sampled_from(CODES)),
    st.builds("{}|".format, st.sampled_from(SYSTEMS)),
)


def several(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, min_size=1, max_size=3, unique=True).map(",".join)


def named(names: tuple[str, ...], values: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.tuples(st.sampled_from(names), several(values))


hierarchies = st.builds("urn:x|{}".format, st.sampled_from(CODES))
words = st.sampled_from(("sleep", "SCHL", "pain", "s", "well"))
probabilities = st.builds(
    "{}{}".format, prefixes, st.sampled_from(("0.5", "0.25", "0.2", "1", "0.10", "0.9"))
)
urls = st.sampled_from((*URLS, "http://example.org", "http://example.org/x/", "urn:set"))
typed = st.builds(
    "{}|{}|{}".format, st.sampled_from(SYSTEMS), st.sampled_from(CODES), st.sampled_from(CODES)
)
identified = st.builds("{}|{}".format, st.sampled_from(SYSTEMS), st.sampled_from(CODES))
# Stands for the id of a patient, who is not known yet.
anybody = st.integers(0, 7).map("<{}>".format)
statuses = st.sampled_from(("final", "amended", "unknown"))
families = st.sampled_from(("n", "NU", "nun", "Nunes", "Núñez", "e", "o'"))
people = st.one_of(
    named(("gender", "gender:not"), st.sampled_from(("female", "male", "unknown"))),
    named(("birthdate",), births),
    named(("family", "family:exact", "family:contains"), families),
    named(("identifier", "identifier:not"), tokens),
    named(("identifier:of-type",), typed),
    named(("identifier:text",), words),
    named(("_id", "_id:not"), anybody),
    st.tuples(
        st.sampled_from(
            ("gender:missing", "birthdate:missing", "identifier:missing", "_id:missing")
        ),
        st.sampled_from(("true", "false")),
    ),
)
subjects = st.one_of(
    named(("subject", "patient", "subject:Patient"), anybody),
    named(("subject", "patient"), anybody.map("Patient/{}".format)),
    named(("subject:identifier", "patient:identifier"), identified),
)
measurements = st.one_of(
    subjects,
    named(("code:text", "category:text"), words),
    named(("code:in", "code:not-in", "category:in", "category:not-in"), st.just("urn:set")),
    named(("code:above", "code:below", "category:below"), hierarchies),
    named(("code", "code:not", "category", "category:not", "_tag"), tokens),
    named(("status", "status:not"), statuses),
    named(("date",), dates),
    named(("value-quantity",), quantities),
    named(
        ("code-value-quantity", "component-code-value-quantity"),
        st.builds("{}${}".format, tokens, quantities),
    ),
    st.tuples(
        st.sampled_from(("category:missing", "date:missing", "value-quantity:missing")),
        st.sampled_from(("true", "false")),
    ),
)


def behind(prefix: str, inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return inner.map(lambda pair: (prefix + pair[0], pair[1]))


of_observation = st.one_of(
    measurements, behind("subject:Patient.", people), behind("patient.", people)
)
of_patient = st.one_of(
    people,
    behind("_has:Observation:patient:", measurements),
    behind("_has:Observation:subject:patient.", people),
)
risks = st.one_of(
    subjects,
    named(("probability",), probabilities),
    st.tuples(st.just("probability:missing"), st.sampled_from(("true", "false"))),
    behind("subject:Patient.", people),
)
definitions = named(("url", "url:above", "url:below"), urls)
queries = st.one_of(
    st.tuples(st.just("RiskAssessment"), st.lists(risks, min_size=1, max_size=2)),
    st.tuples(st.just("ValueSet"), st.lists(definitions, min_size=1, max_size=2)),
    st.tuples(st.just("Observation"), st.lists(of_observation, min_size=1, max_size=3)),
    st.tuples(st.just("Patient"), st.lists(of_patient, min_size=1, max_size=3)),
)


@given(queries)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_a_search_finds_what_a_naive_reading_finds(
    store: dict[str, Json], river: Searcher, query: tuple[str, list[tuple[str, str]]]
) -> None:
    type_, sent = query
    parameters = [(name, _with_ids(value, store)) for name, value in sent]
    text = "&".join(f"{name}={quote(value, safe='|,$')}" for name, value in parameters)
    seen_by_harbor = {key: each for key, each in store.items() if _shared(each, store)}
    for agency, known in ((None, store), (river.world[HARBOR], seen_by_harbor)):
        expected = {
            river.names[each["id"]]
            for each in known.values()
            if each["resourceType"] == type_
            and all(satisfies(each, name, value, known) for name, value in parameters)
        }
        found = await river.finds(f"/{type_}?{text}", agency)
        assert found == expected, f"seed {SEED}: {type_}?{text}"


sortable = {
    "Patient": ("_id", "family", "birthdate", "gender", "identifier"),
    "Observation": ("date", "code", "status", "value-quantity", "category", "subject"),
    "RiskAssessment": ("probability", "subject", "_id"),
    "ValueSet": ("url",),
}
orders = st.sampled_from(sorted(sortable)).flatmap(
    lambda type_: st.tuples(
        st.just(type_),
        st.lists(
            st.builds("{}{}".format, st.sampled_from(("", "-")), st.sampled_from(sortable[type_])),
            min_size=1,
            max_size=3,
            unique_by=lambda key: key.removeprefix("-"),
        ).map(",".join),
    )
)


@given(orders, st.integers(2, 30))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_pages_come_in_the_order_that_a_naive_sort_has(
    store: dict[str, Json], river: Searcher, order: tuple[str, str], size: int
) -> None:
    type_, keys = order
    path: str | None = f"/{type_}?_sort={keys}&_count={size}"
    base, met = river.world.service.settings.fhir_base, []
    while path is not None:
        bundle = await river.bundle(path)
        met += [entry["resource"]["id"] for entry in bundle["entry"]]
        after = [each["url"] for each in bundle["link"] if each["relation"] == "next"]
        path = after[0].removeprefix(base) if after else None
    known = [each for each in store.values() if each["resourceType"] == type_]
    assert sorted(met) == sorted(each["id"] for each in known)
    found = [store[f"{type_}/{id_}"] for id_ in met]
    rows = [tuple(sort_value(each, key) for key in keys.split(",")) for each in found]
    assert rows == ordered(known, keys), f"seed {SEED}: {type_}?_sort={keys}"


def _with_ids(value: str, store: dict[str, Json]) -> str:
    """The value with ids in place of the numbers of patients."""
    patients = [each["id"] for each in store.values() if each["resourceType"] == "Patient"]
    return re.sub(r"<(\d)>", lambda found: patients[int(found[1])], value)


def _shared(resource: Json, store: dict[str, Json]) -> bool:
    if resource["resourceType"] in ("ValueSet", "CodeSystem"):
        return True
    patients = [key for key in store if key.startswith("Patient/")][::2]
    if resource["resourceType"] == "Patient":
        return f"Patient/{resource['id']}" in patients
    return resource["subject"]["reference"] in patients

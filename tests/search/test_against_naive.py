"""Random searches over random resources find exactly what a naive reading of the specification finds.

The seed of the resources is in the message of a failure; `TL_SEARCH_SEED` takes it back.
"""

from __future__ import annotations

import os
import random
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.search.conftest import HARBOR, Searcher
from tests.search.naive import GRAMS, PREFIXES, Json, satisfies
from tests.spine.conftest import actor, consent

SEED = int(os.environ.get("TL_SEARCH_SEED", random.randrange(10**6)))
CODES = ("a", "b", "c")
SYSTEMS = ("urn:x", "urn:y")
FAMILIES = ("Núñez", "Nunes", "Okafor", "O'Neil", "nu")
UCUM = "http://unitsofmeasure.org"
DATES = ("2023", "2024", "2024-01", "2024-02", "2024-01-15", "2024-01-31", "2024-01-15T10:00:00Z")


def coding(chance: random.Random) -> Json:
    return {"system": chance.choice(SYSTEMS), "code": chance.choice(CODES)}


def quantity(chance: random.Random) -> Json:
    unit = chance.choice((*GRAMS, "mL"))
    value = chance.choice((1, 2, 5, 1.5, 0.5, 1000, 0.001, 5.4, 999.5))
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def patient(chance: random.Random) -> Json:
    made: Json = {"resourceType": "Patient", "name": [{"family": chance.choice(FAMILIES)}]}
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


@pytest.fixture(scope="module")
async def store(river: Searcher) -> dict[str, Json]:
    """All resources by `Type/id`, as they were written."""
    chance = random.Random(SEED)
    found: dict[str, Json] = {}
    patients: list[str] = []
    for number in range(8):
        made = patient(chance)
        id_ = await river.write(f"p{number}", made)
        patients.append(id_)
        found[f"Patient/{id_}"] = made | {"id": id_}
    for number in range(45):
        made = observation(chance, patients)
        id_ = await river.write(f"o{number}", made)
        found[f"Observation/{id_}"] = made | {"id": id_}
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


statuses = st.sampled_from(("final", "amended", "unknown"))
families = st.sampled_from(("n", "NU", "nun", "Nunes", "Núñez", "e", "o'"))
people = st.one_of(
    named(("gender", "gender:not"), st.sampled_from(("female", "male", "unknown"))),
    named(("birthdate",), births),
    named(("family", "family:exact", "family:contains"), families),
    st.tuples(
        st.sampled_from(("gender:missing", "birthdate:missing")), st.sampled_from(("true", "false"))
    ),
)
measurements = st.one_of(
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
queries = st.one_of(
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
    type_, parameters = query
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


def _shared(resource: Json, store: dict[str, Json]) -> bool:
    patients = [key for key in store if key.startswith("Patient/")][::2]
    if resource["resourceType"] == "Patient":
        return f"Patient/{resource['id']}" in patients
    return resource["subject"]["reference"] in patients

"""All official examples are accepted over HTTP and come back unaltered except id and meta.

They go in under their own ids (a setting allows that), in transactions: what refers to one another in one, so
that no reference is altered or left out. What an example refers to and the package does not hold is made first,
as little as R4 allows, under the id that the example names: the server refuses what refers to nothing.

The suite sends all but Bundles of more than a megabyte, and of the definitions that come by the thousand each
fourth. `make examples` (TL_EXAMPLES=all) sends all.

Examples that break R4 stand in tests/fhir_mappings/official_examples_refused.json; those that this service
refuses for another reason in official_examples_refused_over_http.json. Both only shrink.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from app.fhir_mappings import links
from app.fhir_mappings.json_text import JsonObject, parse
from tests.conftest import Cluster
from tests.fhir_mappings.test_official_examples import REFUSED, verbatim
from tests.official_examples import examples
from tests.spine.conftest import AGENCIES, World, open_world

REFUSED_OVER_HTTP: Final[dict[str, str]] = json.loads(
    Path(__file__).with_name("official_examples_refused_over_http.json").read_text()
)
RIVER: Final = AGENCIES[0]
_MOST_ENTRIES: Final = 2000
_MOST_BYTES: Final = 4_000_000
_LONG: Final = 1_000_000
_MANY: Final = frozenset({"CodeSystem", "SearchParameter", "StructureDefinition", "ValueSet"})
ALL: Final = os.environ.get("TL_EXAMPLES") == "all"
_SOMEBODY: Final = {"reference": "Patient/stand-in"}
_SOMETHING: Final = {"text": "Stand-in"}

STAND_INS: Final[dict[str, JsonObject]] = {
    "Binary": {"contentType": "text/plain"},
    "Composition": {
        "status": "final",
        "type": _SOMETHING,
        "date": "2020",
        "author": [_SOMEBODY],
        "title": "Stand-in",
    },
    "Condition": {"subject": _SOMEBODY},
    "Device": {},
    "DeviceMetric": {"type": _SOMETHING, "category": "setting"},
    "DiagnosticReport": {"status": "final", "code": _SOMETHING},
    "FamilyMemberHistory": {
        "status": "completed",
        "patient": _SOMEBODY,
        "relationship": _SOMETHING,
    },
    "List": {"status": "current", "mode": "working"},
    "Location": {},
    "Medication": {},
    "MedicationRequest": {
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": _SOMETHING,
        "subject": _SOMEBODY,
    },
    "Observation": {"status": "final", "code": _SOMETHING},
    "OperationOutcome": {"issue": [{"severity": "information", "code": "informational"}]},
    "Organization": {"name": "Stand-in"},
    "Patient": {},
    "Practitioner": {},
    "Questionnaire": {"status": "draft"},
    "ServiceRequest": {"status": "active", "intent": "order", "subject": _SOMEBODY},
    "Specimen": {},
    "Task": {"status": "draft", "intent": "proposal"},
}
"""The least that R4 allows of each type that examples refer to without the package holding it."""


@dataclass(frozen=True, slots=True)
class Example:
    """One example. refers: whether it names, or is named by, another resource."""

    name: str
    data: bytes
    type: str
    id: str

    @property
    def path(self) -> str:
        return f"{self.type}/{self.id}"


def sent(name: str, position: int, data: bytes) -> bool:
    """Whether an example is among those that this run sends; position: among those of its type."""
    if ALL:
        return True
    return len(data) < _LONG and (name.partition("-")[0] not in _MANY or position % 4 == 0)


def accepted() -> tuple[list[Example], dict[str, set[str]]]:
    """The examples that are to be accepted, and the local references of each by its path."""
    found: list[Example] = []
    refers: dict[str, set[str]] = {}
    seen: Counter[str] = Counter()
    for name, data in examples():
        type_ = name.partition("-")[0]
        seen[type_] += 1
        if name in REFUSED or name in REFUSED_OVER_HTTP or not sent(name, seen[type_], data):
            continue
        resource = parse(data, max_depth=100)
        example = Example(name, data, resource["resourceType"], resource["id"])
        found.append(example)
        refers[example.path] = {
            f"{each.type}/{each.id}"
            for each in links.literal_references(resource)
            if each.kind == "local"
        }
    return found, refers


def loads(found: Sequence[Example], refers: dict[str, set[str]]) -> Iterator[list[Example]]:
    """What is sent together: first all that is linked, then the rest in portions."""
    named = set().union(*refers.values())
    linked = [each for each in found if refers[each.path] or each.path in named]
    yield linked
    portion: list[Example] = []
    size = 0
    for each in sorted(set(found) - set(linked), key=lambda each: each.name):
        if portion and (size + len(each.data) > _MOST_BYTES or len(portion) == _MOST_ENTRIES):
            yield portion
            portion, size = [], 0
        portion.append(each)
        size += len(each.data)
    yield portion


def transaction(contents: Sequence[tuple[str, bytes]]) -> bytes:
    """A transaction that puts each content, as its bytes stand, to its path."""
    entries = (
        b'{"resource":%s,"request":{"method":"PUT","url":"%s"}}' % (data, path.encode())
        for path, data in contents
    )
    return b'{"resourceType":"Bundle","type":"transaction","entry":[%s]}' % b",".join(entries)


def stand_ins(refers: dict[str, set[str]]) -> list[tuple[str, bytes]]:
    """What the package lacks, by path; the one whom stand-ins are about first."""
    missing = sorted(set().union(*refers.values(), {"Patient/stand-in"}) - set(refers))
    return [
        (path, json.dumps({"resourceType": type_, "id": id_} | STAND_INS[type_]).encode())
        for path in missing
        for type_, _, id_ in [path.partition("/")]
    ]


def content(data: bytes) -> dict[str, Any]:
    tree: dict[str, Any] = verbatim(data)
    return {key: value for key, value in tree.items() if key not in ("id", "meta")}


@pytest_asyncio.fixture(scope="module")
async def house(
    cluster: Cluster, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    """A service that takes long bodies, and ids of its clients."""
    name = f"tl_examples_{cluster.worker}"
    cluster.create(name, template_database)
    made = cluster.database(name)
    settings = {
        "max_body_bytes": 100_000_000,
        "max_bundle_entries": _MOST_ENTRIES,
        "update_as_create": True,
        "request_timeout_ms": 300_000,
        "statement_timeout_ms": 100_000,
    }
    async with open_world(made, tmp_path_factory.mktemp("state"), **settings) as world:
        yield world
    cluster.drop(name)


async def test_every_official_example_is_accepted_and_comes_back_unaltered(house: World) -> None:
    river = house[RIVER]
    headers = river.headers | {
        "content-type": "application/fhir+json",
        "prefer": "return=minimal",
    }
    found, refers = accepted()
    for portion in (
        stand_ins(refers),
        *([(each.path, each.data) for each in part] for part in loads(found, refers)),
    ):
        answer = await house.http.post("/fhir", headers=headers, content=transaction(portion))
        assert answer.status_code == 200, answer.text[:2000]
    altered = []
    for each in found:
        back = await river.get(f"/{each.path}")
        if back.status_code != 200 or content(back.content) != content(each.data):
            altered.append((each.name, back.status_code))
    assert altered == []
    if ALL:
        assert len(found) == 5306 - len(REFUSED) - len(REFUSED_OVER_HTTP)
    else:
        assert len(found) > 1900


async def test_what_is_listed_as_refused_is_refused_and_the_list_only_shrinks(house: World) -> None:
    headers = house[RIVER].headers | {"content-type": "application/fhir+json"}
    passed = []
    for name, data in examples():
        if (name in REFUSED or name in REFUSED_OVER_HTTP) and sent(name, 0, data):
            type_ = json.loads(data)["resourceType"]
            answer = await house.http.post(f"/fhir/{type_}", headers=headers, content=data)
            if answer.status_code < 400:
                passed.append(name)
            assert answer.json()["resourceType"] == "OperationOutcome", name
    assert passed == [], "an example listed as refused passes: unlist it"
    assert not set(REFUSED) & set(REFUSED_OVER_HTTP)
    assert len(REFUSED_OVER_HTTP) <= 13

"""The store labelled anew: nothing is missed, nothing falls, no write is lost, and check foretells apply."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg
import pytest

from app.consent import labelling
from app.interactions import relabel
from app.interactions.relabel import Change, Place, Walk
from app.storage import relabelling
from app.storage.reindexing import keeper
from app.storage.relabelling import Relabelled
from tests.search_rows import strays
from tests.spine.conftest import ACT_CODE, AGENCIES, World, actor, consent, new_patient, world

__all__ = ["world"]

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES
Json = dict[str, Any]
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
LOINC = "http://loinc.org"
PROGRAM = "https://throughline.example/fhir/CodeSystem/program"
URL = "https://throughline.example/fhir/Questionnaire/own"


class Former:
    """The tables as they were before some codes were added; `now` puts the present ones back."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        by_prefix = {k: v for k, v in labelling._BY_PREFIX.items() if k[1] not in ("F11", "B20")}
        by_code = {k: v for k, v in labelling._BY_CODE.items() if k[0] != LOINC}
        patch.setattr(labelling, "_BY_PREFIX", by_prefix)
        patch.setattr(labelling, "_BY_CODE", by_code)

    def now(self) -> None:
        self.patch.undo()


@pytest.fixture
def former() -> Iterator[Former]:
    with pytest.MonkeyPatch.context() as patch:
        yield Former(patch)


async def walk(world: World, *, check: bool = False, start: Place | None = None) -> list[Change]:
    """The changes of one walk."""
    found: list[Change] = []
    async with keeper(world.database.admin_url) as connection:
        walk = Walk(connection, (), found.extend, check)
        await walk.run(lambda *_: None, start or Place())
    assert strays(world.database) == {}
    return found


def diagnosis(patient: str, code: str = "F11.20", **more: Any) -> Json:
    return {
        "resourceType": "Condition",
        "subject": {"reference": f"Patient/{patient}"},
        "code": {"coding": [{"system": ICD, "code": code}]},
    } | more


def plan(patient: str, condition: str, **more: Any) -> Json:
    return {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": f"Patient/{patient}"},
        "addresses": [{"reference": f"Condition/{condition}"}],
    } | more


def denying(patient: str, *codes: str) -> Json:
    """Harbor may read all of the record, except what these labels stand on."""
    refused = [{"system": ACT_CODE, "code": code} for code in codes]
    exception = {"type": "deny", "securityLabel": refused}
    return consent(patient, type="permit", actor=actor(HARBOR), provision=[exception])


async def write(world: World, resource: Json, by: str = RIVER) -> str:
    answer = await world[by].post(f"/{resource['resourceType']}", resource)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def security(resource: Json) -> set[str]:
    return {each["code"] for each in resource["meta"].get("security", ())}


async def statuses(world: World, *paths: str, by: str = HARBOR) -> list[int]:
    return [(await world[by].get(path)).status_code for path in paths]


def counted(changes: Sequence[Change]) -> Counter[tuple[str, str, str]]:
    return Counter((each.type, each.what, each.label) for each in changes)


async def test_a_new_code_labels_what_stands_and_all_that_rests_on_it(
    world: World, former: Former
) -> None:
    patient = await new_patient(world[RIVER])
    # Written first, so that it is walked first: what it will rest on is labelled after it.
    early = await write(world, {k: v for k, v in plan(patient, "").items() if k != "addresses"})
    condition = await write(world, diagnosis(patient))
    await world[RIVER].put(f"/CarePlan/{early}", plan(patient, condition, id=early))
    summed = await write(
        world,
        {
            "resourceType": "List",
            "status": "current",
            "mode": "working",
            "subject": {"reference": f"Patient/{patient}"},
            "entry": [{"item": {"reference": f"CarePlan/{early}"}}],
        },
    )
    await write(world, denying(patient, "SUD"))
    paths = (f"/Condition/{condition}", f"/CarePlan/{early}", f"/List/{summed}")
    searched = "/CarePlan?status=active&_total=accurate"
    assert await statuses(world, *paths) == [200, 200, 200]
    assert (await world[HARBOR].get(searched)).json()["total"] == 1
    former.now()
    version = (await world[RIVER].get(paths[1])).json()["meta"]["versionId"]

    foretold = await walk(world, check=True)
    assert await statuses(world, *paths) == [200, 200, 200], "a check changes nothing"
    changes = await walk(world)
    assert counted(foretold) == counted(changes)
    assert counted(changes) == {
        (type_, "added", label): 1
        for type_ in ("Condition", "CarePlan", "List")
        for label in ("SUD", "OPIOIDUD", "R")
    }
    assert await statuses(world, *paths) == [404, 404, 404]
    assert (await world[HARBOR].get(searched)).json()["total"] == 0
    own = (await world[RIVER].get(paths[1])).json()
    assert security(own) == {"SUD", "OPIOIDUD", "R"}
    assert own["meta"]["versionId"] == version
    found = (await world[RIVER].get(f"/CarePlan?_security={ACT_CODE}|OPIOIDUD")).json()
    assert [entry["resource"]["id"] for entry in found["entry"]] == [early]
    assert await walk(world) == [], "a second walk finds nothing to do"


async def test_superseded_and_deleted_versions_are_labelled_by_what_they_said(
    world: World, former: Former
) -> None:
    patient = await new_patient(world[RIVER])
    corrected = await write(world, diagnosis(patient))
    await world[RIVER].put(f"/Condition/{corrected}", diagnosis(patient, "J45.909", id=corrected))
    condition = await write(world, diagnosis(patient))
    resting = await write(world, plan(patient, condition))
    other = await write(world, diagnosis(patient, "J45.909"))
    await world[RIVER].put(f"/CarePlan/{resting}", plan(patient, other, id=resting))
    deleted = await write(world, diagnosis(patient))
    assert (await world[RIVER].delete(f"/Condition/{deleted}")).status_code == 204
    await write(world, denying(patient, "SUD"))
    olds = (
        f"/Condition/{corrected}/_history/1",
        f"/CarePlan/{resting}/_history/1",
        f"/Condition/{deleted}/_history/1",
    )
    assert await statuses(world, *olds, f"/Condition/{deleted}") == [200, 200, 200, 410]
    former.now()
    foretold, changes = await walk(world, check=True), await walk(world)
    assert counted(foretold) == counted(changes)
    assert await statuses(world, *olds, f"/Condition/{deleted}") == [404, 404, 404, 404]
    assert await statuses(world, f"/Condition/{corrected}", f"/CarePlan/{resting}") == [200, 200]
    own = (await world[RIVER].get(olds[0])).json()
    assert security(own) == {"SUD", "OPIOIDUD", "R"}
    assert own["code"]["coding"][0]["code"] == "F11.20"
    assert await statuses(world, f"/Condition/{deleted}", by=RIVER) == [410]
    assert await walk(world) == []


async def test_what_an_agency_wrote_before_it_was_a_program_is_its_programs(world: World) -> None:
    patient = await new_patient(world[RIVER])
    visit = await write(world, diagnosis(patient, "J45.909"), by=RIVER)
    await write(world, denying(patient, "SUD"))
    organization = {
        "resourceType": "Organization",
        "id": RIVER,
        "name": RIVER,
        "type": [{"coding": [{"system": PROGRAM, "code": "part2"}]}],
    }
    assert (await world[RIVER].put(f"/Organization/{RIVER}", organization)).status_code == 200
    assert await statuses(world, f"/Condition/{visit}") == [200]
    foretold, changes = await walk(world, check=True), await walk(world)
    assert counted(foretold) == counted(changes)
    assert counted(changes)["Condition", "added", "part2"] == 1
    assert await statuses(world, f"/Condition/{visit}") == [404]
    assert (await world[LEGAL].get(f"/Organization/{RIVER}")).status_code == 200
    assert security((await world[RIVER].get(f"/Condition/{visit}")).json()) >= {"42CFRPart2", "SUD"}


async def test_a_check_counts_what_an_organization_labels_before_it_is_labelled_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = await new_patient(world[RIVER])
    await write(world, diagnosis(patient, "J45.909"))
    organization = {
        "resourceType": "Organization",
        "id": RIVER,
        "name": RIVER,
        "type": [{"coding": [{"system": PROGRAM, "code": "part2"}]}],
    }
    with monkeypatch.context() as before:
        before.setattr(labelling, "_PROGRAMS", {})
        assert (await world[RIVER].put(f"/Organization/{RIVER}", organization)).status_code == 200
    foretold, changes = await walk(world, check=True), await walk(world)
    assert counted(foretold) == counted(changes)
    assert counted(changes)["Organization", "added", "part2"] == 1
    assert counted(changes)["Condition", "added", "part2"] == 1


@pytest.mark.parametrize("versioned", ["", "|2"])
async def test_answers_are_labelled_by_a_questionnaire_that_came_after_them(
    world: World, versioned: str
) -> None:
    patient = await new_patient(world[RIVER])
    answers = await write(
        world,
        {
            "resourceType": "QuestionnaireResponse",
            "status": "completed",
            "questionnaire": f"{URL}{versioned}",
            "subject": {"reference": f"Patient/{patient}"},
        },
    )
    questionnaire = {
        "resourceType": "Questionnaire",
        "url": URL,
        "status": "active",
        "code": [{"system": LOINC, "code": "44249-1"}],
    }
    await write(world, questionnaire)
    await write(world, denying(patient, "MH"))
    assert await statuses(world, f"/QuestionnaireResponse/{answers}") == [200]
    foretold, changes = await walk(world, check=True), await walk(world)
    assert counted(foretold) == counted(changes)
    assert await statuses(world, f"/QuestionnaireResponse/{answers}") == [404]


async def test_answers_walked_before_their_questionnaire_are_labelled_when_it_is(
    world: World, former: Former
) -> None:
    patient = await new_patient(world[RIVER])
    answers = {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        "questionnaire": URL,
        "subject": {"reference": f"Patient/{patient}"},
    }
    name = await write(world, answers)
    await write(
        world,
        {
            "resourceType": "Questionnaire",
            "url": URL,
            "status": "active",
            "code": [{"system": LOINC, "code": "44249-1"}],
        },
    )
    former.now()
    foretold, changes = await walk(world, check=True), await walk(world)
    assert counted(foretold) == counted(changes)
    assert counted(changes)["QuestionnaireResponse", "added", "MH"] == 1
    assert "MH" in security((await world[RIVER].get(f"/QuestionnaireResponse/{name}")).json())


async def test_labels_that_rose_in_the_database_alone_come_to_stand_in_the_entry(
    world: World,
) -> None:
    patient = await new_patient(world[RIVER])
    condition = await write(world, diagnosis(patient, "J45.909"))
    resting = await write(world, plan(patient, condition))
    await world[RIVER].put(f"/Condition/{condition}", diagnosis(patient, "B20", id=condition))
    assert "HIV" not in security((await world[RIVER].get(f"/CarePlan/{resting}")).json())
    foretold, changes = await walk(world, check=True), await walk(world)
    assert counted(foretold) == counted(changes)
    assert counted(changes) == {
        ("CarePlan", "stated", "HIV"): 1,
        ("CarePlan", "stated", "R"): 1,
    }
    assert security((await world[RIVER].get(f"/CarePlan/{resting}")).json()) == {"HIV", "R"}


async def test_a_label_that_a_writer_gave_stays_and_a_lower_confidentiality_gives_way(
    world: World, former: Former
) -> None:
    patient = await new_patient(world[RIVER])
    stated = [
        {"system": ACT_CODE, "code": "EMPL"},
        {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "L"},
    ]
    condition = await write(world, diagnosis(patient, "B20", meta={"security": stated}))
    former.now()
    changes = await walk(world)
    assert counted(changes) == {
        ("Condition", "added", "HIV"): 1,
        ("Condition", "added", "R"): 1,
        ("Condition", "removed", "L"): 1,
    }
    own = (await world[RIVER].get(f"/Condition/{condition}")).json()
    assert security(own) == {"EMPL", "HIV", "R"}


async def test_a_walk_that_was_ended_goes_on_from_the_place_it_told(
    world: World, former: Former, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relabel, "BATCH", 2)
    monkeypatch.setattr(relabel, "LOCKED", 1)
    patient = await new_patient(world[RIVER])
    for _ in range(5):
        condition = await write(world, diagnosis(patient))
        await world[RIVER].put(f"/Condition/{condition}", diagnosis(patient, "B20", id=condition))
    former.now()
    places: list[Place] = []
    first: list[Change] = []

    def until(count: int) -> Any:
        def progress(_: int, place: Place) -> None:
            places.append(place)
            if len(places) == count:
                raise KeyboardInterrupt

        return progress

    async with keeper(world.database.admin_url) as connection:
        with pytest.raises(KeyboardInterrupt):
            await Walk(connection, (), first.extend, False).run(until(5), Place())
    rest = await walk(world, start=places[-1])
    assert first
    assert rest
    assert counted([*first, *rest]) == {
        ("Condition", "added", label): count
        for label, count in {"R": 10, "SUD": 5, "OPIOIDUD": 5, "HIV": 5}.items()
    }
    assert await walk(world) == []


@pytest.fixture
async def many(world: World, former: Former) -> list[str]:
    """Diagnoses that Harbor reads, and will not when they are labelled."""
    patient = await new_patient(world[RIVER])
    ids = [await write(world, diagnosis(patient)) for _ in range(12)]
    await write(world, denying(patient, "SUD"))
    former.now()
    return ids


async def test_no_reader_sees_an_entry_again_once_it_is_hidden(
    world: World, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relabel, "BATCH", 3)
    monkeypatch.setattr(relabel, "LOCKED", 1)
    seen: list[list[list[int]]] = [[], []]
    pages: list[list[set[str]]] = [[], []]
    done = asyncio.Event()

    async def read(reader: int) -> None:
        while not done.is_set():
            paths = [f"/Condition/{each}" for each in many]
            seen[reader].append(await statuses(world, *paths))
            page = (await world[HARBOR].get("/Condition?_count=100")).json()
            pages[reader].append({entry["resource"]["id"] for entry in page.get("entry", ())})

    readers = [asyncio.create_task(read(number)) for number in range(2)]
    await asyncio.sleep(0.05)
    await walk(world)
    done.set()
    await asyncio.gather(*readers)
    assert await statuses(world, *(f"/Condition/{each}" for each in many)) == [404] * 12
    # Each reader's answers, in their order: what was hidden once stays hidden.
    for answers in seen:
        for position in range(len(many)):
            story = [answer[position] for answer in answers]
            assert story == sorted(story)
    for found in pages:
        assert all(later <= earlier for earlier, later in itertools.pairwise(found))
    assert any(200 in answer for answers in seen for answer in answers)


async def test_a_write_meanwhile_is_not_lost_and_is_labelled(
    world: World, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relabel, "BATCH", 3)
    monkeypatch.setattr(relabel, "LOCKED", 2)
    patient = (await world[RIVER].get(f"/Condition/{many[0]}")).json()["subject"]["reference"]

    async def correct(name: str) -> None:
        for number in range(3):
            resource = diagnosis(patient.partition("/")[2], id=name, note=[{"text": str(number)}])
            answer = await world[RIVER].put(f"/Condition/{name}", resource)
            assert answer.status_code == 200, answer.text

    await asyncio.gather(walk(world), *(correct(each) for each in many))
    for each in many:
        own = (await world[RIVER].get(f"/Condition/{each}")).json()
        assert own["note"] == [{"text": "2"}]
        assert own["meta"]["versionId"] == "4"
        assert security(own) == {"SUD", "OPIOIDUD", "R"}
    await walk(world)
    assert await walk(world, check=True) == []


async def test_index_rows_say_what_their_resource_says(world: World, many: list[str]) -> None:
    await walk(world)
    owner = await asyncpg.connect(world.database.admin_url)
    try:
        for table in ("token", "date", "string", "number", "text"):
            differing = await owner.fetchval(
                f"SELECT count(*) FROM tl.index_{table} i JOIN tl.resource r USING (rid) "
                "WHERE i.inline_mask IS NULL AND (i.labels, i.open) IS DISTINCT FROM (r.labels, r.open)"
            )
            assert differing == 0, table
    finally:
        await owner.close()


async def test_a_document_carries_the_labels_of_its_entries(world: World) -> None:
    inside = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "meta": {"security": [{"system": ACT_CODE, "code": "EMPL"}]},
    }
    made = await write(
        world,
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": inside}]},
    )
    assert "EMPL" in security((await world[RIVER].get(f"/Bundle/{made}")).json())


async def test_a_low_confidentiality_that_climbs_lowers_nothing(world: World) -> None:
    patient = await new_patient(world[RIVER])
    low = [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "L"}]
    condition = await write(world, diagnosis(patient, "J45.909"))
    early = await write(world, plan(patient, condition))
    await world[RIVER].put(
        f"/Condition/{condition}",
        diagnosis(patient, "J45.909", id=condition, meta={"security": low}),
    )
    late = await write(world, plan(patient, condition))
    covering = consent(patient, type="permit", actor=actor(HARBOR), securityLabel=low)
    await write(world, covering)
    assert await statuses(world, f"/Condition/{condition}") == [200]
    assert await statuses(world, f"/CarePlan/{early}", f"/CarePlan/{late}") == [404, 404]


async def test_a_deadlock_with_a_writer_is_tried_again(
    world: World, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[int] = []
    put = relabelling._put

    async def fails_once(connection: asyncpg.Connection, rows: Sequence[Relabelled]) -> None:
        await put(connection, rows)
        if rows and not failed:
            failed.append(len(rows))
            raise asyncpg.DeadlockDetectedError

    monkeypatch.setattr(relabelling, "_put", fails_once)
    changes = await walk(world)
    assert failed == [12]
    assert counted(changes)["Condition", "added", "SUD"] == 12
    assert await statuses(world, *(f"/Condition/{each}" for each in many)) == [404] * 12

"""Elements under an inline label: away on every path for whoever may not see them, whole for all others."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import psycopg
import pytest

from tests.redaction.conftest import SECRET_CODE, SHELTER, Record, label, measured
from tests.search_rows import TABLES, strays
from tests.spine.conftest import Agency, actor, consent, observation

Json = dict[str, Any]
CONCEALED = (
    "oncealed",
    "8867-4",
    "Hiddentown",
    "1990-05-05",
    '"value":77',
    '"value":0.4',
    "inline-sec-label",
)


def assert_cut(text: str) -> None:
    for word in CONCEALED:
        assert word not in text, word


def is_marked(resource: Json) -> bool:
    return any(each["code"] == "REDACTED" for each in resource["meta"].get("security", ()))


async def paths(record: Record) -> list[str]:
    """Every way of reading the Observation or the Patient."""
    ana, measured_, visit = (record.ids[name] for name in ("ana", "measured", "visit"))
    return [
        f"/Observation/{measured_}",
        f"/Observation/{measured_}?_format=json",
        f"/Observation/{measured_}?_elements=component,note,encounter",
        f"/Observation/{measured_}?_summary=true",
        f"/Observation/{measured_}/_history/1",
        f"/Observation/{measured_}/_history",
        "/Observation/_history",
        "/_history",
        f"/Observation?_id={measured_}",
        f"/Observation?patient={ana}",
        "/Observation?code=85354-9&_sort=date",
        f"/Observation?_id={measured_}&_include=Observation:subject",
        f"/Patient?_id={ana}&_revinclude=Observation:patient",
        f"/Patient/{ana}",
        f"/Patient/{ana}/Observation",
        f"/Patient/{ana}/$everything",
        f"/Patient/{ana}/$summary",
        f"/Patient/{ana}/$outcomes",
        f"/Encounter?_id={visit}&_revinclude=Observation:encounter",
    ]


async def test_no_path_shows_a_withheld_element(record: Record) -> None:
    for path in await paths(record):
        answer = await record.harbor.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        assert_cut(answer.text)


async def test_what_is_read_together_is_cut_as_what_is_read_alone(record: Record) -> None:
    # The second path is whole for its reader, and is found by the first statement of a group.
    reads = (f"/Observation/{record.ids['measured']}", f"/Encounter/{record.ids['visit']}")
    alone = {path: (await record.harbor.get(path)).content for path in reads}
    together = await asyncio.gather(*(record.harbor.get(path) for path in reads * 4))
    assert [each.content for each in together] == [alone[path] for path in reads * 4]
    assert_cut(together[0].text)


async def test_a_cut_resource_keeps_the_rest_without_narrative_and_says_redacted(
    record: Record,
) -> None:
    cut = (await record.harbor.get(f"/Observation/{record.ids['measured']}")).json()
    assert is_marked(cut)
    assert "text" not in cut
    assert "valueQuantity" not in cut
    assert "encounter" not in cut
    assert cut["note"] == [{"text": "open remark"}]
    assert [each["value"] for each in cut["identifier"]] == ["shown"]
    assert len(cut["component"]) == 1
    person = (await record.harbor.get(f"/Patient/{record.ids['ana']}")).json()
    assert "birthDate" not in person
    assert "_birthDate" not in person
    assert person["name"] == [{"family": "Sample"}]
    assert person["gender"] == "female"


async def test_the_custodian_reads_the_stored_bytes(record: Record) -> None:
    whole = await record.river.get(f"/Observation/{record.ids['measured']}")
    assert b'"value":0.4,' in whole.content
    assert "concealednarrative" in whole.text
    assert not is_marked(whole.json())


async def test_who_may_see_the_label_reads_the_element(record: Record) -> None:
    permit = consent(record.ids["ana"], type="permit", actor=actor(SHELTER))
    await record.write("second", permit)
    whole = await record.river.get(f"/Observation/{record.ids['measured']}")
    seen = await record.world[SHELTER].get(f"/Observation/{record.ids['measured']}")
    assert seen.content == whole.content


SEARCHES = (
    "/Observation?identifier=urn:x|concealed",
    "/Observation?encounter=Encounter/{visit}",
    "/Observation?encounter.status=finished",
    "/Observation?encounter._id={visit}",
    "/Observation?value-quantity=0.4",
    "/Observation?component-code=8867-4",
    "/Observation?component-code-value-quantity=8867-4$77",
    "/Observation?combo-value-quantity=77",
    "/Observation?_content=concealedword",
    "/Observation?_text=concealednarrative",
    "/Observation?encounter:missing=false",
    "/Patient?name=Concealed",
    "/Patient?family:exact=Concealed",
    "/Patient?name:contains=onceal",
    "/Patient?birthdate=1990-05-05",
    "/Patient?birthdate:missing=false",
    "/Patient?address-city=Hiddentown",
    "/Encounter?_has:Observation:encounter:code=85354-9",
    "/Patient?_has:Observation:patient:component-code=8867-4",
)


@pytest.mark.parametrize("path", SEARCHES)
async def test_rows_from_an_element_match_only_for_who_may_see_it(
    record: Record, path: str
) -> None:
    path = path.format(**record.ids)
    if "missing" in path:
        path += f"&_id={record.ids['measured' if 'Observation' in path else 'ana']}"
    joined = "&" if "?" in path else "?"
    for agency, seen in ((record.river, 1), (record.harbor, 0)):
        found = await record.found(agency, path)
        total = (await agency.get(f"{path}{joined}_summary=count")).json()["total"]
        assert (len(found), total) == (seen, seen), path


async def test_what_is_said_in_the_open_too_is_found_by_all(record: Record) -> None:
    ana = record.ids["ana"]
    await record.write(
        "twice",
        observation(
            ana,
            identifier=[
                {"system": "urn:x", "value": "twice"},
                {"system": "urn:x", "value": "twice", "extension": label()},
            ],
        ),
    )
    for agency in (record.river, record.harbor):
        assert await record.found(agency, "/Observation?identifier=urn:x|twice") == {"twice"}


async def test_not_and_missing_count_a_hidden_element_as_absent(record: Record) -> None:
    id_ = record.ids["measured"]
    path = f"/Observation?_id={id_}&component-code:not=8867-4"
    assert await record.found(record.harbor, path) == {"measured"}
    assert await record.found(record.river, path) == set()
    path = f"/Observation?_id={id_}&encounter:missing=true"
    assert await record.found(record.harbor, path) == {"measured"}
    assert await record.found(record.river, path) == set()


async def test_sorting_by_a_hidden_element_treats_it_as_missing(record: Record) -> None:
    ana = record.ids["ana"]
    for name, day in (("first", "2026-03-05"), ("last", "2026-03-09")):
        await record.write(name, observation(ana, effectiveDateTime=day))
    hidden = observation(ana, effectiveDateTime="2026-03-07")
    await record.write("between", hidden | {"_effectiveDateTime": {"extension": label()}})

    async def order(agency: Agency) -> list[str]:
        names = {record.ids[n]: n for n in ("first", "between", "last")}
        bundle = (await agency.get("/Observation?_sort=date&_count=20")).json()
        ids = [each["resource"]["id"] for each in bundle["entry"]]
        return [names[id_] for id_ in ids if id_ in names]

    assert await order(record.river) == ["first", "between", "last"]
    assert await order(record.harbor) == ["first", "last", "between"]


async def test_words_of_open_and_labelled_elements_match_together_for_who_sees_both(
    record: Record,
) -> None:
    path = "/Observation?_content=remark concealedword"
    assert await record.found(record.river, path) == {"measured"}
    assert await record.found(record.harbor, path) == set()
    assert await record.found(record.harbor, "/Observation?_content=remark") == {"measured"}


async def test_a_reference_in_a_hidden_element_is_not_followed(record: Record) -> None:
    id_, visit = record.ids["measured"], record.ids["visit"]
    include = f"/Observation?_id={id_}&_include=Observation:encounter"
    assert await record.found(record.river, include) == {"measured", "visit"}
    assert await record.found(record.harbor, include) == {"measured"}
    back = f"/Encounter?_id={visit}&_revinclude=Observation:encounter"
    assert await record.found(record.river, back) == {"measured", "visit"}
    assert await record.found(record.harbor, back) == {"visit"}


async def test_everything_fetches_nothing_that_only_a_hidden_element_names(record: Record) -> None:
    place = await record.write("place", {"resourceType": "Location", "name": "Refuge"})
    visit = {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{record.ids['ana']}"},
        "location": [{"location": {"reference": f"Location/{place}"}, "extension": label()}],
    }
    await record.write("hidden place", visit)
    path = f"/Patient/{record.ids['ana']}/$everything?_count=100"
    assert "place" in await record.found(record.river, path)
    assert "place" not in await record.found(record.harbor, path)


async def test_a_version_before_the_label_is_not_seen(record: Record) -> None:
    id_ = await record.write("relabelled", observation(record.ids["ana"], note=[{"text": "loud"}]))
    assert "loud" in (await record.harbor.get(f"/Observation/{id_}/_history/1")).text
    now = observation(record.ids["ana"], id=id_, note=[{"text": "loud", "extension": label()}])
    assert (await record.river.put(f"/Observation/{id_}", now)).status_code == 200
    old = await record.harbor.get(f"/Observation/{id_}/_history/1")
    missing = await record.harbor.get(f"/Observation/{id_}/_history/7")
    assert (old.status_code, old.content) == (404, missing.content)
    history = await record.harbor.get(f"/Observation/{id_}/_history")
    assert "loud" not in history.text
    assert history.json()["total"] == 1
    assert (await record.river.get(f"/Observation/{id_}/_history")).json()["total"] == 2


async def test_a_version_is_judged_by_its_own_elements_too(record: Record) -> None:
    id_ = record.ids["measured"]
    bare = observation(record.ids["ana"], id=id_)
    assert (await record.river.put(f"/Observation/{id_}", bare)).status_code == 200
    answer = await record.harbor.get(f"/Observation/{id_}/_history/1")
    assert answer.status_code == 200
    assert_cut(answer.text)
    assert is_marked(answer.json())
    assert not is_marked((await record.harbor.get(f"/Observation/{id_}")).json())


async def test_two_labels_are_judged_each_by_itself(record: Record) -> None:
    id_ = await record.write(
        "two",
        observation(
            record.ids["ana"],
            note=[
                {"text": "hivword", "extension": label("HIV")},
                {"text": "sdvword", "extension": label("SDV")},
                {"text": "bothword", "extension": label("HIV") + label("SDV")},
                {"text": "plainword"},
            ],
        ),
    )
    seen = (await record.harbor.get(f"/Observation/{id_}")).json()
    assert [each["text"] for each in seen["note"]] == ["hivword", "plainword"]
    assert is_marked(seen)
    for word, count in (("hivword", 1), ("sdvword", 0), ("bothword", 0), ("plainword", 1)):
        assert len(await record.found(record.harbor, f"/Observation?_content={word}")) == count
        assert len(await record.found(record.river, f"/Observation?_content={word}")) == 1


async def test_what_encloses_a_hidden_element_hides_what_is_within(record: Record) -> None:
    inner = {"text": "innerword", "extension": label("HIV")}
    component = {"code": {"text": "outerword"}, "valueCodeableConcept": inner}
    id_ = await record.write(
        "nested", observation(record.ids["ana"], component=[component | {"extension": label()}])
    )
    seen = (await record.harbor.get(f"/Observation/{id_}")).json()
    assert "component" not in seen
    assert await record.found(record.harbor, "/Observation?_content=innerword") == set()
    assert await record.found(record.river, "/Observation?_content=innerword") == {"nested"}


async def test_a_label_on_the_resource_itself_hides_the_resource(record: Record) -> None:
    id_ = await record.write("whole", observation(record.ids["ana"], extension=label()))
    assert (await record.river.get(f"/Observation/{id_}")).status_code == 200
    assert (await record.harbor.get(f"/Observation/{id_}")).status_code == 404


async def test_an_unknown_label_hides_from_every_label_scoped_permit(record: Record) -> None:
    permit = consent(
        record.ids["ana"],
        type="permit",
        actor=actor(SHELTER),
        securityLabel=[
            {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}
        ],
    )
    await record.write("scoped", permit)
    odd = [{"text": "odd", "extension": [{**label()[0], "valueCoding": {"code": "odd"}}]}]
    stated = {
        "security": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}
        ]
    }
    id_ = await record.write("odd", observation(record.ids["ana"], note=odd, meta=stated))
    answer = await record.world[SHELTER].get(f"/Observation/{id_}")
    assert answer.status_code == 200
    assert "odd" not in answer.text


async def test_a_label_scoped_permit_shows_no_row_of_a_resource_that_it_does_not_show(
    record: Record,
) -> None:
    permit = consent(
        record.ids["ana"],
        type="permit",
        actor=actor(SHELTER),
        securityLabel=[
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "SDV"}
        ],
    )
    await record.write("scoped", permit)
    shelter = record.world[SHELTER]
    assert (await shelter.get(f"/Observation/{record.ids['measured']}")).status_code == 404
    for path in ("/Observation?component-code=8867-4", "/Observation?identifier=urn:x|concealed"):
        assert (await shelter.get(f"{path}&_summary=count")).json()["total"] == 0
        assert await record.found(shelter, path) == set()


async def test_a_shelter_hides_its_address_alone(record: Record) -> None:
    place = {
        "resourceType": "Organization",
        "name": "Refuge House",
        "address": [{"city": "Secretville", "extension": label("LOCIS")}],
        "telecom": [{"system": "phone", "value": "555-0100"}],
    }
    answer = await record.world[SHELTER].post("/Organization", place)
    id_ = answer.json()["id"]
    assert "Secretville" in (await record.world[SHELTER].get(f"/Organization/{id_}")).text
    seen = (await record.river.get(f"/Organization/{id_}")).json()
    assert "address" not in seen
    assert seen["telecom"][0]["value"] == "555-0100"
    for agency, count in ((record.world[SHELTER], 1), (record.river, 0)):
        answer = await agency.get("/Organization?address-city=Secretville&_summary=count")
        assert answer.json()["total"] == count


async def test_a_permit_by_code_does_not_tell_of_a_code_in_a_hidden_element(record: Record) -> None:
    permit = consent(record.ids["ana"], type="permit", actor=actor(SHELTER), code=[SECRET_CODE])
    await record.write("by code", permit)
    answer = await record.world[SHELTER].get(f"/Observation/{record.ids['measured']}")
    assert answer.status_code == 404
    open_ = await record.write("open", observation(record.ids["ana"], code=SECRET_CODE))
    assert (await record.world[SHELTER].get(f"/Observation/{open_}")).status_code == 200


async def test_a_deny_by_code_reaches_a_code_in_a_labelled_element(record: Record) -> None:
    permit = consent(
        record.ids["ana"],
        type="permit",
        actor=actor(SHELTER),
        provision=[{"type": "deny", "code": [SECRET_CODE]}],
    )
    await record.write("but code", permit)
    answer = await record.world[SHELTER].get(f"/Observation/{record.ids['measured']}")
    assert answer.status_code == 404


async def test_an_element_is_found_anew_after_the_index_is_made_again(record: Record) -> None:
    from app.interactions.reindex import reindex

    await reindex(record.world.database.admin_url, (), lambda *_: None)
    for agency, count in ((record.river, 1), (record.harbor, 0)):
        answer = await agency.get("/Observation?component-code=8867-4&_summary=count")
        assert answer.json()["total"] == count
        include = f"/Observation?_id={record.ids['measured']}&_include=Observation:encounter"
        assert len(await record.found(agency, include)) == 1 + count


async def test_rows_of_a_release_without_masks_of_codes_get_them_with_the_index(
    record: Record,
) -> None:
    from app.interactions.reindex import reindex

    url = record.world.database.admin_url
    with psycopg.connect(url) as owner:
        for table in ("resource", *TABLES):
            owner.execute(f"UPDATE tl.{table} SET code_mask = NULL".encode())
    assert strays(record.world.database)
    await reindex(url, (), lambda *_: None)
    assert strays(record.world.database) == {}
    with psycopg.connect(url) as owner:
        text = "SELECT count(*) FROM tl.resource WHERE code_mask IS NULL AND NOT deleted"
        assert owner.execute(text).fetchone() == (0,)


async def test_batch_entries_are_cut_as_well(record: Record) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [
            {"request": {"method": "GET", "url": f"Observation/{record.ids['measured']}"}},
            {"request": {"method": "GET", "url": f"Observation?patient={record.ids['ana']}"}},
        ],
    }
    answer = await record.harbor.post("", bundle)
    assert answer.status_code == 200
    assert_cut(answer.text)
    assert json.dumps(answer.json()).count("REDACTED") == 2


def test_the_record_conceals_what_the_tests_look_for() -> None:
    text = json.dumps(measured("ana", "visit"))
    assert all(word in text for word in ("oncealed", "8867-4", "inline-sec-label"))

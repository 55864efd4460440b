"""Who sees a resource cut may not write it: nothing hidden is lost, overwritten or found out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.redaction.conftest import SHELTER, TREAT, Record, actions, label
from tests.spine.conftest import ACT_CODE, actor, consent, observation

Json = dict[str, Any]


async def _cut(record: Record) -> Json:
    found: Json = (await record.harbor.get(f"/Observation/{record.ids['measured']}")).json()
    return found


async def test_an_update_by_who_sees_it_cut_is_refused_whatever_it_says(record: Record) -> None:
    before = await record.river.get(f"/Observation/{record.ids['measured']}")
    cut = await _cut(record)
    answers = [
        await record.harbor.put(f"/Observation/{cut['id']}", body)
        for body in (cut, cut | {"status": "amended"}, before.json())
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.text for answer in answers}) == 1
    after = await record.river.get(f"/Observation/{record.ids['measured']}")
    assert after.content == before.content


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/valueQuantity/value", "value": 0.4},
        {"op": "test", "path": "/valueQuantity/value", "value": 9},
        {"op": "test", "path": "/component/0/valueQuantity/value", "value": 77},
        {"op": "remove", "path": "/note/1"},
        {"op": "remove", "path": "/note/7"},
        {"op": "copy", "from": "/note/1/text", "path": "/note/0/text"},
        {"op": "replace", "path": "/status", "value": "amended"},
    ],
)
async def test_a_json_patch_tells_nothing_of_a_hidden_element(
    record: Record, operation: Json
) -> None:
    path = f"/Observation/{record.ids['measured']}"
    answer = await record.patch(record.harbor, path, [operation])
    control = await record.patch(
        record.harbor, path, [{"op": "test", "path": "/status", "value": "no"}]
    )
    assert (answer.status_code, answer.text) == (403, control.text)


async def test_a_fhirpath_patch_tells_nothing_of_a_hidden_element(record: Record) -> None:
    path = f"/fhir/Observation/{record.ids['measured']}"
    texts = set()
    for condition in ("text = 'concealedword'", "text = 'never'"):
        patch = {
            "resourceType": "Parameters",
            "parameter": [
                {
                    "name": "operation",
                    "part": [
                        {"name": "type", "valueCode": "delete"},
                        {"name": "path", "valueString": f"Observation.note.where({condition})"},
                    ],
                }
            ],
        }
        answer = await record.harbor.http.patch(path, headers=record.harbor.headers, json=patch)
        assert answer.status_code == 403
        texts.add(answer.text)
    assert len(texts) == 1


async def test_conditional_writes_find_nothing_by_a_hidden_element(record: Record) -> None:
    for value in ("concealed", "never"):
        criteria = f"identifier=urn:x|{value}"
        answer = await record.harbor.http.delete(
            f"/fhir/Observation?{criteria}", headers=record.harbor.headers
        )
        assert answer.status_code == 204
        mine = observation(record.ids["ana"], identifier=[{"system": "urn:x", "value": value}])
        answer = await record.harbor.http.post(
            "/fhir/Observation",
            headers=record.harbor.headers | {"If-None-Exist": criteria},
            json=mine,
        )
        assert answer.status_code == 201
    assert (await record.river.get(f"/Observation/{record.ids['measured']}")).status_code == 200


async def test_a_stale_if_match_names_no_hidden_element(record: Record) -> None:
    id_ = record.ids["measured"]
    whole = (await record.river.get(f"/Observation/{id_}")).json()
    whole["note"][1]["text"] = "concealed again"
    whole["status"] = "amended"
    assert (await record.river.put(f"/Observation/{id_}", whole)).status_code == 200
    answer = await record.harbor.put(f"/Observation/{id_}", await _cut(record), If_Match='W/"1"')
    assert answer.status_code == 412
    assert "note" not in answer.text
    assert "concealed" not in answer.text


async def test_a_deletion_by_who_sees_it_cut_is_refused(record: Record) -> None:
    path = f"/Observation/{record.ids['measured']}"
    assert (await record.harbor.delete(path)).status_code == 403
    assert (await record.river.get(path)).status_code == 200


async def test_adding_a_label_by_operation_is_a_write_too(record: Record) -> None:
    answer = await record.harbor.post(
        f"/Observation/{record.ids['measured']}/$meta-add",
        {
            "resourceType": "Parameters",
            "parameter": [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}],
        },
    )
    assert answer.status_code == 403


async def _may_correct(record: Record, *more: Json) -> None:
    await record.write(
        "correcting",
        consent(
            record.ids["ana"],
            type="permit",
            actor=actor(SHELTER),
            purpose=TREAT,
            action=actions("access", "correct"),
            **({"provision": list(more)} if more else {}),
        ),
    )


async def test_who_sees_all_of_it_corrects_it_and_keeps_its_labels(record: Record) -> None:
    await _may_correct(record)
    shelter = record.world[SHELTER]
    path = f"/Observation/{record.ids['measured']}"
    whole = (await shelter.get(path)).json()
    whole["note"][1]["text"] = "corrected"
    assert (await shelter.put(path, whole)).status_code == 200
    assert "corrected" in (await record.river.get(path)).text
    assert "corrected" not in (await record.harbor.get(path)).text
    del whole["note"][1]["extension"]
    answer = await shelter.put(path, whole)
    assert answer.status_code == 422
    assert "keep their inline security labels" in answer.text
    whole["note"][1]["extension"] = label()
    whole["note"].append({"text": "more", "extension": label()})
    assert (await shelter.put(path, whole)).status_code == 200


async def test_who_may_not_correct_what_is_labelled_may_not_replace_it(record: Record) -> None:
    deny = {
        "type": "deny",
        "action": actions("correct"),
        "securityLabel": [{"system": ACT_CODE, "code": "SDV"}],
    }
    await _may_correct(record, deny)
    shelter = record.world[SHELTER]
    path = f"/Observation/{record.ids['measured']}"
    whole = await shelter.get(path)
    assert "concealedword" in whole.text
    answer = await shelter.put(path, whole.json() | {"status": "amended"})
    assert answer.status_code == 403


async def test_the_custodian_may_take_a_label_away(record: Record) -> None:
    path = f"/Observation/{record.ids['measured']}"
    whole = (await record.river.get(path)).json()
    del whole["note"][1]["extension"]
    assert (await record.river.put(path, whole)).status_code == 200
    assert "concealedword" in (await record.harbor.get(path)).text


async def test_an_update_that_changes_nothing_makes_no_version_for_the_custodian(
    record: Record,
) -> None:
    path = f"/Observation/{record.ids['measured']}"
    whole = await record.river.get(path)
    answer = await record.river.put(path, whole.json())
    assert answer.headers["etag"] == whole.headers["etag"]


async def test_the_database_refuses_the_write_as_well(record: Record) -> None:
    """Without the check in the pipeline, the function that writes rows still says no."""
    from unittest import mock

    from app.storage import elements

    with mock.patch.object(elements, "shown", lambda row: row["content"]):
        import dataclasses

        from app.interactions import write_lock
        from app.storage import resources

        original = resources.lock_current

        async def blind(*given: Any) -> Any:
            found = await original(*given)
            return found and dataclasses.replace(found, redacted=False)

        with mock.patch.object(write_lock.resources, "lock_current", blind):
            cut = await _cut(record)
            with pytest.raises(Exception, match="may not write this row"):
                await record.harbor.put(f"/Observation/{cut['id']}", cut | {"status": "amended"})

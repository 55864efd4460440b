"""The same person known to several systems: found, linked with authority over both, summed up, parted."""

from __future__ import annotations

from typing import Any

import pytest

from app.care.record.summary import SECTIONS
from app.fhir_mappings import json_text
from app.fhir_mappings.validate import validate
from tests.care.conftest import (
    HARBOR,
    LEGAL,
    RIVER,
    SHELTER,
    Agency,
    Json,
    World,
    actions,
    actor,
    classes,
    concept,
    consent,
    created,
    found,
    new_patient,
    observation,
    reference,
    release,
    saved,
)

FUNCTIONING = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category"

PERSON: Json = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:mrn", "value": "77"}],
    "name": [{"family": "Núñez", "given": ["Ana", "María"]}],
    "birthDate": "1997-03-14",
    "telecom": [{"system": "phone", "value": "+1 503 555 0161"}],
}


async def matched(agency: Agency, wanted: Json, **more: Any) -> list[tuple[str, str]]:
    """(id, grade) of each match."""
    parameters = [{"name": "resource", "resource": {"resourceType": "Patient"} | wanted}]
    parameters += [{"name": name} | value for name, value in more.items()]
    body = {"resourceType": "Parameters", "parameter": parameters}
    answer = await agency.post("/Patient/$match", body)
    assert answer.status_code == 200, answer.text
    assert validate(json_text.parse(answer.content, max_depth=40), expected_type="Bundle") == []
    return [
        (e["resource"]["id"], e["search"]["extension"][0]["valueCode"])
        for e in answer.json().get("entry", ())
    ]


@pytest.mark.parametrize(
    ("wanted", "grade"),
    [
        ({"identifier": PERSON["identifier"]}, "certain"),
        (
            {"name": [{"family": "nunez", "given": ["ANA"]}], "birthDate": "1997-03-14"},
            "probable",
        ),
        ({"name": [{"family": "Núñez"}]}, "possible"),
        ({"name": [{"given": ["María"]}], "birthDate": "1997-03-14"}, "possible"),
        ({"name": [{"family": "Núñez"}], "birthDate": "1998-03-14"}, None),
        ({"identifier": [{"system": "urn:other", "value": "77"}]}, None),
        ({"name": [{"family": "Nunes"}]}, None),
    ],
)
async def test_match_grades(world: World, wanted: Json, grade: str | None) -> None:
    made = await created(world[RIVER], PERSON)
    await created(world[RIVER], {"resourceType": "Patient", "name": [{"family": "Other"}]})
    expected = [(made["id"], grade)] if grade else []
    assert await matched(world[RIVER], wanted) == expected


async def test_match_answers_only_from_what_the_caller_sees(world: World) -> None:
    made = await created(world[RIVER], PERSON)
    assert await matched(world[HARBOR], PERSON) == []
    await created(world[RIVER], release(made["id"], HARBOR, "Patient"))
    assert await matched(world[HARBOR], PERSON) == [(made["id"], "certain")]


async def test_only_certain_matches_and_only_one(world: World) -> None:
    await created(world[RIVER], PERSON)
    certain: Json = {"onlyCertainMatches": {"valueBoolean": True}}
    name = {"name": PERSON["name"]}
    assert len(await matched(world[RIVER], PERSON, **certain)) == 1
    assert await matched(world[RIVER], name, **certain) == []
    await created(world[RIVER], PERSON)
    assert await matched(world[RIVER], PERSON, **certain) == []
    assert len(await matched(world[RIVER], PERSON, count={"valueInteger": 1})) == 1


async def test_match_needs_a_patient(world: World) -> None:
    answer = await world[RIVER].post("/Patient/$match", {"resourceType": "Parameters"})
    assert answer.status_code == 422


def other(patient: str) -> Json:
    value = {"name": "other", "valueReference": reference(f"Patient/{patient}")}
    return {"resourceType": "Parameters", "parameter": [value]}


async def two(world: World) -> tuple[str, str, str, str]:
    """One person as River's and as Harbor's Patient, each with an Observation."""
    ours, theirs = await new_patient(world[RIVER]), await new_patient(world[HARBOR])
    first = await created(world[RIVER], observation(ours))
    second = await created(world[HARBOR], observation(theirs))
    # Harbor lets River see and correct its record of her: that is River's authority over it.
    permit = consent(
        theirs,
        type="permit",
        actor=actor(RIVER),
        provision=[
            {
                "type": "permit",
                "actor": actor(RIVER),
                "action": actions("access", "correct"),
                "class": classes("Patient"),
            }
        ],
    )
    await created(world[HARBOR], permit)
    return ours, theirs, first["id"], second["id"]


async def sees(agency: Agency, *ids: str) -> list[bool]:
    return [(await agency.get(f"/Observation/{id_}")).status_code == 200 for id_ in ids]


async def test_linked_patients_have_one_set_of_consents_and_parted_ones_two(world: World) -> None:
    ours, theirs, first, second = await two(world)
    await created(world[RIVER], release(ours, SHELTER))
    assert await sees(world[SHELTER], first, second) == [True, False]
    linked = await world[RIVER].post(f"/Patient/{ours}/$link", other(theirs))
    assert linked.status_code == 200, linked.text
    assert [e["resource"]["link"][0]["type"] for e in linked.json()["entry"]] == ["seealso"] * 2
    assert await sees(world[SHELTER], first, second) == [True, True]
    assert await sees(world[RIVER], first, second) == [True, True]
    assert await sees(world[LEGAL], first, second) == [False, False]
    later = await created(world[HARBOR], observation(theirs))
    assert await sees(world[SHELTER], later["id"]) == [True]
    parted = await world[RIVER].post(f"/Patient/{ours}/$unlink", other(theirs))
    assert parted.status_code == 200, parted.text
    assert "link" not in parted.json()["entry"][0]["resource"]
    assert await sees(world[SHELTER], first, second, later["id"]) == [True, False, False]
    assert await sees(world[HARBOR], first, second, later["id"]) == [False, True, True]


async def test_a_deny_about_either_counts_for_both(world: World) -> None:
    ours, theirs, first, second = await two(world)
    await created(world[RIVER], release(ours, SHELTER))
    await world[RIVER].post(f"/Patient/{ours}/$link", other(theirs))
    deny = await created(world[HARBOR], consent(theirs, type="deny", actor=actor(SHELTER)))
    assert await sees(world[SHELTER], first, second) == [False, False]
    await saved(world[HARBOR], deny | {"status": "inactive"})
    assert await sees(world[SHELTER], first, second) == [True, True]


async def test_withdrawal_ends_sight_of_the_whole_person_at_once(world: World) -> None:
    ours, theirs, first, second = await two(world)
    permit = await created(world[RIVER], release(ours, SHELTER))
    await world[RIVER].post(f"/Patient/{ours}/$link", other(theirs))
    await saved(world[RIVER], permit | {"status": "inactive"})
    assert await sees(world[SHELTER], first, second) == [False, False]


async def test_linking_needs_authority_over_both(world: World) -> None:
    ours, theirs, _, _ = await two(world)
    await created(world[RIVER], release(ours, SHELTER, "Patient"))
    shelters = await new_patient(world[SHELTER])
    refused = await world[SHELTER].post(f"/Patient/{shelters}/$link", other(ours))
    assert refused.status_code == 403
    hidden = await world[SHELTER].post(f"/Patient/{shelters}/$link", other(theirs))
    missing = await world[SHELTER].post(f"/Patient/{shelters}/$link", other("none"))
    assert (hidden.status_code, hidden.content) == (422, missing.content)
    assert (await world[LEGAL].post(f"/Patient/{ours}/$link", other(theirs))).status_code == 404


async def test_a_link_element_alone_makes_nobody_one_person(world: World) -> None:
    ours, theirs, first, second = await two(world)
    await created(world[RIVER], release(ours, SHELTER))
    mine = (await world[RIVER].get(f"/Patient/{ours}")).json()
    graft = [{"other": reference(f"Patient/{theirs}"), "type": "seealso"}]
    await saved(world[RIVER], mine | {"link": graft})
    assert await sees(world[SHELTER], first, second) == [False, False]
    unlinked = await world[RIVER].post(f"/Patient/{ours}/$unlink", other(theirs))
    assert unlinked.status_code == 422


async def test_the_summary_has_the_sections_of_the_international_patient_summary(
    world: World,
) -> None:
    patient = await new_patient(world[RIVER])
    subject = reference(f"Patient/{patient}")
    status = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    condition = await created(
        world[RIVER],
        {
            "resourceType": "Condition",
            "clinicalStatus": {"coding": [{"system": status, "code": "active"}]},
            "code": {"text": "Asthma"},
            "subject": subject,
        },
    )
    answer = await world[RIVER].get(f"/Patient/{patient}/$summary")
    bundle = answer.json()
    assert validate(bundle, expected_type="Bundle") == []
    head = bundle["entry"][0]["resource"]
    assert head["type"]["coding"][0]["code"] == "60591-5"
    sections = {s["code"]["coding"][0]["code"]: s for s in head["section"]}
    assert sections["11450-4"]["entry"] == [reference(f"Condition/{condition['id']}")]
    assert {code for code, s in sections.items() if "emptyReason" in s} == {"48765-2", "10160-0"}
    inside = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(inside) == len(set(inside)) == 4


async def test_each_section_of_the_summary_has_what_belongs_to_it(world: World) -> None:
    patient = await new_patient(world[RIVER])
    subject = reference(f"Patient/{patient}")
    terms = "http://terminology.hl7.org/CodeSystem"

    def seen(category: str, code: str = "1-1") -> Json:
        return {
            "resourceType": "Observation",
            "status": "final",
            "category": [concept(f"{terms}/observation-category", category)],
            "code": concept("http://loinc.org", code),
            "subject": subject,
        }

    def problem(status: str) -> Json:
        return {
            "resourceType": "Condition",
            "clinicalStatus": concept(f"{terms}/condition-clinical", status),
            "code": {"text": status},
            "subject": subject,
        }

    def flag(status: str) -> Json:
        return {
            "resourceType": "Flag",
            "status": status,
            "code": {"text": f"Call in the morning ({status})"},
            "subject": subject,
        }

    def assessment(code: str) -> Json:
        return {
            "resourceType": "ClinicalImpression",
            "status": "completed",
            "code": concept("http://loinc.org", code),
            "summary": "Needs no help at home.",
            "subject": subject,
        }

    device = {
        "resourceType": "DeviceUseStatement",
        "status": "active",
        "subject": subject,
        "device": {"display": "Hearing aid"},
    }
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": {"text": "X-ray"},
        "subject": subject,
    }
    wanted = {
        "11450-4": [problem("active")],
        "11348-0": [problem("resolved")],
        "46264-8": [device],
        "30954-2": [seen("laboratory"), report],
        "8716-3": [seen("vital-signs")],
        "29762-2": [seen("social-history", "72166-2")],
        "47420-5": [
            problem("active") | {"category": [concept(FUNCTIONING, "functional-status")]},
            assessment("47420-5"),
        ],
        "10162-6": [seen("exam", "82810-3")],
        "104605-1": [flag("active")],
    }
    expected = {}
    for code, resources in wanted.items():
        stored = [await created(world[RIVER], each) for each in resources]
        expected[code] = [reference(f"{each['resourceType']}/{each['id']}") for each in stored]
    expected["11450-4"] += expected["47420-5"][:1]  # a limitation is a problem, too
    for each in (flag("inactive"), assessment("51848-0")):
        await created(world[RIVER], each)
    bundle = (await world[RIVER].get(f"/Patient/{patient}/$summary")).json()
    assert validate(bundle, expected_type="Bundle") == []
    sections = bundle["entry"][0]["resource"]["section"]
    told = {s["code"]["coding"][0]["code"]: s for s in sections}
    assert {code: sorted(e["reference"] for e in told[code]["entry"]) for code in wanted} == {
        code: sorted(e["reference"] for e in entries) for code, entries in expected.items()
    }
    assert "Call in the morning (active)" in told["104605-1"]["text"]["div"]
    assert "X-ray" in told["30954-2"]["text"]["div"]
    inside = {entry["fullUrl"].rpartition("/fhir/")[2] for entry in bundle["entry"][1:]}
    assert {e["reference"] for s in expected.values() for e in s} <= inside


def test_the_summary_has_every_section_of_the_guide_and_the_three_that_it_requires() -> None:
    # hl7.fhir.uv.ips, Composition: the codes of its section slices; (R) are never left out.
    guide = {
        *("11450-4", "48765-2", "10160-0", "11369-6", "47519-4", "46264-8", "30954-2", "8716-3"),
        *("11348-0", "47420-5", "18776-5", "29762-2", "10162-6", "42348-3", "104605-1"),
    }
    assert guide <= {section.code for section in SECTIONS}
    required = {section.code for section in SECTIONS if section.required}
    assert required == {"11450-4", "48765-2", "10160-0"}


async def test_a_required_section_without_entries_says_why(world: World) -> None:
    patient = await new_patient(world[RIVER])
    bundle = (await world[RIVER].get(f"/Patient/{patient}/$summary")).json()
    sections = bundle["entry"][0]["resource"]["section"]
    assert [s["code"]["coding"][0]["code"] for s in sections] == ["11450-4", "48765-2", "10160-0"]
    for section in sections:
        assert "entry" not in section
        assert section["emptyReason"]["coding"][0]["code"] == "unavailable"
        assert section["text"]["status"] == "generated"


async def test_the_summary_says_the_same_of_nothing_and_of_what_is_withheld(world: World) -> None:
    patient = await new_patient(world[RIVER])
    await created(world[RIVER], release(patient, HARBOR, "Patient"))

    async def told() -> list[Any]:
        bundle = (await world[HARBOR].get(f"/Patient/{patient}/$summary")).json()
        return [bundle["entry"][0]["resource"]["section"], len(bundle["entry"])]

    before = await told()
    await created(
        world[RIVER],
        {
            "resourceType": "AllergyIntolerance",
            "patient": reference(f"Patient/{patient}"),
            "clinicalStatus": {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical",
                        "code": "active",
                    }
                ]
            },
            "code": {"text": "Penicillin"},
        },
    )
    assert await told() == before
    hidden = await world[LEGAL].get(f"/Patient/{patient}/$summary")
    missing = await world[LEGAL].get("/Patient/none/$summary")
    assert (hidden.status_code, hidden.content) == (404, missing.content)


async def test_the_summary_goes_over_the_linked_record(world: World) -> None:
    ours, theirs, _, _ = await two(world)
    procedure = await created(
        world[HARBOR],
        {
            "resourceType": "Procedure",
            "status": "completed",
            "subject": reference(f"Patient/{theirs}"),
        },
    )
    path = f"/Patient/{ours}/$summary"
    assert procedure["id"] not in (await world[RIVER].get(path)).text
    await world[RIVER].post(f"/Patient/{ours}/$link", other(theirs))
    assert procedure["id"] in (await world[RIVER].get(path)).text
    assert len(await found(world[RIVER], "/Procedure")) == 1


async def test_everything_goes_over_the_linked_record_and_is_filtered(world: World) -> None:
    ours, theirs, first, second = await two(world)
    path = f"/Patient/{ours}/$everything?_count=100"

    async def told(agency: str) -> set[str]:
        return {each["id"] for each in await found(world[agency], path)}

    assert second not in await told(RIVER)
    await world[RIVER].post(f"/Patient/{ours}/$link", other(theirs))
    assert {ours, first, second} <= await told(RIVER)
    await created(world[RIVER], release(ours, SHELTER, "Patient"))
    assert await told(SHELTER) & {first, second} == set()
    assert ours in await told(SHELTER)
    await world[RIVER].post(f"/Patient/{ours}/$unlink", other(theirs))
    assert second not in await told(RIVER)


async def test_outcomes_go_over_the_linked_record(world: World) -> None:
    ours, theirs, _, _ = await two(world)
    code = concept("http://loinc.org", "44261-6")
    for agency, patient, value, when in (
        (RIVER, ours, 14, "2026-01-10"),
        (HARBOR, theirs, 6, "2026-07-10"),
    ):
        amount = {"value": value, "unit": "points"}
        score = observation(patient, code=code, valueQuantity=amount, effectiveDateTime=when)
        await created(world[agency], score)
    path = f"/Patient/{ours}/$outcomes"
    assert "change" not in (await world[RIVER].get(path)).text
    await world[RIVER].post(f"/Patient/{ours}/$link", other(theirs))
    (outcome,) = (await world[RIVER].get(path)).json()["parameter"]
    parts = {part["name"]: part for part in outcome["part"]}
    assert parts["change"]["valueDecimal"] == -8

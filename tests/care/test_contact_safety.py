"""Contacts, hours, confidential addresses, aliases and refused persons, wherever they would leave the house."""

from __future__ import annotations

from typing import Any

import pytest

from app.care.contact.hours import windows, within
from tests.care.conftest import (
    HARBOR,
    RIVER,
    SHELTER,
    Json,
    World,
    created,
    diagnostics,
    new_patient,
    reference,
    referral,
    release,
    saved,
)

BASE = "https://throughline.example/fhir/StructureDefinition"
PHONE = "+1-503-555-0161"


def contact(value: str = PHONE, *, safe: bool = True, available: list[Json] | None = None) -> Json:
    parts: list[Json] = [{"url": "safe", "valueBoolean": safe}]
    parts += [{"url": "available", "extension": each} for each in available or ()]
    return {
        "system": "phone",
        "value": value,
        "extension": [{"url": f"{BASE}/contact-safety", "extension": parts}],
    }


def mornings() -> list[Json]:
    days = [{"url": "days", "valueCode": day} for day in ("mon", "tue", "wed", "thu", "fri")]
    return [
        *days,
        {"url": "from", "valueTime": "09:00:00"},
        {"url": "until", "valueTime": "12:00:00"},
    ]


def call(patient: str, when: str, value: str = PHONE) -> Json:
    """A Task to call somebody on a number, not before `when`."""
    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "plan",
        "for": reference(f"Patient/{patient}"),
        "restriction": {"period": {"start": when}},
        "input": [
            {"type": {"text": "call"}, "valueContactPoint": {"system": "phone", "value": value}}
        ],
    }


@pytest.mark.parametrize(
    ("when", "status"),
    [
        ("2026-12-01T09:00:00-08:00", 201),  # a Tuesday
        ("2026-12-01T11:59:59-08:00", 201),
        ("2026-12-01", 201),
        ("2026-12-01T12:00:00-08:00", 422),
        ("2026-12-01T08:59:00-08:00", 422),
        ("2026-12-05T10:00:00-08:00", 422),  # a Saturday
        ("2026-12-05", 422),
    ],
)
async def test_a_call_is_planned_within_the_hours_that_are_safe(
    world: World, when: str, status: int
) -> None:
    patient = await created(
        world[RIVER],
        {"resourceType": "Patient", "telecom": [contact(available=[mornings()])]},
    )
    answer = await world[RIVER].post("/Task", call(patient["id"], when))
    assert answer.status_code == status, answer.text
    if status == 422:
        assert answer.json()["issue"][0]["expression"] == ["Task.restriction.period.start"]
        assert "within those hours" in diagnostics(answer)
        assert "503-555" not in answer.text


async def test_a_number_without_hours_binds_nobody(world: World) -> None:
    patient = await created(world[RIVER], {"resourceType": "Patient", "telecom": [contact()]})
    await created(world[RIVER], call(patient["id"], "2026-12-05T03:00:00Z"))


async def test_hours_bind_a_communication_request_too(world: World) -> None:
    patient = await created(
        world[RIVER], {"resourceType": "Patient", "telecom": [contact(available=[mornings()])]}
    )
    asked = {
        "resourceType": "CommunicationRequest",
        "status": "active",
        "subject": reference(f"Patient/{patient['id']}"),
        "occurrenceDateTime": "2026-12-01T20:00:00-08:00",
        "extension": [
            {
                "url": "https://example.org/number",
                "valueContactPoint": {"system": "phone", "value": PHONE},
            }
        ],
    }
    refused = await world[RIVER].post("/CommunicationRequest", asked)
    assert refused.status_code == 422
    assert refused.json()["issue"][0]["expression"] == ["CommunicationRequest.occurrenceDateTime"]
    morning = asked | {"occurrenceDateTime": "2026-12-01T10:00:00-08:00"}
    assert (await world[RIVER].post("/CommunicationRequest", morning)).status_code == 201


@pytest.mark.parametrize(
    ("moment", "safe"),
    [
        ("2026-12-01T23:00:00Z", True),  # a Tuesday, from 22:00
        ("2026-12-02T05:59:00Z", True),  # still Tuesday's night
        ("2026-12-02T06:00:00Z", False),
        ("2026-12-02T23:00:00Z", False),
        ("2026-12-01T05:00:00Z", False),
        ("2026-12", True),
    ],
)
def test_hours_may_go_past_midnight(moment: str, *, safe: bool) -> None:
    night = [
        {"url": "days", "valueCode": "tue"},
        {"url": "from", "valueTime": "22:00:00"},
        {"url": "until", "valueTime": "06:00:00"},
    ]
    assert within(windows(contact(available=[night])), moment) is safe


def address(line: str, *, substitute: bool = False, **more: Any) -> Json:
    made: Json = {"line": [line]} | more
    if substitute:
        made["extension"] = [{"url": f"{BASE}/substitute-address", "valueBoolean": True}]
    return made


async def test_a_confidential_address_does_not_stand_beside_its_substitute(world: World) -> None:
    box = address("PO Box 7", substitute=True)
    person = {"resourceType": "Patient", "address": [box, address("12 Elm Street", use="home")]}
    refused = await world[SHELTER].post("/Patient", person)
    assert refused.status_code == 422
    assert refused.json()["issue"][0]["expression"] == ["Patient.address[1]"]
    assert "LOCIS" in diagnostics(refused)
    assert "Elm" not in refused.text
    former = {"resourceType": "Patient", "address": [box, address("3 Old Road", use="old")]}
    stored = await created(world[SHELTER], former)
    patched = await world[SHELTER].put(f"/Patient/{stored['id']}", person | {"id": stored["id"]})
    assert patched.status_code == 422
    # Where she lives is kept where only the shelter reads it.
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "LOCIS"}
    home = await created(
        world[SHELTER],
        {
            "resourceType": "Location",
            "meta": {"security": [label]},
            "address": {"line": ["12 Elm Street"]},
        },
    )
    assert (await world[SHELTER].get(f"/Location/{home['id']}")).status_code == 200
    assert (await world[RIVER].get(f"/Location/{home['id']}")).status_code == 404


def known_as_sky() -> Json:
    alias = [{"url": f"{BASE}/alias", "valueBoolean": True}]
    return {
        "resourceType": "Patient",
        "text": {
            "status": "generated",
            "div": '<div xmlns="http://www.w3.org/1999/xhtml">Noor Marlowe</div>',
        },
        "name": [
            {"use": "official", "family": "Marlowe", "given": ["Noor"]},
            {"use": "usual", "text": "Sky", "extension": alias},
        ],
        "telecom": [contact(), contact("+1-503-555-0162", safe=False)],
        "address": [
            address("PO Box 7", substitute=True),
            address("3 Old Road", use="old"),
        ],
    }


async def test_documents_show_the_alias_the_substitute_address_and_no_unsafe_number(
    world: World,
) -> None:
    patient = (await created(world[RIVER], known_as_sky()))["id"]
    made = await referral(world, patient)
    for path in ("", "?type=document"):
        answer = await world[SHELTER].get(f"/Task/{made['id']}/$referral-package{path}")
        assert "Sky" in answer.text
        assert "Marlowe" not in answer.text
        assert "503-555" not in answer.text
    await created(world[RIVER], release(patient, HARBOR))
    for agency in (RIVER, HARBOR):
        summary = await world[agency].get(f"/Patient/{patient}/$summary")
        assert "Sky" in summary.text
        assert "PO Box 7" in summary.text
        assert PHONE in summary.text
        for hidden in ("Marlowe", "Old Road", "555-0162"):
            assert hidden not in summary.text
    # The record itself stays whole: whoever may read it must know which number is unsafe.
    assert "555-0162" in (await world[HARBOR].get(f"/Patient/{patient}")).text


async def test_a_refused_person_is_refused_in_every_role_and_every_part(world: World) -> None:
    cousin = await created(world[RIVER], {"resourceType": "Practitioner", "name": [{"text": "X"}]})
    role = await created(
        world[RIVER],
        {
            "resourceType": "PractitionerRole",
            "practitioner": reference(f"Practitioner/{cousin['id']}"),
            "organization": reference(f"Organization/{RIVER}"),
        },
    )
    refused = {
        "url": f"{BASE}/refused-participant",
        "valueReference": reference(f"Practitioner/{cousin['id']}"),
    }
    patient = await created(world[RIVER], {"resourceType": "Patient", "extension": [refused]})
    who, subject = (
        reference(f"PractitionerRole/{role['id']}"),
        reference(f"Patient/{patient['id']}"),
    )
    parts: list[tuple[Json, str]] = [
        (
            {"resourceType": "CareTeam", "subject": subject, "participant": [{"member": who}]},
            "CareTeam.participant[0].member",
        ),
        (
            {
                "resourceType": "Task",
                "status": "requested",
                "intent": "plan",
                "for": subject,
                "owner": who,
            },
            "Task.owner",
        ),
        (
            {
                "resourceType": "Communication",
                "status": "preparation",
                "subject": subject,
                "recipient": [who],
            },
            "Communication.recipient[0]",
        ),
        (
            {
                "resourceType": "ServiceRequest",
                "status": "active",
                "intent": "order",
                "subject": subject,
                "code": {"text": "Interpreter"},
                "performer": [who],
            },
            "ServiceRequest.performer[0]",
        ),
        (
            {
                "resourceType": "EpisodeOfCare",
                "status": "active",
                "patient": subject,
                "careManager": who,
            },
            "EpisodeOfCare.careManager",
        ),
    ]
    for resource, place in parts:
        answer = await world[RIVER].post(f"/{resource['resourceType']}", resource)
        assert answer.status_code == 422, resource["resourceType"]
        assert answer.json()["issue"][0]["expression"] == [place]
        assert "does not want this participant" in diagnostics(answer)


async def test_what_was_recorded_before_the_refusal_stays(world: World) -> None:
    patient = await new_patient(world[RIVER])
    uncle = await created(
        world[RIVER], {"resourceType": "RelatedPerson", "patient": reference(f"Patient/{patient}")}
    )
    place = reference(f"RelatedPerson/{uncle['id']}")
    team = await created(
        world[RIVER],
        {
            "resourceType": "CareTeam",
            "status": "active",
            "subject": reference(f"Patient/{patient}"),
            "participant": [{"member": place}],
        },
    )
    person = (await world[RIVER].get(f"/Patient/{patient}")).json()
    refused = {"url": f"{BASE}/refused-participant", "valueReference": place}
    await saved(world[RIVER], person | {"extension": [refused]})
    kept = await world[RIVER].put(f"/CareTeam/{team['id']}", team | {"name": "Team"})
    assert kept.status_code == 422
    without = {k: v for k, v in team.items() if k != "participant"}
    assert (await saved(world[RIVER], without))["id"] == team["id"]

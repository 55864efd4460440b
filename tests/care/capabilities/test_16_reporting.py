"""Reporting abuse by choice: nobody reads the report before the survivor says so."""

from __future__ import annotations

from tests.care.conftest import (
    LEGAL,
    RIVER,
    SHELTER,
    World,
    actor,
    consent,
    created,
    new_patient,
    observation,
    own_app,
    reference,
    saved,
)

POLICE = LEGAL  # any agency that did not write it stands for the police here


async def test_no_police_read_without_the_consent_for_this_report(world: World) -> None:
    patient = await new_patient(world[SHELTER])
    draft = await created(
        world[SHELTER],
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "docStatus": "preliminary",
            "subject": reference(f"Patient/{patient}"),
            "content": [{"attachment": {"contentType": "text/plain", "data": "V2hhdA=="}}],
        },
    )
    other = await created(world[SHELTER], observation(patient))
    path = f"/DocumentReference/{draft['id']}"
    assert (await world[POLICE].get(path)).status_code == 404
    # A report goes by a Consent of its own: its recipient, its purpose, an end, and this one document.
    period = {"start": "2026-01-01", "end": "2027-12-31"}
    permit = consent(
        patient,
        type="permit",
        actor=actor(POLICE),
        purpose=[{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}],
        period=period,
        data=[{"meaning": "instance", "reference": reference(f"DocumentReference/{draft['id']}")}],
    )
    given = await created(world[SHELTER], permit)
    assert (await world[POLICE].get(path)).status_code == 200
    assert (await world[POLICE].get(f"/Observation/{other['id']}")).status_code == 404
    await saved(world[SHELTER], given | {"status": "inactive"})
    assert (await world[POLICE].get(path)).status_code == 404


async def test_a_draft_is_the_survivors_alone_when_she_shuts_everybody_out(world: World) -> None:
    patient = await new_patient(world[RIVER])
    draft = await created(
        world[RIVER],
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "docStatus": "preliminary",
            "subject": reference(f"Patient/{patient}"),
            "content": [{"attachment": {"title": "My report"}}],
        },
    )
    only = [{"meaning": "instance", "reference": reference(f"DocumentReference/{draft['id']}")}]
    await created(world[RIVER], consent(patient, type="deny", actor=actor(RIVER), data=only))
    # A named deny ends the custodian's own sight too: only her own app is left to read it.
    app = await own_app(world, patient)
    assert (await app.get(f"/DocumentReference/{draft['id']}")).status_code == 200
    assert (await world[RIVER].get(f"/DocumentReference/{draft['id']}")).status_code == 404
    assert (await world[RIVER].get(f"/Patient/{patient}")).status_code == 200

"""Therapies and psychoeducation: a session counts, a leaflet speaks the person's language."""

from __future__ import annotations

from tests.care.conftest import (
    HARBOR,
    World,
    concept,
    created,
    found,
    new_patient,
    reference,
)

EMDR = concept("http://snomed.info/sct", "449030000")


async def test_an_emdr_session_counts_toward_its_plan(world: World) -> None:
    patient = await new_patient(world[HARBOR])
    subject = reference(f"Patient/{patient}")
    plan = await created(
        world[HARBOR],
        {
            "resourceType": "CarePlan",
            "status": "active",
            "intent": "plan",
            "subject": subject,
            "activity": [
                {"detail": {"status": "in-progress", "code": concept("s", "art")}},
                {"detail": {"status": "in-progress", "code": EMDR}},
            ],
        },
    )
    session = await created(
        world[HARBOR],
        {
            "resourceType": "Procedure",
            "status": "completed",
            "subject": subject,
            "code": EMDR,
            "basedOn": [reference(f"CarePlan/{plan['id']}")],
        },
    )
    now = (await world[HARBOR].get(f"/CarePlan/{plan['id']}")).json()
    assert [a.get("outcomeReference", []) for a in now["activity"]] == [
        [],
        [reference(f"Procedure/{session['id']}")],
    ]


async def test_the_leaflet_follows_the_preferred_language(world: World) -> None:
    patient = await created(
        world[HARBOR],
        {
            "resourceType": "Patient",
            "communication": [
                {"language": concept("urn:ietf:bcp:47", "es"), "preferred": True},
                {"language": concept("urn:ietf:bcp:47", "en")},
            ],
        },
    )
    for language in ("en", "es"):
        await created(
            world[HARBOR],
            {
                "resourceType": "DocumentReference",
                "status": "current",
                "language": language,
                "content": [{"attachment": {"language": language, "title": f"Sleep ({language})"}}],
                "subject": reference(f"Patient/{patient['id']}"),
            },
        )
    preferred = next(
        c["language"]["coding"][0]["code"] for c in patient["communication"] if c.get("preferred")
    )
    (leaflet,) = await found(world[HARBOR], f"/DocumentReference?language={preferred}")
    assert leaflet["content"][0]["attachment"]["title"] == "Sleep (es)"

"""Peer support and groups: a roster shows nobody to the others."""

from __future__ import annotations

from tests.care.conftest import (
    HARBOR,
    SHELTER,
    World,
    created,
    found,
    new_patient,
    own_app,
    reference,
    release,
)


async def test_a_roster_never_shows_members_to_each_other(world: World) -> None:
    ana, bo = await new_patient(world[SHELTER]), await new_patient(world[SHELTER])
    group = await created(
        world[SHELTER],
        {
            "resourceType": "Group",
            "type": "person",
            "actual": True,
            "member": [{"entity": reference(f"Patient/{each}")} for each in (ana, bo)],
        },
    )
    meeting = await created(
        world[SHELTER],
        {
            "resourceType": "Appointment",
            "status": "booked",
            "start": "2026-12-01T17:00:00Z",
            "end": "2026-12-01T18:00:00Z",
            "participant": [
                {"status": "accepted", "actor": reference(f"Patient/{each}")} for each in (ana, bo)
            ],
        },
    )
    # Harbor treats Ana and has her consent: what names Bo as well stays closed, and so does who Bo is.
    await created(world[SHELTER], release(ana, HARBOR))
    assert (await world[HARBOR].get(f"/Patient/{ana}")).status_code == 200
    for path in (f"/Group/{group['id']}", f"/Appointment/{meeting['id']}", f"/Patient/{bo}"):
        assert (await world[HARBOR].get(path)).status_code == 404, path
    assert await found(world[HARBOR], f"/Group?member=Patient/{ana}") == []
    apps = [await own_app(world, each) for each in (ana, bo)]
    for app in apps:
        assert (await app.get(f"/Group/{group['id']}")).status_code == 404
        assert (await app.get(f"/Appointment/{meeting['id']}")).status_code == 404
        assert len(await found(app, "/Patient")) == 1
    own = await created(
        world[SHELTER],
        {
            "resourceType": "Appointment",
            "status": "booked",
            "start": "2026-12-01T17:00:00Z",
            "end": "2026-12-01T18:00:00Z",
            "participant": [{"status": "accepted", "actor": reference(f"Patient/{ana}")}],
        },
    )
    assert (await world[HARBOR].get(f"/Appointment/{own['id']}")).status_code == 200
    # An invitation of her own she reads, and the other does not.
    told = [(await app.get(f"/Appointment/{own['id']}")).status_code for app in apps]
    assert told == [200, 404]

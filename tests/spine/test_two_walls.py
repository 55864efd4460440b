"""Each wall alone holds: the query without the policies, and the policies without the query."""

from __future__ import annotations

from dataclasses import replace

import asyncpg
import pytest

from app.consent.purposes import purpose_bit
from app.storage import migrate, predicate, resources
from app.storage.database import OneRow
from tests.spine.conftest import AGENCIES, World, actor, consent, new_patient, observation

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES


async def _survivor(world: World) -> tuple[str, str]:
    """A patient and an observation that Harbor may see and Legal may not; their ids."""
    patient = await new_patient(world[RIVER])
    made = (await world[RIVER].post("/Observation", observation(patient))).json()["id"]
    await world[RIVER].put(f"/Observation/{made}", observation(patient, id=made, status="amended"))
    await world[RIVER].post("/Consent", consent(patient, type="permit", actor=actor(HARBOR)))
    return patient, made


async def _seen_by(world: World, name: str, patient: str, made: str) -> list[object]:
    agency = world[name]
    search = (await agency.get(f"/Observation?code=85354-9&_total=accurate")).json()  # noqa: F541
    included = (
        await agency.get(f"/Observation?patient={patient}&_include=Observation:subject")
    ).json()
    return [
        (await agency.get(f"/Patient/{patient}")).status_code,
        (await agency.get(f"/Observation/{made}")).status_code,
        (await agency.get(f"/Observation/{made}/_history/1")).status_code,
        search["total"],
        len(search.get("entry", [])),
        len(included.get("entry", [])),
    ]


ALL = [200, 200, 200, 1, 1, 2]
NONE = [404, 404, 404, 0, 0, 0]


async def test_both_walls_agree(world: World) -> None:
    patient, made = await _survivor(world)
    assert await _seen_by(world, HARBOR, patient, made) == ALL
    assert await _seen_by(world, LEGAL, patient, made) == NONE


async def test_without_policies_the_query_refuses(world: World) -> None:
    patient, made = await _survivor(world)
    owner = await asyncpg.connect(world.database.admin_url)
    for table in migrate.SURVIVOR_TABLES:
        await owner.execute(f"ALTER TABLE tl.{table} DISABLE ROW LEVEL SECURITY")
    await owner.execute(
        "CREATE OR REPLACE VIEW tl.others_token AS SELECT d.* FROM tl.index_token d"
    )
    await owner.close()
    assert await _seen_by(world, HARBOR, patient, made) == ALL
    assert await _seen_by(world, LEGAL, patient, made) == NONE


async def test_without_the_predicate_the_database_refuses(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient, made = await _survivor(world)
    names = ("_READ", "_READ_ABOUT_ONE", "_READ_GROUP", "_HISTORY", "_VREAD")
    bare = "($1::bigint[] IS NOT NULL AND $2::bigint[] IS NOT NULL)"
    wholes = (
        predicate.for_query("x", version=True),
        predicate.for_query("x"),
        predicate.for_query("r"),
        predicate.keyed_for_query("x"),
    )

    def stripped(text: str) -> str:
        left = text
        for whole in wholes:
            left = left.replace(whole, bare)
        assert "consent_grant" not in left
        assert left != text
        return left

    for name in names:
        match getattr(resources, name):
            case OneRow() as one:
                made_bare: object = replace(one, condition=stripped(one.condition))
            case tuple() as several:
                made_bare = tuple(map(stripped, several))
            case text:
                made_bare = stripped(text)
        monkeypatch.setattr(resources, name, made_bare)
    for name in ("for_query", "walk_for_query"):
        monkeypatch.setattr(predicate, name, lambda _, **__: bare)
    assert await _seen_by(world, HARBOR, patient, made) == ALL
    assert await _seen_by(world, LEGAL, patient, made) == NONE


async def test_what_a_resource_refers_to_is_told_to_those_only_who_may_see_it(world: World) -> None:
    _, made = await _survivor(world)
    owner = await asyncpg.connect(world.database.admin_url)
    rid = await owner.fetchval("SELECT rid FROM tl.resource WHERE id = $1", made)
    organizations = {
        name: await owner.fetchval("SELECT organization FROM tl.client WHERE client_id = $1", name)
        for name in (HARBOR, LEGAL)
    }
    await owner.close()
    service = await asyncpg.connect(world.database.service_url)
    targets = {}
    for name, organization in organizations.items():
        async with service.transaction():
            await service.execute(
                "SELECT tl.enter($1, $1, $2, $3, 1, 0)",
                [0, organization],
                purpose_bit("TREAT"),
                organization,
            )
            targets[name] = await service.fetchval("SELECT tl.targets_of($1)", [rid])
    assert await service.fetchval("SELECT tl.targets_of($1)", [rid]) == [], "nobody has entered"
    await service.close()
    assert targets[LEGAL] == []
    assert len(targets[HARBOR]) == 1, "its subject"


async def test_policies_in_the_database_are_those_of_this_release(world: World) -> None:
    owner = await asyncpg.connect(world.database.admin_url)
    try:
        rows = await owner.fetch(
            "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'tl' "
            "AND c.relname = ANY ($1::text[])",
            list(migrate.SURVIVOR_TABLES),
        )
        assert {row["relname"] for row in rows} == set(migrate.SURVIVOR_TABLES)
        assert all(row["relrowsecurity"] and row["relforcerowsecurity"] for row in rows)
        role = await owner.fetchrow(
            "SELECT rolsuper, rolbypassrls, "
            "(SELECT count(*) FROM pg_class WHERE relowner = r.oid) AS owned "
            "FROM pg_roles r WHERE rolname = 'throughline_service'"
        )
        assert role is not None
        assert (role["rolsuper"], role["rolbypassrls"], role["owned"]) == (False, False, 0)
    finally:
        await owner.close()

"""Whether a database is one that the service may run on: each check with its fault and its remedy.

Asked as the service's own role, from the catalogs that every role may read. `throughline doctor`
shows all of them; the start of the service refuses where one that is `unsafe` fails.
Neighbours: `app.storage.migrate` (makes it so), `app.commands.doctor` (what is no matter of the database).
Pinned: postgresql.org/docs/15/ddl-rowsecurity.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import psycopg

from app.storage.migrate import KEEPER, READERS, SURVIVOR_TABLES, at_this_release
from app.storage.predicate import BY_KEY, OTHERS

OLDEST_SERVER: Final = 150_000
"""server_version_num of the oldest PostgreSQL that the schema is written for."""

_CLOCK_TOLERANCE: Final = 5.0
_MIGRATE: Final = "Run: throughline migrate"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. fault: None where all is well. unsafe: a fault would let rows be seen."""

    name: str
    fault: str | None
    remedy: str = ""
    unsafe: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings ask of the server. connections: of all processes together."""

    service_role: str
    connections: int


def checks(connection: psycopg.Connection, wanted: Wanted) -> Iterator[Check]:
    """Every check, one after the other; a database that is not migrated ends the list early."""
    yield _version(connection)
    migrated = _migrated(connection, wanted)
    yield migrated
    if migrated.fault is not None and not has_schema(connection):
        return
    for check in (_role, _ownership, _writes, _policies, _clock):
        yield check(connection)
    yield _connections(connection, wanted)
    yield _durable(connection)


def unsafe(connection: psycopg.Connection, wanted: Wanted) -> list[Check]:
    """The faults with which the service must not start."""
    return [each for each in checks(connection, wanted) if each.fault is not None and each.unsafe]


def _one(connection: psycopg.Connection, query: str, *values: object) -> object:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


def _names(connection: psycopg.Connection, query: str, *values: object) -> list[str]:
    return [str(row[0]) for row in connection.execute(query.encode(), values)]


def has_schema(connection: psycopg.Connection) -> bool:
    """Whether the tables are there at all."""
    return _one(connection, "SELECT to_regclass('tl.resource')") is not None


def _version(connection: psycopg.Connection) -> Check:
    found = connection.info.server_version
    return Check(
        f"PostgreSQL {found // 10_000}",
        None if found >= OLDEST_SERVER else "the server is older than PostgreSQL 15",
        "Use PostgreSQL 15 or later, or unset TL_DATABASE_URL for an embedded one.",
    )


def _migrated(connection: psycopg.Connection, wanted: Wanted) -> Check:
    current = at_this_release(connection, wanted.service_role)
    return Check(
        "schema of this release",
        None if current else "the database is not at this release",
        _MIGRATE,
    )


def _role(connection: psycopg.Connection) -> Check:
    row = connection.execute(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, "
        "EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid) "
        "FROM pg_roles r WHERE rolname = current_user"
    ).fetchone()
    powers = (
        "it is a superuser",
        "it bypasses row-level security",
        "it may create roles",
        "it may create databases",
        "it is a member of another role",
    )
    held = [power for power, has in zip(powers, row or (True,) * 5, strict=True) if has]
    return Check(
        "the service's role has no power of its own",
        "; ".join(held) or None,
        f"Use the role that migrations make. {_MIGRATE}, with TL_MIGRATION_DATABASE_URL set to the owner.",
        unsafe=True,
    )


def _ownership(connection: psycopg.Connection) -> Check:
    owned = _names(
        connection,
        "SELECT n.nspname FROM pg_namespace n WHERE pg_has_role(n.nspowner, 'USAGE') "
        "UNION ALL SELECT c.oid::regclass::text FROM pg_class c "
        "WHERE pg_has_role(c.relowner, 'USAGE') AND c.relkind IN ('r', 'p', 'v', 'm', 'S') "
        "UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc p WHERE pg_has_role(p.proowner, 'USAGE')",
    )
    return Check(
        "the service's role owns nothing",
        f"it owns {', '.join(owned[:3])}{' …' if owned[3:] else ''}" if owned else None,
        "Let another role own the database, and give the service the role that migrations make.",
        unsafe=True,
    )


def _writes(connection: psycopg.Connection) -> Check:
    found = _names(
        connection,
        "SELECT t FROM unnest(%s::text[]) t WHERE to_regclass('tl.' || t) IS NOT NULL "
        "AND has_table_privilege('tl.' || t, 'INSERT, UPDATE, DELETE, TRUNCATE')",
        list(SURVIVOR_TABLES),
    )
    return Check(
        "survivor tables are written through functions only",
        f"the role may write to {', '.join(found)} directly" if found else None,
        "Revoke INSERT, UPDATE, DELETE and TRUNCATE on those tables from the service's role.",
        unsafe=True,
    )


def _policies(connection: psycopg.Connection) -> Check:
    """Forced on every survivor table; the policies for the role are those of the migrations, alone."""
    faults = _names(
        connection,
        """
        SELECT t || CASE WHEN c.oid IS NULL THEN ' is missing'
          WHEN NOT c.relrowsecurity THEN ' has row-level security disabled'
          WHEN NOT c.relforcerowsecurity THEN ' does not force row-level security'
          WHEN p.caller <> 1 THEN ' has no policy for the caller'
          ELSE ' has a policy that does not come from the migrations' END
        FROM unnest(%s::text[]) t
        LEFT JOIN pg_class c ON c.oid = to_regclass('tl.' || t)
        LEFT JOIN LATERAL (
          SELECT count(*) FILTER (WHERE polname = 'caller' AND polcmd = 'r') AS caller,
                 count(*) FILTER (WHERE NOT coalesce(polname = 'caller' OR polroles = ARRAY[
                   to_regrole(CASE polname WHEN 'keeper' THEN %s WHEN 'by_key' THEN %s END)::oid
                 ], false)) AS other
          FROM pg_policy WHERE polrelid = c.oid
        ) p ON true
        WHERE c.oid IS NULL OR NOT c.relrowsecurity OR NOT c.relforcerowsecurity
          OR p.caller <> 1 OR p.other > 0
        """,
        list(SURVIVOR_TABLES),
        KEEPER,
        READERS,
    )
    faults += _views(connection)
    faults += _names(
        connection,
        "SELECT CASE WHEN rolcanlogin THEN 'anybody may log in as ' ELSE 'no policy binds ' END || rolname "
        "FROM pg_roles WHERE rolname = ANY (%s::text[]) AND (rolcanlogin OR rolsuper OR rolbypassrls)",
        [KEEPER, READERS],
    )
    return Check(
        "policies stand on every survivor table, and are forced",
        "; ".join(faults) or None,
        "Undo what was changed by hand, then empty tl.routine and run: throughline migrate",
        unsafe=True,
    )


def _views(connection: psycopg.Connection) -> Iterator[str]:
    """What is wrong with the views that show rows of survivor tables by their owner's rights."""
    query = (
        "SELECT 'tl.' || relname, relowner::regrole::text, "
        "coalesce('security_barrier=true' = ANY (reloptions), false) "
        "FROM pg_class WHERE relnamespace = to_regnamespace('tl') AND relkind = 'v'"
    )
    found = {view: (owner, barrier) for view, owner, barrier in connection.execute(query)}
    if OTHERS not in found:
        yield "others_token is missing"
    elif found[OTHERS] != (KEEPER, True):
        yield "others_token is not the keeper's, or no security barrier"
    owner, _ = found.get(BY_KEY, (None, False))
    if owner != READERS:
        yield f"{BY_KEY} is not the view of {READERS}"


def _clock(connection: psycopg.Connection) -> Check:
    before = datetime.now(UTC)
    there = _one(connection, "SELECT clock_timestamp()")
    after = datetime.now(UTC)
    apart = 0.0
    if isinstance(there, datetime):
        apart = max((before - there).total_seconds(), (there - after).total_seconds(), 0.0)
    return Check(
        "the clocks of the service and of the database agree",
        f"they are {apart:.0f} seconds apart" if apart > _CLOCK_TOLERANCE else None,
        "Let both machines keep time by NTP: consents and tokens end by the clock.",
    )


def _connections(connection: psycopg.Connection, wanted: Wanted) -> Check:
    text = (
        "SELECT current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int"
    )
    allowed = _one(connection, text)
    return Check(
        "the server takes the connections of every process",
        f"the processes may open {wanted.connections}, the server takes {allowed}"
        if isinstance(allowed, int) and wanted.connections > allowed
        else None,
        "Lower TL_WORKERS or TL_POOL_MAX, or raise max_connections.",
    )


def _durable(connection: psycopg.Connection) -> Check:
    lax = _names(
        connection,
        "SELECT name FROM unnest(%s::text[]) name WHERE current_setting(name) = 'off'",
        ["fsync", "full_page_writes", "synchronous_commit"],
    )
    return Check(
        "what is acknowledged is on disk",
        f"{', '.join(lax)} is off" if lax else None,
        "Turn it on in the server's configuration: a power cut would lose acknowledged writes.",
    )

"""Bring a database to the present schema: tables by Alembic, then roles, functions and policies.

Tables change only by migrations (migrations/versions). Functions, policies and privileges are rendered from
the code of this release and re-created, in one transaction, when their text differs: a policy can then
never be older than the query it stands behind. Neighbours: `app.storage.predicate` (the text).
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from app import __version__
from app.consent import labelling, labels
from app.fhir_mappings import registry
from app.storage import elements, predicate

KEEPER: Final = "throughline_keeper"
"""The role that owns the write functions; nobody can log in as it."""

READERS: Final = "throughline_reader"
"""The role that owns the view by which single rows are read; nobody can log in as it."""

_BY_KEY: Final = (
    *("rid", "type", "id", "version", "last_updated", "deleted", "open", "patient", "co_subjects"),
    *("custodian", "labels", "clinical_from", "clinical_to", "code_mask", "inline_masks"),
    "content",
)
"""The columns of that view."""

CONSENTED: Final = (
    "resource",
    "index_token",
    "index_date",
    "index_string",
    "index_number",
    "index_text",
    "audit_entry",
)
"""Tables whose rows carry the consent columns and are policed by the predicate itself."""

_ROLE_ATTEMPTS: Final = 10

SURVIVOR_TABLES: Final = (*CONSENTED, "resource_history", "link", "consent_grant", "membership")
"""Every table that row-level security is forced upon."""

_KEPT: Final = (
    "store_resources",
    "written_now",
    "store_index",
    "store_search",
    "propagate",
    "may_compile",
    "consents_of",
    "in_doubt",
    "tasks_about",
    "tasks_in_doubt",
    "note_tasks",
    "take_up_end",
    "put_off_ends",
    "put_ends",
    "same_person_of",
    "is_linked",
    "take_in_hand",
    "link_person",
    "unlink_person",
    "ceilings",
    "is_officer",
    "review_target",
    "review_consents",
    "review_facts",
    "consent_moments",
    "disclosures",
    "survivors",
    "put_authority",
    "begin_write",
    "advance_directory",
    "put_grants",
    "put_memberships",
    "occupied",
    "residual",
    "spread_columns",
    "own_references",
    "consent_of_grant",
    "index_audit",
)
"""Functions that run as the keeper."""


def _policies() -> dict[str, str]:
    caller = predicate.SETTINGS
    present = "(SELECT true FROM tl.resource r WHERE r.rid = {}.{} LIMIT 1)"
    rules = {table: predicate.for_policy(table) for table in CONSENTED}
    for table in CONSENTED:
        if table.startswith("index_"):
            rules[table] += f" AND {elements.same_row(table, caller)}"
    # A version is judged by its own labels and by the present ones.
    version = predicate.for_policy("resource_history", version=True)
    rules["resource_history"] = f"{version} AND {present.format('resource_history', 'rid')}"
    rules["link"] = f"{present.format('link', 'source')} AND {elements.followed('link', caller)}"
    rules["consent_grant"] = f"grantee = ANY ({caller.closure})"
    # The directory's memberships make the closure itself, before a caller is known.
    rules["membership"] = "true"
    return rules


def _walk(service_role: str) -> str:
    """The view through which a population is counted: a policy cannot be a join, a view can.

    It is all that its reader gets of the table by it, as under a policy (docs/decisions/0010-counts.md).
    """
    view = predicate.OTHERS
    rule = f"{predicate.walk_for_view('d')} AND {elements.same_row('d', predicate.SETTINGS)}"
    return f"""
DROP VIEW IF EXISTS {view};
CREATE VIEW {view} WITH (security_barrier=true) AS SELECT d.* FROM tl.index_token d WHERE {rule};
ALTER VIEW {view} OWNER TO {KEEPER};
GRANT SELECT ON {view} TO {service_role};
"""


def _by_key(service_role: str) -> str:
    """The view for reading single rows by key, and what polices it: its owner, instead of the service."""
    view, columns = predicate.BY_KEY, ", ".join(_BY_KEY)
    return f"""
DROP VIEW IF EXISTS {view};
CREATE VIEW {view} AS SELECT {columns} FROM tl.resource;
ALTER VIEW {view} OWNER TO {READERS};
GRANT USAGE ON SCHEMA tl TO {READERS};
GRANT SELECT ON tl.resource TO {READERS};
GRANT SELECT ON tl.consent_grant TO {READERS};
GRANT SELECT ON {view} TO {service_role};
DROP POLICY IF EXISTS by_key ON tl.resource;
CREATE POLICY by_key ON tl.resource FOR SELECT TO {READERS} USING ({predicate.for_keyed_policy("resource")});
DROP POLICY IF EXISTS by_key ON tl.consent_grant;
CREATE POLICY by_key ON tl.consent_grant FOR SELECT TO {READERS} USING (true);
"""


def routine_text(service_role: str) -> str:
    """The SQL of functions, policies and privileges for this release."""
    folder = resources.files("app.storage") / "sql"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    functions = "\n".join(f.read_text() for f in reversed(files))
    correct = predicate.correcting(predicate.SETTINGS)
    functions = functions.replace("{correctable}", predicate.visible("x", correct))
    for name, body in (predicate.bodies() | elements.routines()).items():
        functions = functions.replace("{" + name + "}", body)
    reading = replace(predicate.SETTINGS, action="1")
    functions = functions.replace("{readable}", predicate.visible("x", reading))
    for name, value in {
        "climbing": labelling.CLIMBING,
        "sensitivity_mask": labels.ALL_SENSITIVITY,
        "restricting": labelling.RESTRICTING,
        "restricted": labels.CONFIDENTIALITY["R"],
        "confidentiality": labels.ALL_CONFIDENTIALITY,
        "unstated": labels.NO_CONFIDENTIALITY,
        "below_normal": sum(labels.CONFIDENTIALITY[c] for c in ("U", "L", "M")),
        "closed": labels.CLOSED,
        "programs": labels.PART2 | labels.VICTIM,
        "consent_type": registry.type_code("Consent"),
        "patient_type": registry.type_code("Patient"),
    }.items():
        functions = functions.replace("{" + name + "}", str(value))
    definitional = ",".join(
        str(registry.type_code(name)) for name in sorted(labelling.DEFINITIONAL)
    )
    functions = functions.replace("{definitional}", definitional)
    kept_back = labels.sensitivity_closure("PSYTHPN") | labels.NOPAT
    functions = functions.replace("{kept_back}", str(kept_back))
    functions = functions.replace("{nopat}", str(labels.NOPAT))
    functions = functions.replace("{audit_event_type}", str(registry.type_code("AuditEvent")))
    statements = [functions]
    for table, rule in _policies().items():
        statements.append(
            f"ALTER TABLE tl.{table} ENABLE ROW LEVEL SECURITY;\n"
            f"ALTER TABLE tl.{table} FORCE ROW LEVEL SECURITY;\n"
            f"DROP POLICY IF EXISTS caller ON tl.{table};\n"
            f"CREATE POLICY caller ON tl.{table} FOR SELECT TO {service_role} USING ({rule});\n"
            f"DROP POLICY IF EXISTS keeper ON tl.{table};\n"
            f"CREATE POLICY keeper ON tl.{table} TO {KEEPER} USING (true) WITH CHECK (true);\n"
            f"GRANT SELECT ON tl.{table} TO {service_role};\n"
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON tl.{table} TO {KEEPER};"
        )
    statements.append(_walk(service_role))
    statements.append(_by_key(service_role))
    statements.append(
        f"""
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tl FROM PUBLIC;
GRANT USAGE ON SCHEMA tl TO {service_role}, {KEEPER};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA tl TO {service_role}, {KEEPER};
DO $$ BEGIN
  -- Of the release before, where it has been; not for the service either.
  IF to_regproc('tl.put_search') IS NOT NULL THEN
    REVOKE EXECUTE ON FUNCTION tl.put_search FROM {service_role};
  END IF;
END $$;
REVOKE EXECUTE ON FUNCTION tl.store_search, tl.tasks_about FROM {service_role};
GRANT USAGE ON SEQUENCE tl.rid TO {service_role};
GRANT SELECT, INSERT, DELETE ON tl.kept_cursor TO {service_role};
GRANT SELECT ON tl.resource_type, tl.directory_epoch TO {service_role}, {KEEPER};
GRANT SELECT ON tl.routine TO {service_role};
GRANT UPDATE ON tl.directory_epoch TO {KEEPER};
GRANT SELECT, INSERT, UPDATE, DELETE ON tl.consent_authority TO {KEEPER};
GRANT SELECT, INSERT, DELETE ON tl.same_person TO {KEEPER};
GRANT SELECT, INSERT, UPDATE, DELETE ON tl.consent_end TO {KEEPER};
GRANT SELECT, INSERT, UPDATE ON tl.client, tl.signing_key, tl.server_secret TO {service_role};
GRANT SELECT, INSERT, DELETE ON tl.used_assertion, tl.revoked_token TO {service_role};
GRANT SELECT, INSERT, UPDATE ON tl.rate_window TO {service_role};
GRANT SELECT (organization, privacy_officer, revoked_at) ON tl.client TO {KEEPER};
GRANT SELECT ON tl.audit_event TO {KEEPER};
GRANT INSERT ON tl.audit_event TO {service_role};
GRANT SELECT ON tl.audit_event TO {KEEPER};
GRANT SELECT, INSERT, UPDATE ON tl.audit_indexed TO {KEEPER};
SELECT tl.audit_partitions_ahead();
"""
    )
    statements += [f"ALTER FUNCTION tl.{name} OWNER TO {KEEPER};" for name in _KEPT]
    return "\n".join(statements)


def release(service_role: str) -> str:
    """What names this release in `tl.routine`: a hash of the functions, policies and migrations."""
    digest = hashlib.sha256(routine_text(service_role).encode())
    for file in sorted((_migrations() / "versions").glob("*.sql")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def at_this_release(connection: psycopg.Connection, service_role: str) -> bool:
    """Whether the database is as this release needs it; asked as any role that may read `tl.routine`."""
    try:
        known = connection.execute("SELECT digest FROM tl.routine").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
        connection.rollback()
        return False
    return known is not None and known[0] == release(service_role)


def _make_tables(url: str) -> None:
    # Imported here: a quarter of a start went into it, and nearly every start finds the tables made.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_migrations()))
    config.attributes["url"] = url
    command.upgrade(config, "head")


def _roles(connection: psycopg.Connection, service_role: str, service_password: str | None) -> None:
    for role, options in ((KEEPER, "NOLOGIN"), (READERS, "NOLOGIN"), (service_role, "LOGIN")):
        found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
        verb = "ALTER" if found else "CREATE"
        connection.execute(
            sql.SQL(
                f"{verb} ROLE {{}} {options} NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS"
            ).format(sql.Identifier(role))
        )
    if service_password is not None:
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                sql.Identifier(service_role), sql.Literal(service_password)
            )
        )


def make_roles(url: str, service_role: str, service_password: str | None) -> None:
    """Make the roles of the service, the keeper and the reader, and what they may not; safe to repeat.

    Roles belong to the whole server: another database of it may be migrated at the same moment.
    """
    for attempt in range(_ROLE_ATTEMPTS):
        try:
            with psycopg.connect(url) as connection:
                _roles(connection, service_role, service_password)
                connection.execute(f"GRANT {KEEPER}, {READERS} TO CURRENT_USER")
        except (
            psycopg.errors.DuplicateObject,
            psycopg.errors.UniqueViolation,
            psycopg.errors.InternalError_,
        ):
            if attempt == _ROLE_ATTEMPTS - 1:
                raise
            time.sleep(0.1 * (attempt + 1))
        else:
            return


class NewerDatabaseError(RuntimeError):
    """The database belongs to a later release than this one; the message says to which."""


def _refuse_newer(connection: psycopg.Connection) -> None:
    row = connection.execute(
        "SELECT obj_description(to_regclass('tl.routine'), 'pg_class')"
    ).fetchone()
    of = str(row[0]) if row is not None and row[0] is not None else ""
    if of and _number(of) > _number(__version__):
        raise NewerDatabaseError(
            f"The database is of release {of}, and this is release {__version__}, which would take back what "
            "that one needs. Start the later release."
        )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in version.split(".") if each.isdigit())


def upgrade(url: str, service_role: str, service_password: str | None = None) -> None:
    """Migrate the database at `url` (a role that may create roles and tables) to the present release.

    Safe to repeat and to run from several processes: an advisory lock holds the others back.
    NewerDatabaseError where a later release has migrated it.
    """
    with psycopg.connect(url, autocommit=True) as lock:
        lock.execute("SELECT pg_advisory_lock(7401)")
        _refuse_newer(lock)
        if not at_this_release(lock, service_role):
            _make_tables(url)
        make_roles(url, service_role, service_password)
        with psycopg.connect(url) as connection:
            text = routine_text(service_role)
            digest = release(service_role)
            known = connection.execute("SELECT digest FROM tl.routine").fetchone()
            if known is None or known[0] != digest:
                # They must be able to own functions and the view in the schema while these are handed over.
                owners = f"{KEEPER}, {READERS}"
                connection.execute(f"GRANT CREATE ON SCHEMA tl TO {owners}")
                connection.execute(text.encode())
                connection.execute(f"REVOKE CREATE ON SCHEMA tl FROM {owners}")
                with connection.cursor() as cursor:
                    cursor.executemany(
                        "INSERT INTO tl.resource_type VALUES (%s, %s) ON CONFLICT DO NOTHING",
                        [(registry.type_code(name), name) for name in registry.RESOURCE_TYPES],
                    )
                connection.execute(
                    "INSERT INTO tl.routine (digest) VALUES (%s) "
                    "ON CONFLICT (singleton) DO UPDATE SET digest = excluded.digest",
                    (digest,),
                )
                connection.execute(
                    sql.SQL("COMMENT ON TABLE tl.routine IS {}").format(sql.Literal(__version__))
                )


def _migrations() -> Path:
    import migrations

    return Path(next(iter(migrations.__path__)))

"""The service does not start where it would let somebody see what they may not; each reason is told."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from app.commands.databases import Reached
from app.commands.errors import CommandError
from app.commands.serving import refuse_unsafe
from app.security import demonstration
from app.settings import Settings
from tests.conftest import SERVICE_ROLE, Database

SAFE = Settings()


def _reached(made: Database) -> Reached:
    return Reached(made.service_url, SAFE.fhir_base)


def test_a_database_as_the_migrations_make_it_is_served(
    database: Callable[[], Database],
) -> None:
    refuse_unsafe(SAFE, _reached(database()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE tl.resource NO FORCE ROW LEVEL SECURITY", "tl.resource"),
        ("ALTER TABLE tl.link DISABLE ROW LEVEL SECURITY", "link"),
        ("DROP POLICY caller ON tl.index_token", "index_token"),
        ("DROP POLICY caller ON tl.audit_entry", "audit_entry"),
        ("ALTER VIEW tl.others_token OWNER TO CURRENT_USER", "others_token"),
        (
            f"CREATE POLICY more ON tl.resource FOR SELECT TO {SERVICE_ROLE} USING (true)",
            "resource",
        ),
        (f"GRANT INSERT ON tl.resource TO {SERVICE_ROLE}", "resource"),
    ],
)
def test_a_wall_that_was_taken_down_stops_the_start(
    database: Callable[[], Database], change: str, said: str
) -> None:
    made = database()
    with psycopg.connect(made.admin_url, autocommit=True) as owner:
        owner.execute(change.encode())
    with pytest.raises(CommandError, match=said.removeprefix("tl.")):
        refuse_unsafe(SAFE, _reached(made))


def test_a_role_that_no_policy_binds_stops_the_start(database: Callable[[], Database]) -> None:
    made = database()
    with pytest.raises(CommandError, match="superuser"):
        refuse_unsafe(SAFE, Reached(made.admin_url, SAFE.fhir_base))


@pytest.mark.parametrize(
    ("settings", "served"),
    [
        (Settings(host="0.0.0.0"), False),
        (Settings(host="0.0.0.0", base_url="http://care.example/fhir"), False),
        (Settings(host="0.0.0.0", base_url="https://care.example/fhir"), True),
        (Settings(host="0.0.0.0", allow_plain_http=True), True),
        (Settings(host="0.0.0.0", base_url="http://127.0.0.1:8000/fhir"), True),
        (Settings(host="127.0.0.1"), True),
    ],
)
def test_plain_http_beyond_this_machine_stops_the_start(
    database: Callable[[], Database], settings: Settings, served: bool
) -> None:
    reached = _reached(database())
    if served:
        refuse_unsafe(settings, reached)
    else:
        with pytest.raises(CommandError, match="plain http"):
            refuse_unsafe(settings, reached)


CLIENT = (
    "INSERT INTO tl.client (client_id, organization, scope, purposes, emergency, privacy_officer, secret_hash) "
    "VALUES (%s, 1, 'system/*.rs', '{TREAT}', false, false, 'x')"
)


@pytest.mark.parametrize(
    ("clients", "others"),
    [
        ((), None),
        (sorted(demonstration.CLIENTS), None),
        ([*sorted(demonstration.CLIENTS), "demo-new-app"], None),
        ([*sorted(demonstration.CLIENTS), "real-clinic"], "real-clinic"),
        (["real-clinic", "second-clinic"], "real-clinic, second-clinic"),
    ],
)
def test_the_demonstration_is_not_served_where_clients_of_others_are_registered(
    database: Callable[[], Database], clients: list[str], others: str | None
) -> None:
    made = database()
    with psycopg.connect(made.admin_url, autocommit=True) as owner:
        for each in clients:
            owner.execute(CLIENT, (each,))
    refuse_unsafe(SAFE, _reached(made))
    demo = Settings(demo=True)
    if others is None:
        refuse_unsafe(demo, _reached(made))
        return
    with pytest.raises(CommandError, match=f"not the demonstration's: {others}.*TL_STATE_DIR"):
        refuse_unsafe(demo, _reached(made))
    with psycopg.connect(made.admin_url, autocommit=True) as owner:
        owner.execute(
            "UPDATE tl.client SET revoked_at = now() WHERE client_id = ANY(%s)",
            (others.split(", "),),
        )
    refuse_unsafe(demo, _reached(made))

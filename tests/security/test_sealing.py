"""A stolen backup signs nothing: signing keys are stored sealed, with a secret that is not in the database."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx
import psycopg
import pytest

from app.commands.databases import Reached
from app.commands.errors import CommandError
from app.commands.serving import refuse_unsafe
from app.main import create_app
from app.security.keys import SealedOtherwiseError, load_keys, rotate_keys
from app.security.sealing import FILE, Seal
from app.settings import Settings, SettingsError
from tests.conftest import Database
from tests.spine.conftest import AGENCIES, World

RIVER = AGENCIES[0]
OTHER = Settings.model_validate({"key_secret": "another secret than that of the tests"})


async def test_nothing_in_the_database_is_a_private_key(
    world: World, owner: asyncpg.Connection
) -> None:
    (stored,) = await owner.fetch("SELECT private_pem FROM tl.signing_key")
    assert "PRIVATE KEY" not in stored["private_pem"]
    assert "BEGIN" in world.service.trust.keys.signing().private_pem
    # The key that cursors are sealed with is not there either: what is stored is its salt.
    salts = await owner.fetch("SELECT value FROM tl.server_secret")
    assert world.service.cursor_key not in [row["value"] for row in salts]


async def test_with_another_secret_the_stored_keys_sign_nothing_and_the_start_is_refused(
    world: World,
) -> None:
    with pytest.raises(SealedOtherwiseError):
        await load_keys(world.service.database.pool, Seal(OTHER))
    with pytest.raises(CommandError, match="sealed with another secret"):
        refuse_unsafe(OTHER, Reached(world.database.service_url, "http://127.0.0.1/fhir"))


async def test_a_lost_secret_is_overcome_by_new_keys(world: World) -> None:
    kid = await rotate_keys(world.service.database.pool, 0, Seal(OTHER))
    keys = await load_keys(world.service.database.pool, Seal(OTHER))
    assert keys.signing().kid == kid


async def test_a_secret_is_changed_while_tokens_stay_good(world: World) -> None:
    await rotate_keys(world.service.database.pool, 900, Seal(OTHER))
    settings = world.service.settings.model_copy(update={"key_secret": OTHER.key_secret})
    application = create_app(settings, world.database.service_url)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=application), base_url="http://test"
        ) as http,
    ):
        answer = await http.get("/fhir/Patient", headers=world[RIVER].headers)
        assert answer.status_code == 200
    # And the process with the old secret goes on signing until it is restarted.
    assert (await world.token(RIVER)).status_code == 200


async def test_a_key_from_before_sealing_is_sealed_at_the_next_start_and_told_by_doctor(
    world: World, owner: asyncpg.Connection
) -> None:
    from app.commands import exposure

    plain = world.service.trust.keys.signing().private_pem
    await owner.execute("UPDATE tl.signing_key SET private_pem = $1", plain)
    with psycopg.connect(world.database.service_url) as connection:
        told = exposure.keys(connection, world.service.settings)
    assert "in the clear" in (told.fault or "")
    keys = await load_keys(world.service.database.pool, Seal(world.service.settings))
    assert keys.signing().private_pem == plain
    stored = await owner.fetchval("SELECT private_pem FROM tl.signing_key")
    assert "PRIVATE KEY" not in stored
    assert (await world[RIVER].get("/Patient")).status_code == 200


def test_without_a_setting_one_secret_is_made_and_kept_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TL_KEY_SECRET")
    settings = Settings(state_dir=tmp_path / "state")
    assert Seal(settings).open("anything") is None
    assert not (tmp_path / "state").exists(), "only looking makes no secret"
    sealed = Seal(settings).seal("a private key")
    file = tmp_path / "state" / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert re.fullmatch(r"[\w-]{64}", file.read_text())
    assert file.read_text() not in sealed
    assert Seal(settings).open(sealed) == "a private key"
    assert Seal(Settings(state_dir=tmp_path / "other")).open(sealed) is None
    assert Seal(settings).derive("cursors", b"salt") != Seal(settings).derive("keys", b"salt")


def test_where_no_secret_can_be_kept_it_is_said_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TL_KEY_SECRET")
    (tmp_path / "state").write_text("no folder")
    with pytest.raises(SettingsError, match="TL_KEY_SECRET"):
        Seal(Settings(state_dir=tmp_path / "state")).seal("x")


@pytest.mark.parametrize("secret", ["short", "x" * 40, "abcabcabcabcabcabcabcabcabcabcabcabc"])
def test_a_secret_that_is_easily_guessed_is_refused(
    secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TL_KEY_SECRET", secret)
    with pytest.raises(SettingsError, match="TL_KEY_SECRET") as refused:
        Settings.load()
    assert secret not in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(base_url="https://care.example/fhir", demo=True), "TL_DEMO"),
        (
            Settings.model_validate(
                {"base_url": "https://care.example/fhir", "service_password": "changeme"}
            ),
            "TL_SERVICE_PASSWORD",
        ),
        (
            Settings.model_validate(
                {
                    "base_url": "https://care.example/fhir",
                    "migration_database_url": "postgresql://owner:postgres@database/records",
                }
            ),
            "TL_MIGRATION_DATABASE_URL",
        ),
    ],
)
def test_default_keys_and_an_open_demonstration_stop_the_start_beyond_this_machine(
    database: Callable[[], Database], settings: Settings, said: str
) -> None:
    from app.commands import exposure

    reached = Reached(database().service_url, settings.fhir_base)
    with pytest.raises(CommandError, match=said):
        refuse_unsafe(settings, reached)
    told = [each for each in exposure.checks(settings) if each.fault is not None]
    assert said in f"{told[0].fault} {told[0].remedy}"
    refuse_unsafe(settings.model_copy(update={"base_url": None}), reached)

"""The demonstration, restored from a backup into a new cluster, plays the tour as the old one does."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from app.embedded import EmbeddedPostgres
from tests.backup import dump, restore
from tests.commands.program import serving, throughline
from tests.conftest import Cluster


@pytest.fixture
def settings(cluster: Cluster) -> Iterator[dict[str, str]]:
    name, role = f"tl_kept_{cluster.worker}", f"tl_service_{cluster.worker}"
    cluster.create(name, "template0")
    yield {"TL_DATABASE_URL": cluster.admin_url(name), "TL_SERVICE_ROLE": role}
    cluster.drop(name)
    cluster.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def _tour(state: Path, settings: dict[str, str]) -> list[str]:
    """What the tour tells, but for what the server makes up: addresses, ids and instants."""
    with serving(state, "demo", **settings) as served:
        told = throughline(state, "tour", **settings | served.settings)
        assert told.returncode == 0, told.stdout + told.stderr
        assert served.end() == 0
    text = told.stdout.replace(served.base, "")
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "an id", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "an instant", text).splitlines()


def test_the_restored_demonstration_plays_the_same_tour(
    settings: dict[str, str], state: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix="tl-backup-") as made:
        folder = Path(made)
        folder.chmod(0o711)
        with serving(state, "demo", **settings) as served:
            assert served.end() == 0
        dump(settings["TL_DATABASE_URL"], folder)
        with EmbeddedPostgres(folder / "new", durable=False) as server:
            again = settings | {"TL_DATABASE_URL": restore(folder, server)}
            restored = _tour(state, again)
        assert len(restored) > 30
        assert restored == _tour(state, settings)

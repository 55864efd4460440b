"""`throughline labels`, as an operator runs it on a database of the operator's own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from app.commands import labelling
from app.commands.errors import CommandError
from app.consent import labelling as tables
from app.interactions import relabel
from app.settings import Settings
from tests.commands.program import throughline
from tests.enrolled import Enrolled
from tests.spine.conftest import AGENCIES, World, new_patient, open_world

ICD = "http://hl7.org/fhir/sid/icd-10-cm"


@dataclass
class Store:
    """A store of an earlier release's labels. conditions: the ids of what is to be labelled."""

    world: World
    conditions: list[str]

    @property
    def settings(self) -> dict[str, str]:
        made = self.world.database
        return {"TL_DATABASE_URL": made.service_url, "TL_MIGRATION_DATABASE_URL": made.admin_url}


@pytest.fixture
async def store(
    enrolled: Callable[[], Enrolled], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Store]:
    async with open_world(enrolled(), tmp_path) as world:
        river = world[AGENCIES[0]]
        patient = await new_patient(river)
        found = []
        with monkeypatch.context() as former:
            former.setattr(tables, "_BY_PREFIX", {})
            for _ in range(5):
                condition = {
                    "resourceType": "Condition",
                    "subject": {"reference": f"Patient/{patient}"},
                    "code": {"coding": [{"system": ICD, "code": "B20"}]},
                }
                found.append((await river.post("/Condition", condition)).json()["id"])
        yield Store(world, found)


async def test_check_tells_what_apply_then_does_and_the_report_alone_names_the_entries(
    store: Store, state: Path, tmp_path: Path
) -> None:
    checked = throughline(state, "labels", "check", **store.settings)
    assert checked.returncode == 1, checked.stderr
    assert "HIV" in checked.stdout
    report = tmp_path / "report.jsonl"
    applied = throughline(state, "labels", "apply", "--report", str(report), **store.settings)
    assert applied.returncode == 0, applied.stderr
    for run in (checked, applied):
        rows = [line.split() for line in run.stdout.splitlines() if "Condition" in line]
        cells = [[cell for cell in row if cell not in "│┃|"] for row in rows]
        assert cells == [["Condition", "HIV", "added", "5"], ["Condition", "R", "added", "5"]]
        assert not any(each in run.stdout + run.stderr for each in store.conditions)
    assert report.stat().st_mode & 0o777 == 0o600
    changes = [json.loads(line) for line in report.read_text().splitlines()]
    assert {change["id"] for change in changes} == set(store.conditions)
    assert not (state / "labels-apply.json").exists()
    again = throughline(state, "labels", "apply", "--report", str(report), **store.settings)
    assert again.returncode == 1
    assert "is there already" in again.stderr
    clean = throughline(state, "labels", "check", **store.settings)
    assert (clean.returncode, clean.stdout) == (0, "")
    owner = await asyncpg.connect(store.world.database.admin_url)
    try:
        acts = "SELECT count(*) FROM tl.audit_event WHERE interaction = 'labels-apply'"
        assert await owner.fetchval(acts) == 1, "an administrator's act is written down"
    finally:
        await owner.close()


def _run(store: Store, state: Path, stop: int | None = None, **more: Path) -> labelling.Counts:
    """Apply, in this process; `stop` ends it like Ctrl-C after so many pages."""
    settings = Settings(
        state_dir=state,
        database_url=store.settings["TL_DATABASE_URL"],
        migration_database_url=store.settings["TL_MIGRATION_DATABASE_URL"],
    )
    seen = 0

    def progress(done: int, of: int) -> None:
        nonlocal seen
        assert done <= of
        seen += 1
        if seen == stop:
            raise KeyboardInterrupt

    return labelling.run(settings, progress, check=False, report=more.get("report"))


def test_an_interrupted_apply_goes_on_and_its_report_and_counts_are_whole(
    store: Store, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relabel, "BATCH", 1)
    report = tmp_path / "report.jsonl"
    with pytest.raises(KeyboardInterrupt):
        _run(store, state, stop=9, report=report)
    kept = state / "labels-apply.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert not any(each in kept.read_text() for each in store.conditions)
    first = len(report.read_text().splitlines())
    assert 0 < first < 10
    counts = _run(store, state, report=report)
    assert counts == {("Condition", "added", "HIV"): 5, ("Condition", "added", "R"): 5}
    assert len(report.read_text().splitlines()) == 10
    assert not kept.exists()


def test_a_note_of_other_tables_is_not_gone_on_from(
    store: Store, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relabel, "BATCH", 1)
    with pytest.raises(KeyboardInterrupt):
        _run(store, state, stop=9)
    kept = state / "labels-apply.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"tables": "others"}))
    assert _run(store, state)["Condition", "added", "HIV"] < 5
    kept.write_text("no note")
    assert _run(store, state) == {}


def test_a_report_that_cannot_be_written_is_said_before_anything_is_done(
    store: Store, state: Path, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match="cannot be written"):
        _run(store, state, report=tmp_path / "missing" / "report.jsonl")
    assert _run(store, state)["Condition", "added", "HIV"] == 5

"""The long form finds a difference, cuts it down to what it needs, and goes on where it was ended."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from tests.conftest import Cluster
from tests.noninterference import long
from tests.noninterference.asked import Asked
from tests.noninterference.copies import Copies
from tests.noninterference.long import Outcome, Progress
from tests.noninterference.worlds import HARBOR, RIVER, id_of

OPEN = Asked("GET", f"/Observation/{id_of('seen1')}")
HIDDEN = Asked("GET", f"/Observation/{id_of('veiled1')}")


@pytest.fixture
def copies(cluster: Cluster, template_database: str, tmp_path: Path) -> Iterator[Copies]:
    """Of Harbor's worlds."""
    made = uvloop.run(Copies.told(cluster, template_database, tmp_path, HARBOR))
    yield made
    for each in made.originals:
        cluster.drop(each.database)


def test_a_difference_is_found_and_cut_down_to_what_it_needs(
    copies: Copies, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sequences = [[OPEN], [OPEN, HIDDEN]]
    monkeypatch.setattr(long, "BLOCK", len(sequences))
    monkeypatch.setattr(long, "sequence", lambda number: list(sequences[number]))
    assert long.ask(copies, 0, 0) == Outcome(3)
    # River wrote what is hidden from Harbor, and so is told of it.
    river = replace(copies, caller=RIVER)
    outcome = long.ask(river, 0, 0)
    assert outcome.found
    assert (outcome.requests, outcome.sequence) == (1, 1)
    long.report(river, 0, 0, outcome)
    assert f"needed for it:\n  GET {HIDDEN.path}\n" in capsys.readouterr().out


def test_an_ended_run_asks_the_blocks_that_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "twins.json"
    first = Progress.of(path, 7, 50)
    first.note(0, 10)
    first.note(2, 30)
    for seed in (None, 7):
        again = Progress.of(path, seed, 50)
        assert (again.seed, again.requests) == (7, 40)
        assert list(itertools.islice(again.missing(), 3)) == [1, 3, 4]
    for seed, wanted in ((8, 50), (None, 40)):
        other = Progress.of(path, seed, wanted)
        assert (other.seed != 7, other.requests) == (True, 0)

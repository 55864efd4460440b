"""An answer never depends on what its caller may not see: random attacks on two worlds answer the same.

TL_TWINS sets the number of sequences (default 500 for both callers together). The long form, with a printed
seed, a place to resume from and shrinking, is `make twins` (`python -m tests.noninterference.long`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.noninterference.compare import difference
from tests.noninterference.requests import ATTACKS, sequence
from tests.noninterference.worlds import BRIDGE, HARBOR, RIVER, id_of, twins
from tests.search_rows import strays

SEQUENCES = int(os.environ.get("TL_TWINS", "500"))


@pytest.mark.parametrize("caller", [HARBOR, BRIDGE])
async def test_hidden_is_as_if_it_did_not_exist(
    database: Callable[[], Database], tmp_path: Path, caller: str
) -> None:
    made: list[Database] = []

    def make() -> Database:
        made.append(database())
        return made[-1]

    async with twins(make, tmp_path, caller=caller) as pair:
        for seed in range(SEQUENCES // 2):
            found = await difference(pair, caller, sequence(seed), f"{caller}-{seed}")
            assert found is None, f"sequence {seed} of {caller}\n{found}"
    # Whatever was written, and however it was refused, found and shown are judged alike.
    assert [strays(each) for each in made] == [{}, {}]


async def test_twins_differ_for_who_may_see_the_difference(
    database: Callable[[], Database], tmp_path: Path
) -> None:
    async with twins(database, tmp_path, caller=HARBOR) as (fuller, plainer):
        path = f"/Observation/{id_of('veiled1')}"
        assert (await fuller.send(RIVER, "GET", path)).status == 200
        assert (await plainer.send(RIVER, "GET", path)).status == 404
        assert (await fuller.send(HARBOR, "GET", f"/Observation/{id_of('seen1')}")).status == 200
        for name, words in (("labelled", "veiledword"), ("relabelled", "loudword")):
            path = f"/Observation/{id_of(name)}"
            cut = await fuller.send(HARBOR, "GET", path)
            assert "REDACTED" in cut.text
            assert words not in cut.text
            assert words in (await fuller.send(RIVER, "GET", path)).text
        # What is asked for most is there to be read, and withheld parts of it are all that differs.
        ana = f"/Patient/{id_of('ana')}"
        for path in (
            ana,
            f"{ana}/$everything",
            f"{ana}/$summary",
            f"{ana}/$outcomes",
            f"/Questionnaire/{id_of('form')}/$populate?subject=Patient/{id_of('ana')}",
            f"/Task/{id_of('task')}/$referral-package",
        ):
            told = await fuller.send(HARBOR, "GET", path)
            assert told.status == 200, path
            assert "Veiled" not in told.text, path
            assert "1990-05-05" not in told.text, path
        permit = f"/Consent/{id_of('permit')}"
        assert BRIDGE in (await fuller.send(RIVER, "GET", permit)).text
        assert "REDACTED" in (await fuller.send(HARBOR, "GET", permit)).text


def test_all_twelve_attacks_are_generators() -> None:
    assert len(ATTACKS) == 12

"""The documentation states the cuts of the data, where they come from, and that nobody has reviewed them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.care.data_files import packaged
from app.care.questionnaires.scoring import INSTRUMENTS

PAGE = Path(__file__).parents[2] / "docs" / "care" / "questionnaires.md"


def rows() -> dict[str, list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| [a-z]", line)]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {each[0]: each[1:] for each in cells if each[0] != "instrument"}


def test_the_documentation_states_every_cut_and_threshold_of_the_data() -> None:
    told = rows()
    assert set(told) == {each["name"] for each in INSTRUMENTS}
    for each in INSTRUMENTS:
        low, high = each["range"]
        change = each.get("change", {})
        *numbers, source = told[each["name"]]
        assert numbers == [
            f"{low} to {high}",
            ", ".join(map(str, each.get("cutoffs", ()))) or "none",
            str(change.get("reliable", "none")),
            str(change.get("meaningful", "none")),
        ], each["name"]
        first = re.split(r"[ ;]", source)[0]
        assert any(first in stated for stated in each["sources"]), each["name"]


@pytest.mark.parametrize("name", ["instruments.json", "risk-rules.json"])
def test_nobody_is_told_that_clinicians_have_reviewed_what_they_have_not(name: str) -> None:
    comment = packaged(name)["comment"]
    assert "No clinician has reviewed these rules yet" in comment
    assert "eviewed by clinicians" not in comment
    assert "**No clinician has reviewed them.**" in PAGE.read_text()


def test_the_cut_of_pcl_5_names_where_it_was_found_and_what_speaks_against_it() -> None:
    (rule,) = [each for each in INSTRUMENTS if each["name"] == "pcl-5"]
    assert (rule["cutoffs"], rule["change"]) == ([31, 33], {"reliable": 5, "meaningful": 10})
    assert any("Bovin 2016" in source and "31 to 33" in source for source in rule["sources"])
    assert "carried over" in rule["doubts"]

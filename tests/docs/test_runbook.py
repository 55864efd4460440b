"""The figures in the runbook are those of bench/RESULTS.md."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _told(what: str) -> float:
    page = (ROOT / "docs" / "runbook.md").read_text()
    row = re.search(rf"^\| {re.escape(what)} \| ([\d.,]+)", page, re.MULTILINE)
    assert row is not None, what
    return float(row[1].replace(",", ""))


def _measured(what: str) -> float:
    results = (ROOT / "bench" / "RESULTS.md").read_text()
    row = re.search(rf"^\| {re.escape(what)}.*\| (?:p50 )?([\d.]+)[^|]*\|$", results, re.MULTILINE)
    assert row is not None, what
    return float(row[1])


def test_the_capacity_table_says_what_was_measured() -> None:
    for told, measured in (
        (
            "reads a second, each checked and audited, 32 connections",
            "read over HTTP, 32 connections",
        ),
        (
            "a patient's search of 50, in the database, both walls",
            "patient search of 50: both walls",
        ),
        ("a page of 50 over the whole population", "population page of 50: both walls ÷ no check"),
        (
            "an exact count over the whole population by code",
            "exact count by code: both walls ÷ no check",
        ),
        ("a referral package of 2,003 resources", "package of 2,003 resources"),
    ):
        found = _measured(measured)
        assert abs(_told(told) - found) <= 0.05 * found + 0.05, told

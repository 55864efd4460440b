"""What `make advisories` says: never that all is well where nobody could be asked."""

from __future__ import annotations

import json
from typing import Any

from tools.advisories import told

WELL = {"name": "anyio", "version": "4.0", "vulns": []}
FAULTY = {
    "name": "jinja2",
    "version": "2.0",
    "vulns": [{"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"], "aliases": ["CVE-2019-10906"]}],
}
UNASKED = {"name": "attrs", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def _told(*packages: dict[str, Any]) -> tuple[str, int]:
    lines, code = told(json.dumps({"dependencies": packages, "fixes": []}))
    return " ".join(lines), code


def test_all_is_well_only_where_every_package_was_asked_about() -> None:
    assert _told(WELL) == ("None of the 1 locked packages has a known fault.", 0)


def test_a_source_that_cannot_be_reached_is_said_to_be_so() -> None:
    text, code = _told(UNASKED, UNASKED)
    assert code == 2
    assert "cannot be reached" in text
    assert "of none of the 2" in text


def test_what_could_not_be_asked_about_is_named_beside_what_could() -> None:
    assert _told(WELL, UNASKED) == ("Not known of 1 packages: attrs.", 2)
    text, code = _told(FAULTY, UNASKED)
    assert code == 1
    assert "jinja2 2.0: PYSEC-2019-217, mended in 2.10.1" in text
    assert "attrs" in text


def test_a_report_that_is_none_is_no_good_news() -> None:
    for report in ("", "Traceback", "{}", '{"dependencies": []}', "[]"):
        lines, code = told(report)
        assert (code, "not known" in lines[0]) == (2, True), report

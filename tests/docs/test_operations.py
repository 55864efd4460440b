"""docs/operations.md tells of every metric, with its labels, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

from app import metrics

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def test_every_metric_is_told_of_with_its_labels_and_no_other() -> None:
    told = {
        name: tuple(re.findall(r"`(\w+)`", labels))
        for name, labels in re.findall(r"^\| `(throughline_\w+)` \| ([^|]*)\|", PAGE, re.MULTILINE)
    }
    made = {}
    for each in (v for v in vars(metrics).values() if hasattr(v, "_labelnames")):
        (family,) = each.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        made[name] = each._labelnames
    assert told == made


def test_every_metric_in_an_alert_exists() -> None:
    told = set(re.findall(r"^\| `(throughline_\w+)` \|", PAGE, re.MULTILINE))
    for name in re.findall(r"throughline_\w+", PAGE):
        assert name in told or name.removesuffix("_count") in told, name

"""`Patient/$outcomes`: how scores moved, by domain: symptoms, quality of life, social integration, stability.

The baseline is the earliest score that the caller may see, the latest the newest one; a change is reliable or
meaningful by the instrument's published points (`app/care/data/instruments.json`). What is not seen does not
count: two callers may get two baselines, as if the other scores did not exist. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from app.care.questionnaires.items import Json, coding_key
from app.care.questionnaires.scoring import INSTRUMENTS

DOMAINS: Final = ("symptoms", "quality-of-life", "social-integration", "stability", "safety")

CODES: Final[Sequence[tuple[str, str]]] = tuple(
    (each["score"]["system"], each["score"]["code"]) for each in INSTRUMENTS
)
"""(system, code) of every score."""


def outcomes(observations: Iterable[Json]) -> dict[str, Any]:
    """A Parameters resource: one `outcome` for each instrument that has scores, in the order of the domains.

    observations: final or amended scores in any order.
    """
    series: dict[tuple[str, str], list[tuple[str, Decimal, str]]] = {}
    for each in observations:
        amount = each.get("valueQuantity", {}).get("value", each.get("valueInteger"))
        when = each.get("effectiveDateTime") or each.get("effectivePeriod", {}).get("start")
        if (
            amount is None
            or when is None
            or each.get("status") in ("entered-in-error", "cancelled")
        ):
            continue
        for coding in each["code"].get("coding", ()):
            if coding_key(coding) in CODES:
                point = (str(when), Decimal(amount), f"Observation/{each['id']}")
                series.setdefault(coding_key(coding), []).append(point)
    found = [
        _outcome(rule, sorted(series[key]))
        for domain in DOMAINS
        for rule in INSTRUMENTS
        if rule["domain"] == domain
        and (key := (rule["score"]["system"], rule["score"]["code"])) in series
    ]
    return {"resourceType": "Parameters"} | ({"parameter": found} if found else {})


def _outcome(rule: Mapping[str, Any], points: Sequence[tuple[str, Decimal, str]]) -> dict[str, Any]:
    first, last = points[0], points[-1]
    change = last[1] - first[1]
    parts: list[dict[str, Any]] = [
        {"name": "domain", "valueCode": rule["domain"]},
        {"name": "instrument", "valueCode": rule["name"]},
        {"name": "code", "valueCoding": dict(rule["score"])},
        _point("baseline", first),
    ]
    if len(points) > 1:
        parts += [
            _point("latest", last),
            {"name": "change", "valueDecimal": change},
            {"name": "direction", "valueCode": _direction(rule, change)},
        ]
        parts += [
            {"name": name, "valueBoolean": abs(change) >= least}
            for name, least in rule.get("change", {}).items()
        ]
    parts += [_point("point", each) for each in points]
    return {"name": "outcome", "part": parts}


def _point(name: str, point: tuple[str, Decimal, str]) -> dict[str, Any]:
    when, amount, place = point
    return {
        "name": name,
        "part": [
            {"name": "value", "valueDecimal": amount},
            {"name": "date", "valueDateTime": when},
            {"name": "source", "valueReference": {"reference": place}},
        ],
    }


def _direction(rule: Mapping[str, Any], change: Decimal) -> str:
    if change == 0:
        return "unchanged"
    return "better" if (change < 0) == rule["lower_is_better"] else "worse"

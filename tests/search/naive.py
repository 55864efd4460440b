"""The specification read naively: does a resource satisfy a parameter? No line of the service is used.

Resources are plain JSON; `store` is all of them by `Type/id`. Ranges are pairs of exact instants or
fractions. Only what `tests/search/test_against_naive.py` generates is understood.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

Json = dict[str, Any]
Store = Mapping[str, Json]

FOREVER = datetime.max.replace(tzinfo=UTC)
NEVER = datetime.min.replace(tzinfo=UTC)
GRAMS = {"kg": Fraction(1000), "g": Fraction(1), "mg": Fraction(1, 1000), "ug": Fraction(1, 10**6)}
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
TREE = {"b": "a", "c": "b"}
"""Of the code system urn:x: code to its parent."""
MEMBERS = {("urn:x", "a"), ("urn:x", "c"), ("urn:y", "b")}
"""The value set urn:set."""


def span(text: str) -> tuple[datetime, datetime]:
    """A date as written: from its first instant to the first one after it."""
    if len(text) == 4:
        return datetime(int(text), 1, 1, tzinfo=UTC), datetime(int(text) + 1, 1, 1, tzinfo=UTC)
    if len(text) == 7:
        year, month = int(text[:4]), int(text[5:])
        after = (year + 1, 1) if month == 12 else (year, month + 1)
        return datetime(year, month, 1, tzinfo=UTC), datetime(*after, 1, tzinfo=UTC)
    if len(text) == 10:
        day = datetime.fromisoformat(text).replace(tzinfo=UTC)
        return day, day + timedelta(days=1)
    second = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    return second, second + timedelta(seconds=1)


def fold(text: str) -> str:
    """Without case and accents."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return plain.casefold()


def satisfies(resource: Json, name: str, value: str, store: Store) -> bool:
    """Whether one parameter of a query holds: any of its alternatives."""
    if name.startswith("_has:"):
        _, source, code, rest = name.split(":", 3)
        me = f"{resource['resourceType']}/{resource['id']}"
        return any(
            satisfies(each, rest, value, store)
            for each in store.values()
            if each["resourceType"] == source and me in references(each, code)
        )
    head, dot, rest = name.partition(".")
    code, _, modifier = head.partition(":")
    if dot:
        return any(
            satisfies(store[target], rest, value, store)
            for target in references(resource, code)
            if target in store and (not modifier or target.startswith(f"{modifier}/"))
        )
    if modifier == "missing":
        return bool(values(resource, code)) is (value == "false")
    found = any(one(resource, code, modifier, each) for each in value.split(","))
    return not found if modifier in ("not", "not-in") else found


def ordered(found: list[Json], keys: str) -> list[tuple[Any, ...]]:
    """The sort values of resources in the order of `_sort`; None where there is none, which comes last."""
    rows = [tuple(sort_value(each, key) for key in keys.split(",")) for each in found]
    for at, key in reversed(list(enumerate(keys.split(",")))):
        held = [row for row in rows if row[at] is not None]
        held.sort(key=lambda row, at=at: row[at], reverse=key.startswith("-"))  # type: ignore[misc]
        rows = held + [row for row in rows if row[at] is None]
    return rows


def sort_value(resource: Json, key: str) -> Any:
    """The least value, or descending the greatest, by which a resource sorts."""
    code, pick = key.removeprefix("-"), max if key.startswith("-") else min
    held = values(resource, code)
    match code:
        case "_id":
            found = held
        case "date" | "birthdate":
            found = [bounds(each)[0] for each in held]
        case "family":
            found = [fold(each) for each in held]
        case "value-quantity" | "probability":
            found = [float(each["value"] if isinstance(each, dict) else each) for each in held]
        case "subject":
            found = [each.partition("/")[2] for each in references(resource, code)]
        case "url":
            found = held
        case _:
            found = [token for each in held for _, token in codings(code, each)]
    return pick(found) if found else None


def references(resource: Json, code: str) -> list[str]:
    """What a reference parameter points at."""
    element = {"subject": "subject", "patient": "subject", "part-of": "partOf"}[code]
    held = resource.get(element, [])
    every = held if isinstance(held, list) else [held]
    return [each["reference"] for each in every if "reference" in each]


def values(resource: Json, code: str) -> list[Any]:
    """The elements that a parameter looks at."""
    match code:
        case "_id":
            return [resource["id"]]
        case "probability":
            every = resource.get("prediction", [])
            return [each["probabilityDecimal"] for each in every if "probabilityDecimal" in each]
        case "identifier":
            return list(resource.get(code, []))
        case "code" | "gender" | "status" | "url":
            return [resource[code]] if code in resource else []
        case "category":
            return list(resource.get(code, []))
        case "_tag":
            return list(resource.get("meta", {}).get("tag", []))
        case "date":
            held = [resource.get("effectiveDateTime"), resource.get("effectivePeriod")]
            return [each for each in held if each is not None]
        case "birthdate":
            return [resource["birthDate"]] if "birthDate" in resource else []
        case "value-quantity":
            return [resource["valueQuantity"]] if "valueQuantity" in resource else []
        case "family":
            return [each["family"] for each in resource.get("name", []) if "family" in each]
        case "subject" | "patient":
            return [resource["subject"]] if "subject" in resource else []
        case "part-of":
            return references(resource, code)
    raise AssertionError(f"{code} is not generated")


def one(resource: Json, code: str, modifier: str, value: str) -> bool:
    """Whether one alternative holds."""
    if code == "_id":
        return bool(resource["id"] == value)
    if code == "code-value-quantity":
        first, second = value.split("$")
        return one(resource, "code", "", first) and one(resource, "value-quantity", "", second)
    if code == "component-code-value-quantity":
        first, second = value.split("$")
        return any(
            one(each, "code", "", first) and one(each, "value-quantity", "", second)
            for each in resource.get("component", [])
        )
    held = values(resource, code)
    if code in ("subject", "patient", "part-of"):
        if modifier == "identifier":
            system, _, wanted = value.rpartition("|")
            named = [each["identifier"] for each in held if "identifier" in each]
            return any((each["system"], each["value"]) == (system, wanted) for each in named)
        targets = references(resource, code)
        return value in targets or any(each.endswith(f"/{value}") for each in targets)
    if code == "url":
        if modifier == "below":
            return any(each == value or each.startswith(value.rstrip("/") + "/") for each in held)
        if modifier == "above":
            return any(each == value or value.startswith(each.rstrip("/") + "/") for each in held)
        return value in held
    if code == "probability":
        return any(compared(Fraction(str(each)), value) for each in held)
    if code in ("date", "birthdate"):
        return any(dated(each, value) for each in held)
    if code == "value-quantity":
        return any(measured(each, value) for each in held)
    if code == "family":
        if modifier == "exact":
            return value in held
        texts = [fold(each) for each in held]
        return any(
            fold(value) in each if modifier == "contains" else each.startswith(fold(value))
            for each in texts
        )
    if modifier == "text":
        texts = [fold(text) for each in held for text in said(each)]
        return any(each.startswith(fold(value)) for each in texts)
    if modifier in ("in", "not-in"):
        return any(pair in MEMBERS for each in held for pair in codings(code, each))
    if modifier == "of-type":
        return any(
            value == f"{kind['system']}|{kind['code']}|{each['value']}"
            for each in held
            for kind in each.get("type", {}).get("coding", [])
        )
    system, bar, wanted = value.rpartition("|")
    if modifier in ("above", "below"):
        pairs = [pair for each in held for pair in codings(code, each)]
        return any(
            system == has_system
            and (
                wanted in lineage(has_code) if modifier == "below" else has_code in lineage(wanted)
            )
            for has_system, has_code in pairs
        )
    return any(
        (not bar or system == has_system) and (not wanted or wanted == has_code)
        for each in held
        for has_system, has_code in codings(code, each)
    )


def codings(code: str, value: Any) -> list[tuple[str, str]]:
    """System and code of what a token parameter looks at."""
    implicit = {
        "status": "http://hl7.org/fhir/observation-status",
        "gender": "http://hl7.org/fhir/administrative-gender",
    }
    if isinstance(value, str):
        return [(implicit[code], value)]
    if code == "identifier":
        return [(value.get("system", ""), value["value"])]
    every = value.get("coding", [value])
    return [(each.get("system", ""), each["code"]) for each in every]


def said(value: Json) -> list[str]:
    """The words that `:text` searches: of an Identifier only the text of its type."""
    if "value" in value:
        return [value["type"]["text"]] if "type" in value else []
    displays = [each["display"] for each in value.get("coding", []) if "display" in each]
    return [*displays, *([value["text"]] if "text" in value else [])]


def lineage(code: str) -> list[str]:
    """A code of urn:x and all above it."""
    return [code, *(lineage(TREE[code]) if code in TREE else [])]


def prefixed(text: str) -> tuple[str, str]:
    return (text[:2], text[2:]) if text[:2] in PREFIXES else ("eq", text)


def bounds(held: Any) -> tuple[datetime, datetime]:
    """From the first instant of a date or a Period to the first one after it."""
    if isinstance(held, str):
        return span(held)
    first = span(held["start"])[0] if "start" in held else NEVER
    return first, span(held["end"])[1] if "end" in held else FOREVER


def dated(held: Any, text: str) -> bool:
    prefix, date = prefixed(text)
    low, high = span(date)
    first, last = bounds(held)
    within = low <= first and last <= high
    margin = abs(datetime.now(UTC) - low) / 10
    return {
        "ap": first < high + margin and last > low - margin,
        "eq": within,
        "ne": not within,
        "gt": last > high,
        "ge": last > high or within,
        "lt": first < low,
        "le": first < low or within,
        "sa": first >= high,
        "eb": last <= low,
    }[prefix]


def measured(held: Json, text: str) -> bool:
    number, system, unit = [*text.split("|"), "", ""][:3]
    prefix, digits = prefixed(number)
    value, width = Fraction(digits), width_of(digits)
    has = Fraction(held["value"]).limit_denominator(10**9)
    if system:
        if held["code"] not in GRAMS or unit not in GRAMS:
            if held["code"] != unit:
                return False
        else:
            has *= GRAMS[held["code"]]
            value, width = value * GRAMS[unit], width * GRAMS[unit]
    elif unit and held["code"] != unit:
        return False
    return compares(prefix, has, value, width)


def compared(has: Fraction, text: str) -> bool:
    """A number without unit against a prefix and a number."""
    prefix, digits = prefixed(text)
    return compares(prefix, has, Fraction(digits), width_of(digits))


def width_of(digits: str) -> Fraction:
    return Fraction(1, 10 ** len(digits.partition(".")[2])) / 2


def compares(prefix: str, has: Fraction, value: Fraction, width: Fraction) -> bool:
    equal = value - width <= has < value + width
    return {
        "ap": abs(has - value) <= abs(value) / 10,
        "eq": equal,
        "ne": not equal,
        "gt": has > value,
        "ge": has >= value,
        "lt": has < value,
        "le": has <= value,
        "sa": has > value,
        "eb": has < value,
    }[prefix]

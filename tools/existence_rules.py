"""Read those R4 invariants that only ask which elements are present.

Most invariants are FHIRPath and need an engine. About fifty say no more than "one of these", "not
both", "this asks for that"; they are recognised here by their shape and become data that the
walker checks at the cost of a set operation. An expression of any other shape is left out.

Pinned: hl7.org/fhir/R4/conformance-rules.html#constraints.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Rule = tuple[str, list[str]]
"""(kind, elements); kinds: see `app.fhir_mappings.rules`."""

_NAME = r"[a-zA-Z]+"
_EXISTS = re.compile(rf"({_NAME})\.exists\(\)")
_EMPTY = re.compile(rf"({_NAME})\.empty\(\)")
_COUNT = re.compile(rf"({_NAME})\.count\(\)")


def existence_rule(expression: str) -> Rule | None:
    """The rule that a FHIRPath expression states, None where it asks for more than presence."""
    for reader in (_pair, _any_of, _none_of, _counted, _nested):
        rule = reader(expression)
        if rule is not None:
            return rule
    return None


def _names(pattern: re.Pattern[str], text: str, separator: str) -> list[str] | None:
    matches = [pattern.fullmatch(part.strip()) for part in text.split(separator)]
    return [match[1] for match in matches if match] if all(matches) else None


def _any_of(text: str) -> Rule | None:
    names = _names(_EXISTS, text, " or ")
    return ("any_of", names) if names else None


def _none_of(text: str) -> Rule | None:
    names = _names(_EMPTY, text, " and ")
    return ("none_of", names) if names else None


def _counted(text: str) -> Rule | None:
    for tail, kind in ((" > 0", "any_of"), (" = 1", "exactly_one")):
        if text.startswith("(") and text.endswith(")" + tail):
            names = _names(_COUNT, text[1 : -len(tail) - 1], "+")
            if names:
                return kind, names
    return None


def _pair(text: str) -> Rule | None:
    """Two elements and one operator."""
    exists, empty = rf"({_NAME})\.exists\(\)", rf"({_NAME})\.empty\(\)"
    shapes: list[tuple[str, Callable[[str, str], Rule]]] = [
        (f"{empty} or {exists}", lambda a, b: ("requires", [a, b])),
        (f"{exists} or {empty}", lambda a, b: ("requires", [b, a])),
        (f"{exists} implies {exists}", lambda a, b: ("requires", [a, b])),
        (f"{empty} or {empty}", lambda a, b: ("at_most_one", [a, b])),
        (rf"\({exists} and {exists}\)\.not\(\)", lambda a, b: ("at_most_one", [a, b])),
        (f"{exists} (?:xor|!=) {exists}", lambda a, b: ("exactly_one", [a, b])),
        (f"{exists} = {exists}", lambda a, b: ("all_or_none", [a, b])),
    ]
    for shape, rule in shapes:
        match = re.fullmatch(shape, text)
        if match:
            return rule(match[1], match[2])
    return None


def _nested(text: str) -> Rule | None:
    """All empty, or all present."""
    match = re.fullmatch(r"\(([^()]*(?:\(\)[^()]*)*)\) or \(([^()]*(?:\(\)[^()]*)*)\)", text)
    if match:
        empty, present = _names(_EMPTY, match[1], " and "), _names(_EXISTS, match[2], " and ")
        if empty and empty == present:
            return "all_or_none", empty
    return None

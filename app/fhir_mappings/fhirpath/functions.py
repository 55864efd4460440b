"""The functions of FHIRPath whose arguments are plain values.

A function gets its focus, the environment and its evaluated arguments. Wrong kinds give an empty
result, as the specification says for most; nothing raises but Undecided. Neighbour: `operators`.

Pinned: hl7.org/fhirpath/N1/#functions, hl7.org/fhir/R4/fhirpath.html#functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

from app.fhir_mappings.fhirpath import comparison
from app.fhir_mappings.fhirpath.items import (
    TRUE,
    Collection,
    Item,
    Stub,
    Undecided,
    boolean,
    children,
    descendants,
    integer,
    members,
    number,
    string,
    text,
)
from app.fhir_mappings.fhirpath.patterns import PatternError, full_match, replaced
from app.fhir_mappings.reference_value import target_type
from app.fhir_mappings.registry import is_resource_type

if TYPE_CHECKING:
    from app.fhir_mappings.fhirpath.environment import Environment

Arguments: TypeAlias = tuple[Collection, ...]
Function: TypeAlias = "Callable[[Collection, Environment, Arguments], Collection]"

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,60}(?:\.[0-9]{1,60})?")


def _not(focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
    found = comparison.is_true(focus)
    return [] if found is None else boolean(not found)


def _distinct(focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
    return list({comparison.identity(each): each for each in focus}.values())


def _is_distinct(focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
    return boolean(len({comparison.identity(each) for each in focus}) == len(focus))


def _has_value(focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
    return boolean(len(focus) == 1 and type(focus[0].value) not in (dict, type(None)))


def _all_true(focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
    return boolean(all(each.value is True for each in focus))


def _any_true(focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
    return boolean(any(each.value is True for each in focus))


def _intersect(focus: Collection, e: Environment, arguments: Arguments) -> Collection:
    return [each for each in _distinct(focus, e, ()) if comparison.contains(arguments[0], each)]


def _exclude(focus: Collection, _e: Environment, arguments: Arguments) -> Collection:
    return [each for each in focus if not comparison.contains(arguments[0], each)]


def _subset_of(focus: Collection, _e: Environment, arguments: Arguments) -> Collection:
    return boolean(all(comparison.contains(arguments[0], each) for each in focus))


def _superset_of(focus: Collection, _e: Environment, arguments: Arguments) -> Collection:
    return boolean(all(comparison.contains(focus, each) for each in arguments[0]))


def _skip(focus: Collection, _e: Environment, arguments: Arguments) -> Collection:
    count = integer(arguments[0])
    return [] if count is None else focus[max(count, 0) :]


def _take(focus: Collection, _e: Environment, arguments: Arguments) -> Collection:
    count = integer(arguments[0])
    return [] if count is None else focus[: max(count, 0)]


def _single(focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
    return focus if len(focus) == 1 else []


def _of_texts(decide: Callable[[str, str], bool]) -> Function:
    def function(focus: Collection, _e: Environment, arguments: Arguments) -> Collection:
        whole, part = text(focus), text(arguments[0])
        return [] if whole is None or part is None else boolean(decide(whole, part))

    return function


def _matches(focus: Collection, _e: Environment, arguments: Arguments) -> Collection:
    whole, pattern = text(focus), text(arguments[0])
    if whole is None or pattern is None:
        return []
    try:
        return boolean(full_match(pattern, whole))
    except PatternError as error:
        raise Undecided from error


def _replace_matches(focus: Collection, _e: Environment, arguments: Arguments) -> Collection:
    whole, pattern, new = text(focus), text(arguments[0]), text(arguments[1])
    if whole is None or pattern is None or new is None:
        return []
    try:
        return string(replaced(pattern, whole, new))
    except PatternError as error:
        raise Undecided from error


def _replace(focus: Collection, _e: Environment, arguments: Arguments) -> Collection:
    whole, old, new = text(focus), text(arguments[0]), text(arguments[1])
    return [] if whole is None or old is None or new is None else string(whole.replace(old, new))


def _substring(focus: Collection, _e: Environment, arguments: Arguments) -> Collection:
    whole, start = text(focus), integer(arguments[0])
    if whole is None or start is None or not 0 <= start < len(whole):
        return []
    return string(whole[start:])


def _index_of(focus: Collection, _e: Environment, arguments: Arguments) -> Collection:
    whole, part = text(focus), text(arguments[0])
    return [] if whole is None or part is None else [Item(whole.find(part), "System.Integer")]


def _length(focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
    whole = text(focus)
    return [] if whole is None else [Item(len(whole), "System.Integer")]


def _cased(change: Callable[[str], str]) -> Function:
    def function(focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
        whole = text(focus)
        return [] if whole is None else string(change(whole))

    return function


def _join(focus: Collection, _e: Environment, arguments: Arguments) -> Collection:
    between = text(arguments[0]) or ""
    parts = [part for each in focus if (part := text(_to_string([each], _e, ()))) is not None]
    return string(between.join(parts)) if parts else []


def _today(_focus: Collection, e: Environment, _arguments: Arguments) -> Collection:
    if e.now is None:
        raise Undecided
    return [Item(e.now.date().isoformat(), "System.Date")]


def _now(_focus: Collection, e: Environment, _arguments: Arguments) -> Collection:
    if e.now is None:
        raise Undecided
    return [Item(e.now.isoformat(timespec="milliseconds"), "System.DateTime")]


def _to_string(focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
    value = focus[0].value if len(focus) == 1 else None
    if type(value) is bool:
        return string("true" if value else "false")
    if type(value) is str:
        return string(value)
    found = number(focus)
    return [] if found is None else string(str(getattr(found, "text", found)))


def _to_integer(focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
    value = focus[0].value if len(focus) == 1 else None
    if type(value) is int or type(value) is bool:
        return [Item(int(value), "System.Integer")]
    if type(value) is str and _INTEGER.fullmatch(value):
        return [Item(int(value), "System.Integer")]
    return []


def _to_decimal(focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
    found = number(focus)
    whole = text(focus)
    if found is not None:
        return [Item(Decimal(found), "System.Decimal")]
    if whole is not None and _DECIMAL.fullmatch(whole):
        return [Item(Decimal(whole), "System.Decimal")]
    return []


def _extension(focus: Collection, _e: Environment, arguments: Arguments) -> Collection:
    url = text(arguments[0])
    return [
        found
        for item in focus
        for found in members(item, "extension")
        if url is not None and found.value.get("url") == url
    ]


def _has_extension(focus: Collection, e: Environment, arguments: Arguments) -> Collection:
    return boolean(bool(_extension(focus, e, arguments)))


def _resolve(focus: Collection, e: Environment, _arguments: Arguments) -> Collection:
    """Contained resources; of others the type alone, from the reference's own text."""
    found: Collection = []
    for item in focus:
        reference = item.value.get("reference") if type(item.value) is dict else item.value
        if type(reference) is not str:
            continue
        if reference.startswith("#"):
            found.extend(_contained(reference[1:], e.root))
            continue
        name = target_type({"reference": reference}, {})
        if name is None or not is_resource_type(name):
            raise Undecided
        found.append(Item(Stub(), name))
    return found


def _contained(local_id: str, root: Item) -> Collection:
    if not local_id:
        return [root]
    return [each for each in members(root, "contained") if each.value.get("id") == local_id]


def _member_of(focus: Collection, e: Environment, arguments: Arguments) -> Collection:
    url = text(arguments[0])
    if len(focus) != 1 or url is None:
        return []
    found = e.member_of(focus[0], url)
    if found is None:
        raise Undecided
    return boolean(found)


def _undecided(_focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
    raise Undecided


def _count(focus: Collection, _e: Environment, _arguments: Arguments) -> Collection:
    return [Item(len(focus), "System.Integer")]


FUNCTIONS: Final[dict[str, tuple[int, Function]]] = {
    "empty": (0, lambda focus, _e, _a: boolean(not focus)),
    "not": (0, _not),
    "count": (0, _count),
    "first": (0, lambda focus, _e, _a: focus[:1]),
    "last": (0, lambda focus, _e, _a: focus[-1:]),
    "tail": (0, lambda focus, _e, _a: focus[1:]),
    "single": (0, _single),
    "skip": (1, _skip),
    "take": (1, _take),
    "distinct": (0, _distinct),
    "isDistinct": (0, _is_distinct),
    "allTrue": (0, _all_true),
    "anyTrue": (0, _any_true),
    "hasValue": (0, _has_value),
    "intersect": (1, _intersect),
    "exclude": (1, _exclude),
    "subsetOf": (1, _subset_of),
    "supersetOf": (1, _superset_of),
    "combine": (1, lambda focus, _e, a: focus + a[0]),
    "union": (1, lambda focus, e, a: _distinct(focus + a[0], e, ())),
    "children": (0, lambda focus, _e, _a: [each for item in focus for each in children(item)]),
    "descendants": (
        0,
        lambda focus, _e, _a: [each for item in focus for each in descendants(item)],
    ),
    "startsWith": (1, _of_texts(str.startswith)),
    "endsWith": (1, _of_texts(str.endswith)),
    "contains": (1, _of_texts(lambda whole, part: part in whole)),
    "matches": (1, _matches),
    "replaceMatches": (2, _replace_matches),
    "replace": (2, _replace),
    "substring": (1, _substring),
    "indexOf": (1, _index_of),
    "length": (0, _length),
    "lower": (0, _cased(str.lower)),
    "upper": (0, _cased(str.upper)),
    "join": (1, _join),
    "today": (0, _today),
    "now": (0, _now),
    "toString": (0, _to_string),
    "toInteger": (0, _to_integer),
    "toDecimal": (0, _to_decimal),
    "extension": (1, _extension),
    "hasExtension": (1, _has_extension),
    "resolve": (0, _resolve),
    "memberOf": (1, _member_of),
    "conformsTo": (1, _undecided),
    # The walker has checked the narrative: `app.fhir_mappings.xhtml`.
    "htmlChecks": (0, lambda _focus, _e, _a: [TRUE]),
}
"""Name to (number of arguments, function)."""

"""The operators of FHIRPath on two collections; the logical ones are in `compiler`.

Pinned: hl7.org/fhirpath/N1/#operations.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from app.fhir_mappings.fhirpath import comparison
from app.fhir_mappings.fhirpath.items import Collection, Item, boolean, number, string, text


def _equals(left: Collection, right: Collection) -> Collection:
    found = comparison.equal_collections(left, right)
    return [] if found is None else boolean(found)


def _differs(left: Collection, right: Collection) -> Collection:
    found = comparison.equal_collections(left, right)
    return [] if found is None else boolean(not found)


def _equivalent(left: Collection, right: Collection) -> Collection:
    return boolean(sorted(map(_folded, left)) == sorted(map(_folded, right)))


def _folded(item: Item) -> str:
    value = item.value
    return (
        " ".join(value.lower().split()) if type(value) is str else repr(comparison.identity(item))
    )


def _ordering(decide: Callable[[int], bool]) -> Callable[[Collection, Collection], Collection]:
    def operator(left: Collection, right: Collection) -> Collection:
        if len(left) != 1 or len(right) != 1:
            return []
        found = comparison.compare(left[0], right[0])
        return [] if found is None else boolean(decide(found))

    return operator


def _in(left: Collection, right: Collection) -> Collection:
    return [] if len(left) != 1 else boolean(comparison.contains(right, left[0]))


def _contains(left: Collection, right: Collection) -> Collection:
    return _in(right, left)


def _union(left: Collection, right: Collection) -> Collection:
    return list({comparison.identity(each): each for each in left + right}.values())


def _joined(left: Collection, right: Collection) -> Collection:
    return string((text(left) or "") + (text(right) or ""))


def _arithmetic(
    compute: Callable[[Decimal, Decimal], Decimal],
) -> Callable[[Collection, Collection], Collection]:
    def operator(left: Collection, right: Collection) -> Collection:
        a, b = number(left), number(right)
        if a is None or b is None:
            return []
        try:
            found = compute(Decimal(a), Decimal(b))
        except ArithmeticError:
            return []
        if type(a) is int and type(b) is int and found == found.to_integral_value():
            return [Item(int(found), "System.Integer")]
        return [Item(found, "System.Decimal")]

    return operator


def _plus(left: Collection, right: Collection) -> Collection:
    a, b = text(left), text(right)
    if a is not None and b is not None:
        return string(a + b)
    return _arithmetic(lambda x, y: x + y)(left, right)


BINARY: Final[dict[str, Callable[[Collection, Collection], Collection]]] = {
    "=": _equals,
    "!=": _differs,
    "~": _equivalent,
    "!~": lambda left, right: boolean(_equivalent(left, right)[0].value is False),
    "<": _ordering(lambda order: order < 0),
    "<=": _ordering(lambda order: order <= 0),
    ">": _ordering(lambda order: order > 0),
    ">=": _ordering(lambda order: order >= 0),
    "in": _in,
    "contains": _contains,
    "|": _union,
    "&": _joined,
    "+": _plus,
    "-": _arithmetic(lambda a, b: a - b),
    "*": _arithmetic(lambda a, b: a * b),
    "/": _arithmetic(lambda a, b: a / b),
    "div": _arithmetic(lambda a, b: a // b),
    "mod": _arithmetic(lambda a, b: a % b),
}
"""Operator to its function of two collections."""

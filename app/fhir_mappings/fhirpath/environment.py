"""What a FHIRPath expression may look at beside its focus.

Neighbours: `compiler`, `iteration` and `functions` read it; who evaluates an invariant makes it.

Pinned: hl7.org/fhir/R4/fhirpath.html#variables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from app.fhir_mappings.fhirpath.items import Collection, Item

MemberOf: TypeAlias = Callable[[Item, str], "bool | None"]


_NO_VARIABLES: Final[Mapping[str, Collection]] = MappingProxyType({})


def _unknown(_item: Item, _url: str) -> bool | None:
    return None


class Environment:
    """What an expression may look at beside its focus.

    resource: the resource that the focus stands in. root: its container, the same where there is
    none. context: the value that the expression was asked about. member_of: whether a code, Coding
    or CodeableConcept is of a value set (its URL), None where that is not known. this: the item
    at hand in the innermost function that goes over items. variables: further `%name`s, without the
    sigil; the expression was compiled for these names. now: what `today()` and `now()` answer, None where an
    expression must not depend on the time.
    """

    __slots__ = ("context", "member_of", "now", "resource", "root", "this", "variables")

    def __init__(
        self,
        resource: Item,
        root: Item,
        context: Item,
        member_of: MemberOf = _unknown,
        this: Item | None = None,
        variables: Mapping[str, Collection] = _NO_VARIABLES,
        now: datetime | None = None,
    ) -> None:
        self.resource = resource
        self.root = root
        self.context = context
        self.member_of = member_of
        self.this = this
        self.variables = variables
        self.now = now

    def within(self, this: Item) -> Environment:
        """The same with an item at hand."""
        return Environment(
            self.resource, self.root, self.context, self.member_of, this, self.variables, self.now
        )


Evaluate: TypeAlias = Callable[[Collection, Environment], Collection]
"""A compiled expression: from the focus to the result."""


def environment_of(resource: dict[str, Any], context: Item | None = None) -> Environment:
    """The environment of a resource that stands on its own; context: the resource itself."""
    item = Item(resource, str(resource["resourceType"]))
    return Environment(item, item, context or item)

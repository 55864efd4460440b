"""What a walk over a resource collects: faults with their paths, and the references to contained
ones.

A path is a linked tuple, built while walking down at the cost of one allocation a level, and turned
into FHIRPath text only for a fault. Neighbours: `app.fhir_mappings.walker` fills, `validate` reads.

Pinned: hl7.org/fhir/R4/operationoutcome-definitions.html#OperationOutcome.issue.expression,
hl7.org/fhir/R4/references.html#contained.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from app.errors import Issue, IssueCode
from app.fhir_mappings.fhirpath.items import NOTHING, Item

Path: TypeAlias = "tuple[Path | None, str, int | None]"
"""(parent, element name, index in its list or None)."""

MAX_ISSUES: Final = 100

_ELEMENT_NAME: Final = re.compile(r"_?[a-z][A-Za-z0-9_]{0,63}")


class EnoughError(Exception):
    """The walk has found `MAX_ISSUES` faults; the sender has enough to do."""


@dataclass(slots=True)
class Container:
    """A resource that stands on its own, and what refers to the resources inside it.

    contained: id to resource type of each contained resource. referenced: ids that a local
    reference (`#id`) names. to_container: indexes of the contained resources that refer to the
    container (`#`).
    """

    contained: dict[str, str] = field(default_factory=dict)
    referenced: set[str] = field(default_factory=set)
    to_container: set[int] = field(default_factory=set)
    inside: int | None = None


@dataclass(slots=True)
class Walk:
    """The state of one walk.

    conditional: a reference may be a search (transaction Bundles). warnings: also tell what is
    against best practice only. resource: the resource that is being walked; root: its container,
    the same where there is none.
    """

    issues: list[Issue] = field(default_factory=list)
    container: Container = field(default_factory=Container)
    conditional: bool = False
    warnings: bool = False
    resource: Item = NOTHING
    root: Item = NOTHING

    def fault(self, code: IssueCode, diagnostics: str, path: Path, severity: str = "error") -> None:
        """Record a fault; EnoughError when the limit is reached."""
        self.issues.append(Issue(code, diagnostics, (expression(path),), severity))
        if len(self.issues) >= MAX_ISSUES:
            raise EnoughError

    def local(self, text: str) -> None:
        """Note a text that refers to a contained resource, or to the container."""
        container = self.container
        name = text[1:].partition("|")[0]
        if name:
            container.referenced.add(name)
        elif container.inside is not None:
            container.to_container.add(container.inside)


WalkObject: TypeAlias = Callable[[dict[str, Any], Path, Walk], None]
"""A check of one JSON object: (the object, its path, the walk)."""


def expression(path: Path) -> str:
    """FHIRPath text of a path, in the simple subset that an OperationOutcome may use."""
    steps: list[str] = []
    each: Path | None = path
    while each is not None:
        parent, name, index = each
        steps.append(name if index is None else f"{name}[{index}]")
        each = parent
    return ".".join(reversed(steps))


def property_path(parent: Path, name: Any) -> Path:
    """Path of a property that R4 does not know; of its parent, where the name may be a value."""
    if isinstance(name, str) and _ELEMENT_NAME.fullmatch(name):
        return (parent, name, None)
    return parent

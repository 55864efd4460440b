"""Resources inside resources: contained ones, and those in Bundle entries and Parameters.

A contained resource belongs to its container: references to it are `#id`, and the invariants
dom-2 to dom-5 bind it. Any other nested resource stands on its own and is a container itself.

Pinned: hl7.org/fhir/R4/references.html#contained, hl7.org/fhir/R4/domainresource.html#invs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from app.errors import IssueCode
from app.fhir_mappings.faults import Container, Path, Walk
from app.fhir_mappings.fhirpath.items import Item
from app.fhir_mappings.registry import is_resource_type

Node: TypeAlias = dict[str, Any]
WalkOf: TypeAlias = Callable[[str], Callable[[Node, Path, Walk], None]]
Check: TypeAlias = Callable[[Any, Node, Path, Walk], None]


def walk_container(resource: Node, path: Path, walk: Walk, walk_of: WalkOf) -> None:
    """Walk a resource that stands on its own, with the resources that it contains."""
    if not _has_type(resource, path, walk):
        return
    outer, walk.container = walk.container, Container()
    conditional, above, root = walk.conditional, walk.resource, walk.root
    walk.resource = walk.root = Item(resource, resource["resourceType"])
    if resource["resourceType"] == "Bundle":
        walk.conditional = resource.get("type") in ("transaction", "batch")
    if "contained" in resource:
        walk.container.contained = _contained_types(resource["contained"])
    walk_of(resource["resourceType"])(resource, path, walk)
    if walk.container.contained:
        _check_referenced(resource["contained"], path, walk)
    walk.container, walk.conditional = outer, conditional
    walk.resource, walk.root = above, root


def resource_check(element: str, walk_of: WalkOf) -> Check:
    """Check of an element that holds one resource."""

    def check(value: Any, _node: Node, path: Path, walk: Walk) -> None:
        walk_container(value, (path, element, None), walk, walk_of)

    return check


def contained_check(element: str, walk_of: WalkOf) -> Check:
    """Check of `contained`."""

    def check(value: Any, _node: Node, path: Path, walk: Walk) -> None:
        here = (path, element, None)
        if walk.container.inside is not None:
            _invariant("Contain resources in the outermost resource only (dom-2).", here, walk)
        elif type(value) is not list or not value:
            walk.fault(IssueCode.STRUCTURE, "Send an array of resources, or leave it out.", here)
        else:
            for index, each in enumerate(value):
                walk.container.inside = index
                _walk_contained(each, (path, element, index), walk, walk_of)
            walk.container.inside = None

    return check


def _walk_contained(value: Any, path: Path, walk: Walk, walk_of: WalkOf) -> None:
    if not _has_type(value, path, walk):
        return
    meta = value.get("meta")
    if type(meta) is dict:
        if not meta.keys().isdisjoint(("versionId", "lastUpdated")):
            _invariant("Leave out version and time of a contained resource (dom-4).", path, walk)
        if "security" in meta:
            _invariant("Label the container, not what it contains (dom-5).", path, walk)
    above, walk.resource = walk.resource, Item(value, value["resourceType"])
    walk_of(value["resourceType"])(value, path, walk)
    walk.resource = above


def _has_type(value: Any, path: Path, walk: Walk) -> bool:
    if type(value) is not dict:
        walk.fault(IssueCode.STRUCTURE, "Send a resource: an object with a resourceType.", path)
        return False
    name = value.get("resourceType")
    if type(name) is str and is_resource_type(name):
        return True
    walk.fault(
        IssueCode.STRUCTURE,
        "Set resourceType to the name of an R4 resource type, in its exact case.",
        (path, "resourceType", None),
    )
    return False


def _contained_types(contained: Any) -> dict[str, str]:
    """Id to resource type, of those that have both."""
    types: dict[str, str] = {}
    for each in contained if type(contained) is list else ():
        if type(each) is dict:
            name, identity = each.get("resourceType"), each.get("id")
            if type(name) is str and type(identity) is str:
                types[identity] = name
    return types


def _check_referenced(contained: list[Any], path: Path, walk: Walk) -> None:
    """Each contained resource is referred to or refers to the container (dom-3); ids differ."""
    seen: set[str] = set()
    for index, each in enumerate(contained):
        identity = each.get("id") if type(each) is dict else None
        if type(identity) is not str:
            identity = ""
        here = (path, "contained", index)
        if identity in seen:
            walk.fault(IssueCode.STRUCTURE, "Give each contained resource an id of its own.", here)
        seen.add(identity)
        referenced = identity in walk.container.referenced
        if not referenced and index not in walk.container.to_container:
            _invariant("Refer to the contained resource, or leave it out (dom-3).", here, walk)


def _invariant(diagnostics: str, path: Path, walk: Walk) -> None:
    walk.fault(IssueCode.INVARIANT, diagnostics, path)

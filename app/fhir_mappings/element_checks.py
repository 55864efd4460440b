"""One element of a type, compiled to the checks of its JSON properties.

A primitive element has two properties: the value, and `_name` for its id and extensions. Arrays
of the two run side by side, and null stands only where the other one has something.

Neighbours: `walker` calls `element_checks` for each slot of a type; `nested` checks resources in
resources; `bindings`, `references` and `rules` make what is asked beyond the type.

Pinned: hl7.org/fhir/R4/json.html#primitive, hl7.org/fhir/R4/formats.html#choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from app.errors import IssueCode
from app.fhir_mappings.bindings import bound_codes, bound_concept
from app.fhir_mappings.faults import Path, Walk, WalkObject
from app.fhir_mappings.invariants import compiled_invariants
from app.fhir_mappings.nested import contained_check, resource_check
from app.fhir_mappings.primitives import Primitive, primitives
from app.fhir_mappings.references import check_reference
from app.fhir_mappings.rules import compiled_rules
from app.fhir_mappings.structure import Slot, definition

Node: TypeAlias = dict[str, Any]
WalkOf: TypeAlias = Callable[[str], WalkObject]
Check: TypeAlias = Callable[[Any, Node, Path, Walk], None]
"""(value, the object it stands in, the path of that object, the walk)."""


def element_checks(
    key: str, slot: Slot, slots: Mapping[str, Slot], walk_of: WalkOf
) -> Iterator[tuple[str, Check]]:
    """The JSON properties of a slot with the check of each.

    slots: all slots of the type (a choice element asks whether another of its properties is there).
    walk_of: gives the walk of a type by name.
    """
    if slot.type == "Resource":
        make = contained_check if slot.many else resource_check
        yield key, make(slot.element, walk_of)
        return
    if slot.type not in primitives():
        yield key, _exclusive(key, slot, slots, _complex(slot, walk_of))
        return
    yield key, _exclusive(key, slot, slots, _with_invariants(slot, _primitive(key, slot)))
    if _has_extensions(key, slot, slots):
        sibling = (_siblings if slot.many else _sibling)(key, slot, walk_of("Element"))
        yield "_" + key, _exclusive(key, slot, slots, sibling)


def _has_extensions(key: str, slot: Slot, slots: Mapping[str, Slot]) -> bool:
    """False for what is an attribute in XML: Element.id, Extension.url; and for xhtml."""
    attribute = slot.type == "string" and key == "id"
    extension_url = key == "url" and "valueUrl" in slots
    return not (attribute or extension_url or slot.type == "xhtml")


def _exclusive(key: str, slot: Slot, slots: Mapping[str, Slot], check: Check) -> Check:
    """For a choice element: at most one of its properties (with its sibling) may be there."""
    if not slot.choice:
        return check
    own = frozenset((key, "_" + key))
    names = {name for name, each in slots.items() if each.element == slot.element}
    group = frozenset(names | {"_" + name for name in names})
    rivals = group - own

    def exclusive(value: Any, node: Node, path: Path, walk: Walk) -> None:
        if not rivals.isdisjoint(node) and next(name for name in node if name in group) in own:
            walk.fault(
                IssueCode.STRUCTURE,
                "Give the element once: it has more than one type here.",
                (path, slot.element, None),
            )
        check(value, node, path, walk)

    return exclusive


def _complex(slot: Slot, walk_of: WalkOf) -> Check:
    element = slot.element
    walk_object = _with_demands(slot, walk_of(slot.type))

    def one(value: Any, path: Path, walk: Walk) -> None:
        if type(value) is dict and value:
            walk_object(value, path, walk)
        else:
            _complex_fault(value, path, walk)

    def single(value: Any, _node: Node, path: Path, walk: Walk) -> None:
        if type(value) is dict and value:
            walk_object(value, (path, element, None), walk)
        else:
            _complex_fault(value, (path, element, None), walk)

    def many(value: Any, _node: Node, path: Path, walk: Walk) -> None:
        if type(value) is list and value:
            for index, each in enumerate(value):
                one(each, (path, element, index), walk)
        else:
            _array_fault(value, (path, element, None), walk)

    return many if slot.many else single


def _with_demands(slot: Slot, walk_object: WalkObject) -> WalkObject:
    """The walk of a type, followed by what this element asks beyond the type."""
    demands: list[WalkObject] = []
    if slot.type == "Reference":
        demands.append(_reference(frozenset(slot.targets)))
    concept = bound_concept(slot.binding) if slot.type == "CodeableConcept" else None
    if concept:
        demands.append(concept)
    for profile in slot.profiles:
        demands.extend(compiled_rules(profile, definition(slot.type).slots, beyond=slot.type))
    if slot.path and (invariants := compiled_invariants(slot.path, slot.type)):
        demands.append(invariants)
    if not demands:
        return walk_object

    def demanding(value: Node, path: Path, walk: Walk) -> None:
        walk_object(value, path, walk)
        for demand in demands:
            demand(value, path, walk)

    return demanding


def _reference(targets: frozenset[str]) -> WalkObject:
    def check(value: Node, path: Path, walk: Walk) -> None:
        text = value.get("reference")
        if type(text) is str and text:
            check_reference(text, targets, path, walk)

    return check


def _with_invariants(slot: Slot, check: Check) -> Check:
    """A primitive that does not repeat, and what R4 asks of its value here."""
    invariants = compiled_invariants(slot.path, slot.type) if slot.path else None
    if invariants is None:
        return check

    def both(value: Any, node: Node, path: Path, walk: Walk) -> None:
        check(value, node, path, walk)
        if type(value) not in (dict, list):
            invariants(value, (path, slot.element, None), walk)

    return both


def _primitive(key: str, slot: Slot) -> Check:
    element, sibling_key = slot.element, "_" + key
    primitive = primitives()[slot.type]
    accepts = primitive.accepts
    codes = bound_codes(slot.binding) if slot.type == "code" else None
    links = slot.type in ("uri", "url", "canonical")

    def fault(value: Any, path: Path, walk: Walk) -> None:
        if codes is not None and accepts(value):
            walk.fault(IssueCode.CODE_INVALID, f"Use a code of the value set {slot.binding}.", path)
        else:
            _primitive_fault(value, primitive, path, walk)

    def single(value: Any, _node: Node, path: Path, walk: Walk) -> None:
        if not accepts(value):
            fault(value, (path, element, None), walk)

    def single_code(value: Any, _node: Node, path: Path, walk: Walk) -> None:
        if type(value) is not str or value not in codes:  # type: ignore[operator]
            fault(value, (path, element, None), walk)

    def single_link(value: Any, _node: Node, path: Path, walk: Walk) -> None:
        if not accepts(value):
            fault(value, (path, element, None), walk)
        elif value[0] == "#":
            walk.local(value)

    def many(value: Any, node: Node, path: Path, walk: Walk) -> None:
        if type(value) is not list or not value:
            _array_fault(value, (path, element, None), walk)
            return
        for index, each in enumerate(value):
            if each is None:
                if not _has_partner(node.get(sibling_key), index):
                    _null_fault((path, element, index), walk)
            elif not accepts(each) or (codes is not None and each not in codes):
                fault(each, (path, element, index), walk)
            elif links and each[0] == "#":
                walk.local(each)

    if slot.many:
        return many
    return single_code if codes is not None else single_link if links else single


def _sibling(key: str, slot: Slot, walk_element: WalkObject) -> Check:
    element = slot.element

    def check(value: Any, node: Node, path: Path, walk: Walk) -> None:
        here = (path, element, None)
        if type(value) is not dict or not value:
            _complex_fault(value, here, walk)
            return
        _walk_sibling(value, here, walk, walk_element, alone=key not in node)

    return check


def _siblings(key: str, slot: Slot, walk_element: WalkObject) -> Check:
    element = slot.element

    def check(value: Any, node: Node, path: Path, walk: Walk) -> None:
        values = node.get(key)
        if type(value) is not list or not value:
            _array_fault(value, (path, element, None), walk)
            return
        if type(values) is list and len(values) != len(value):
            walk.fault(
                IssueCode.STRUCTURE,
                f"Make the arrays of the values and of _{element} equally long, filled with null.",
                (path, element, None),
            )
        for index, each in enumerate(value):
            here = (path, element, index)
            alone = not _has_partner(values, index)
            if type(each) is dict and each:
                _walk_sibling(each, here, walk, walk_element, alone=alone)
            elif each is not None:
                _complex_fault(each, here, walk)
            elif alone and values is None:
                _null_fault(here, walk)

    return check


def _walk_sibling(
    value: Node, path: Path, walk: Walk, walk_element: WalkObject, *, alone: bool
) -> None:
    if value.keys() == {"id"}:
        if alone:
            walk.fault(
                IssueCode.INVARIANT, "Give the element content, not an id alone (ele-1).", path
            )
        return
    walk_element(value, path, walk)


def _has_partner(values: Any, index: int) -> bool:
    return type(values) is list and index < len(values) and values[index] is not None


def _null_fault(path: Path, walk: Walk) -> None:
    walk.fault(
        IssueCode.STRUCTURE,
        "Remove the null: it may stand only where the value or its extensions hold something.",
        path,
    )


def _array_fault(value: Any, path: Path, walk: Walk) -> None:
    if value == []:
        what = "Remove the empty array: an element without content is left out."
    else:
        what = "Send an array: the element may repeat."
    walk.fault(IssueCode.STRUCTURE, what, path)


def _complex_fault(value: Any, path: Path, walk: Walk) -> None:
    if value == {} or value is None:
        what = "Remove the empty object or null: an element without content is left out."
    elif type(value) is list:
        what = "Send an object, not an array: the element does not repeat."
    else:
        what = "Send an object."
    walk.fault(IssueCode.STRUCTURE, what, path)


def _primitive_fault(value: Any, primitive: Primitive, path: Path, walk: Walk) -> None:
    if primitive.has_json_type(value):
        walk.fault(IssueCode.VALUE, f"The {primitive.name} {primitive.advice}.", path)
    elif value is None:
        _null_fault(path, walk)
    elif type(value) is list:
        walk.fault(
            IssueCode.STRUCTURE, "Send one value, not an array: the element does not repeat.", path
        )
    else:
        walk.fault(IssueCode.STRUCTURE, f"Send a JSON {primitive.json_type}.", path)

"""A resource as the rows by which searches find it.

Each type is compiled once to a plan: JSON property of the resource to the fields that begin with
it, so that the cost follows what a resource holds, not how many parameters its type has. Keys:
`app.fhir_mappings.search_keys`; what a field writes: `app.fhir_mappings.row_writers`. `_id` and
`_lastUpdated` are columns of the resource and have no rows.

Pinned: hl7.org/fhir/R4/search.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from app.fhir_mappings.canonicals import is_canonical
from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.path import Step, Track, compile_path, extend, run
from app.fhir_mappings.row_writers import IndexRows, RowBuilder, Writer, write_name, writer
from app.fhir_mappings.search_keys import canonical_key, component_parameter, presence_key
from app.fhir_mappings.search_parameters import SearchParameter, parameters, version

__all__ = ["COLUMNS", "IndexRows", "extract"]

COLUMNS: Final = frozenset({"_id", "_lastUpdated"})
"""Parameters of every type that are columns of the resource."""

_RESOURCE: Final = "%resource."


@dataclass(frozen=True, slots=True)
class _Field:
    """One track of a parameter. steps: after the first property; write: None for presence only."""

    presence: int
    steps: tuple[Step, ...]
    write: Writer | None


@dataclass(frozen=True, slots=True)
class _Part:
    """One track of a component of a composite. root: it looks at the whole resource."""

    position: int
    steps: tuple[Step, ...]
    write: Writer
    root: bool


@dataclass(frozen=True, slots=True)
class _Composite:
    """One context of a composite: each of its values is an item of its own."""

    components: int
    steps: tuple[Step, ...]
    parts: tuple[_Part, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """canonical: key of what a resource of the type is called by canonicals; None where they name none."""

    fields: dict[str | None, tuple[_Field, ...]]
    composites: tuple[_Composite, ...]
    canonical: int | None


def extract(resource: JsonObject, base_urls: tuple[str, ...] = ()) -> IndexRows:
    """The index rows of a resource.

    resource: one that `app.fhir_mappings.validate` accepts. base_urls: addresses of this server,
    without a slash at the end; an absolute reference below one of them is local. Contained
    resources are not searched.
    """
    rows = RowBuilder(base_urls)
    plan = _plan(resource["resourceType"], version())
    for key, value in resource.items():
        fields = plan.fields.get(key)
        if fields is None:
            continue
        values = [each for each in value if each is not None] if type(value) is list else [value]
        for each_field in fields:
            _fill(each_field, values, resource, rows)
    for each_field in plan.fields.get(None, ()):
        _fill(each_field, [resource], resource, rows)
    if plan.canonical is not None and type(resource.get("url")) is str:
        write_name(plan.canonical, resource["url"], resource.get("version", ""), rows)
    found = rows.built()
    for each in plan.composites:
        for context in run(each.steps, [resource], resource):
            item = RowBuilder(base_urls)
            present = set()
            for part in each.parts:
                focus = resource if part.root else context
                for value in run(part.steps, [focus], resource):
                    part.write(value, item)
                    present.add(part.position)
            # An element that lacks a component can satisfy no query.
            if len(present) == each.components:
                found.items.append(item.built())
    return found


def _fill(each: _Field, values: list[Any], resource: JsonObject, rows: RowBuilder) -> None:
    if each.steps:
        values = run(each.steps, values, resource)
    if not values:
        return
    rows.tokens[each.presence] = None
    if each.write is not None:
        for value in values:
            each.write(value, rows)


@cache
def _plan(resource_type: str, _version: int) -> _Plan:
    found: dict[str | None, list[_Field]] = {}
    composites: list[_Composite] = []
    for code, each in parameters(resource_type).items():
        if each.type == "composite":
            if not each.of_whole(resource_type):
                composites.extend(_composites(resource_type, each))
            continue
        if code in COLUMNS:
            continue
        presence = presence_key(resource_type, code)
        for track in _leaves(each.path(resource_type).tracks):
            steps = track.steps if track.key is None else track.steps[1:]
            write = writer(resource_type, code, each.type, track)
            found.setdefault(track.key, []).append(_Field(presence, steps, write))
    return _Plan(
        {key: tuple(fields) for key, fields in found.items()},
        tuple(composites),
        canonical_key(resource_type, "") if is_canonical(resource_type) else None,
    )


def _composites(resource_type: str, of: SearchParameter) -> Iterator[_Composite]:
    for context in of.path(resource_type).tracks:
        parts = [
            part
            for position, component in enumerate(of.components)
            for part in _parts(
                position,
                resource_type,
                component_parameter(of.code, position),
                component.type,
                component.expression,
                context.type,
            )
        ]
        yield _Composite(len(of.components), context.steps, tuple(parts))


def _parts(
    position: int, resource_type: str, code: str, type_: str, expression: str, context: str
) -> Iterator[_Part]:
    # The one variable that R4 uses in components: the resource instead of the element.
    root = expression.startswith(_RESOURCE)
    text = expression.removeprefix(_RESOURCE)
    for track in _leaves(compile_path(text, resource_type if root else context).tracks):
        write = writer(resource_type, code, type_, track)
        if write is not None:
            yield _Part(position, track.steps, write, root)


def _leaves(tracks: tuple[Track, ...]) -> Iterator[Track]:
    """An expression that ends at an extension means the extension's value."""
    for track in tracks:
        if track.type == "Extension":
            yield from extend(track, "value")
        else:
            yield track

"""Reading, inside a write, what else the writer may see: shared by the guards of the care domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.fhir_mappings import json_text, registry
from app.fhir_mappings.reference_value import ReferenceKind, parse_reference
from app.fhir_mappings.search_query import parse
from app.interactions.guards import Moment, Planned
from app.storage import resources, search_sql
from app.storage.database import TransactionReader

Json = dict[str, Any]


def local(reference: Mapping[str, Any] | None, bases: tuple[str, ...]) -> tuple[str, str] | None:
    """(type, id) of a literal reference to something here; None for any other."""
    text = (reference or {}).get("reference")
    if not isinstance(text, str):
        return None
    target = parse_reference(text, bases)
    if target.kind is not ReferenceKind.LOCAL or not target.type or not target.id:
        return None
    return target.type, target.id


def parsed(content: bytes) -> Json:
    """A stored resource."""
    return json_text.parse(content, max_depth=json_text.MAX_DEPTH_LIMIT)


def previous(planned: Planned) -> Json | None:
    """The version that a write replaces; None for a new or a deleted resource."""
    current = planned.current
    return None if current is None or current.deleted else parsed(current.content)


async def read(moment: Moment, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Json]:
    """What the writer sees of these (type, id): as this write plans it, or as the transaction has it."""
    wanted = list(dict.fromkeys(key for key in keys if registry.is_resource_type(key[0])))
    planned = {
        (each.type, each.id): each.resource | {"id": each.id}
        for each in moment.planned
        if each.resource is not None
    }
    found = {key: planned[key] for key in wanted if key in planned}
    missing = [(registry.type_code(t), i) for t, i in wanted if (t, i) not in found]
    if missing:
        reader = TransactionReader(moment.connection)
        for each in await resources.read_many(reader, moment.caller, missing):
            found[registry.type_name(each.type_code), each.id] = parsed(each.content)
    return found


async def search(
    moment: Moment, type_: str, parameters: Sequence[tuple[str, str]], count: int = 50
) -> list[Json]:
    """At most `count` matches of a search, as the writer and as the transaction has them."""
    query = parse(
        type_,
        parameters,
        strict=True,
        base_urls=moment.base_urls,
        max_count=count,
        default_count=count,
    )
    reader = TransactionReader(moment.connection)
    found = await search_sql.page(reader, moment.caller, query, 0)
    return [parsed(each.content) for each in found[:count]]


def place(planned: Planned, element: str) -> str:
    """The FHIRPath of an element of a planned resource, in its Bundle where it stands in one."""
    prefix = f"{planned.where}." if planned.where else ""
    return f"{prefix}{planned.type}.{element}" if element else f"{prefix}{planned.type}"

"""A resource made once by the service's own code, then copied for other patients by replacing ids.

`template` takes a resource through what the write pipeline does (validate, label, index, hash codes, read the
clinical time) and notes where ids of the patient's resources went: into the bytes, into reference keys, into
links. `Template.rows` puts another patient's ids there. A test compares the result with rows that the
service itself wrote, so that the copies stay true. Neighbours: `bench.records`, `bench.load`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, reduce
from operator import or_
from typing import Any, Final

from app.consent import labels
from app.consent.labelling import computed_labels, merged_security
from app.consent.redaction import layers
from app.fhir_mappings import clinical_time, codes, index_rows, json_text, links, registry
from app.fhir_mappings.index_rows import IndexRows
from app.fhir_mappings.search_keys import parameter_key, reference_key
from app.fhir_mappings.search_parameters import parameters
from app.fhir_mappings.validate import validate
from bench.records import SLOTS, Json, placeholder, resource

_STAMP: Final = datetime(1999, 1, 1, tzinfo=UTC)
_STAMP_TEXT: Final = json_text.instant(_STAMP).encode()
_SPLIT: Final = re.compile(rb"00000000-7e57-4b1d-8b1d-0{10}([0-9]{2})|(" + _STAMP_TEXT + rb")")


@dataclass(frozen=True, slots=True)
class Template:
    """One resource of a slot, with holes.

    content: bytes and, between them, slot numbers (an id) or None (the time). tokens: keys that are
    the same for all; token_holes: (parameter, slot) whose reference key is the patient's own.
    links: (slot, parameter or 0, climbs, author); outward: (type, id, parameter or 0, climbs, author).
    """

    type: str
    type_code: int
    content: tuple[bytes | int | None, ...]
    labels: int
    clinical: tuple[datetime, datetime] | None
    codes: tuple[int, ...]
    code_mask: int
    tokens: tuple[int, ...]
    token_holes: tuple[tuple[str, int], ...]
    rows: IndexRows
    links: tuple[tuple[int, int, bool, bool], ...]
    outward: tuple[tuple[str, str, int, bool, bool], ...]

    def bytes(self, ids: Mapping[int, str], updated: datetime) -> bytes:
        """What is served: ids are those of the patient's slots."""
        stamp = json_text.instant(updated).encode()
        return b"".join(
            part if isinstance(part, bytes) else stamp if part is None else ids[part].encode()
            for part in self.content
        )

    def keys(self, ids: Mapping[int, str]) -> list[tuple[int, int]]:
        """The token keys, each with its item, for the patient whose slots have these ids."""
        own = (_reference(self.type, code, slot, ids[slot]) for code, slot in self.token_holes)
        items = enumerate(self.rows.items, start=1)
        return [
            *((key, 0) for key in (*self.tokens, *own)),
            *((key, item) for item, rows in items for key in rows.tokens),
        ]


def _reference(type_: str, code: str, slot: int, id_: str) -> int:
    return reference_key(type_, code, SLOTS[slot], id_)


@cache
def template(slot: int, variant: int) -> Template:
    """The template of a slot's variant; ValueError where the service would not take it."""
    return make(slot, resource(slot, variant))


def make(slot: int, plain: Json) -> Template:
    """Any resource whose own id is its slot's placeholder, as a template."""
    type_ = SLOTS[slot]
    own = placeholder(slot)
    faults = [i for i in validate(plain, expected_type=type_) if i.severity in ("error", "fatal")]
    if faults:
        raise ValueError(f"{type_}: {faults[0].diagnostics} {faults[0].expression}")
    computed = computed_labels(plain, codings=codes.codings(plain), inherited=0, program=0)
    security: list[Json] = [dict(each) for each in merged_security(plain, computed)]
    stored = json_text.with_meta(plain, own, "1", _STAMP, security)
    # What a Consent says of its grantees is filed apart, under a label that no grant permits
    # (docs/decisions/0004-redaction.md); nothing here searches for it, so that it is left out.
    shown = next(layer for _, layer in layers(stored))
    rows = index_rows.extract(shown)
    holes, fixed = _holes(type_, rows.tokens)
    return Template(
        type=type_,
        type_code=registry.type_code(type_),
        content=_parts(json_text.dump(stored)),
        labels=labels.label_mask(security),
        clinical=clinical_time.clinical_time(stored),
        codes=(found := tuple(codes.codes(stored))),
        code_mask=_code_mask(found),
        tokens=(*fixed, parameter_key(type_, "")),
        token_holes=holes,
        rows=rows,
        links=tuple(_inner(rows, shown, own)),
        outward=tuple(_outward(rows, shown)),
    )


def _code_mask(of: Iterable[int]) -> int:
    """As `tl.code_mask`: a signed bigint. The database checks it."""
    mask = reduce(or_, (1 << (code & 63) for code in of), 0)
    return mask - (1 << 64) if mask >> 63 else mask


def _parts(content: bytes) -> tuple[bytes | int | None, ...]:
    parts: list[bytes | int | None] = []
    end = 0
    for match in _SPLIT.finditer(content):
        parts += [content[end : match.start()], int(match[1]) if match[1] else None]
        end = match.end()
    return (*parts, content[end:])


def _holes(
    type_: str, tokens: Sequence[int]
) -> tuple[tuple[tuple[str, int], ...], tuple[int, ...]]:
    """Which token keys are reference keys of placeholder ids, and the others."""
    known = _own_keys(type_)
    holes = tuple(known[key] for key in tokens if key in known)
    return holes, tuple(key for key in tokens if key not in known)


@cache
def _own_keys(type_: str) -> dict[int, tuple[str, int]]:
    return {
        _reference(type_, code, slot, placeholder(slot)): (code, slot)
        for code in parameters(type_)
        for slot in range(len(SLOTS))
    }


_SLOT_OF: Final = {placeholder(slot): slot for slot in range(len(SLOTS))}


def _all_links(rows: IndexRows, stored: Json) -> set[tuple[str, str, int, bool, bool]]:
    found = {
        (ref.type, ref.id, 0, ref.climbs, ref.author)
        for ref in links.literal_references(stored)
        if ref.kind == "local"
    }
    return found | {(t, i, key, False, False) for key, t, i in rows.references}


def _inner(rows: IndexRows, stored: Json, own: str) -> list[tuple[int, int, bool, bool]]:
    return sorted(
        (_SLOT_OF[id_], key, climbs, author)
        for _, id_, key, climbs, author in _all_links(rows, stored)
        if id_ in _SLOT_OF and id_ != own
    )


def _outward(rows: IndexRows, stored: Json) -> list[tuple[str, str, int, bool, bool]]:
    return sorted(each for each in _all_links(rows, stored) if each[1] not in _SLOT_OF)


def rows_of(found: IndexRows) -> dict[str, list[tuple[Any, ...]]]:
    """The value rows of a resource by index table, key first and item last; tokens are apart."""
    rows: dict[str, list[tuple[Any, ...]]] = {
        name: [] for name in ("index_date", "index_string", "index_number")
    }
    for item, each in enumerate((found, *found.items)):
        rows["index_date"] += [(*row, item) for row in each.dates]
        rows["index_string"] += [(*row, item) for row in each.strings]
        rows["index_number"] += [(*row, item) for row in each.numbers]
    return rows

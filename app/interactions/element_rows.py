"""A resource as search rows, with those of its labelled elements apart.

The rows of each layer (`app.consent.redaction.layers`) that no layer before it has belong to the elements that
the layer shows: they are filed with its mask, and match for those alone who may see a resource so labelled. A
row that also follows from what everybody sees is everybody's. Neighbours: `app.fhir_mappings.index_rows`,
`app.storage.writes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from app.consent.redaction import INLINE_LABEL, layers
from app.fhir_mappings import index_rows, links, search_keys, text_rows
from app.fhir_mappings.index_rows import IndexRows
from app.fhir_mappings.json_text import JsonObject

_MARK = INLINE_LABEL.encode()


@dataclass(frozen=True, slots=True)
class ElementRows:
    """What comes from elements with labels of their own.

    mask: those labels. words: all that is said where they are seen, None for nothing new.
    """

    mask: int
    rows: IndexRows
    words: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Searched:
    """The search rows of a resource. open: what everybody sees who sees the resource. words: of that alone."""

    open: IndexRows
    words: tuple[str, str] | None
    elements: list[ElementRows] = field(default_factory=list)

    def layers(self) -> Iterator[tuple[int, IndexRows]]:
        """(mask, rows) of what everybody sees, mask 0, and of the labelled elements."""
        yield 0, self.open
        for each in self.elements:
            yield each.mask, each.rows


def has_layers(resource_type: str, content: bytes) -> bool:
    """Whether anything of a resource may be seen by fewer than the resource. content: as it is stored."""
    return resource_type == "Consent" or _MARK in content


def layered_links(
    resource: JsonObject, base_urls: tuple[str, ...]
) -> list[tuple[links.LinkRef, int]]:
    """The literal references of every layer, the least one first, each with the layer's mask."""
    return [
        (ref, mask)
        for mask, layer in layers(resource)
        for ref in links.literal_references(layer, base_urls)
    ]


def searched(resource: JsonObject, content: bytes, base_urls: tuple[str, ...]) -> Searched:
    """All search rows of a resource, the one of its type included."""
    type_key = search_keys.parameter_key(resource["resourceType"], "")
    if not has_layers(resource["resourceType"], content):
        rows = index_rows.extract(resource, base_urls)
        rows.tokens.append(type_key)
        return Searched(rows, text_rows.words(resource))
    found = [
        (mask, index_rows.extract(layer, base_urls), text_rows.words(layer))
        for mask, layer in layers(resource)
    ]
    _, least, words = found[0]
    least.tokens.append(type_key)
    known = _Known()
    known.beyond(least)
    elements = [
        ElementRows(mask, known.beyond(rows), said if known.says(said) else None)
        for mask, rows, said in found[1:]
    ]
    return Searched(least, words, [e for e in elements if e.words or not _empty(e.rows)])


def _empty(rows: IndexRows) -> bool:
    return not (
        rows.tokens or rows.references or rows.dates or rows.strings or rows.numbers or rows.items
    )


class _Known:
    """The rows that layers so far have."""

    def __init__(self) -> None:
        self._tokens: set[int] = set()
        self._others: set[object] = set()
        self._items: list[IndexRows] = []
        self._words: set[tuple[str, str] | None] = {None}

    def beyond(self, rows: IndexRows) -> IndexRows:
        """Those that none of them has; from now on they are known."""
        new = IndexRows(
            tokens=[each for each in rows.tokens if each not in self._tokens],
            references=[each for each in rows.references if ("r", each) not in self._others],
            dates=[each for each in rows.dates if ("d", each) not in self._others],
            strings=[each for each in rows.strings if ("s", each) not in self._others],
            numbers=[each for each in rows.numbers if ("n", each) not in self._others],
            items=[each for each in rows.items if each not in self._items],
        )
        self._tokens.update(new.tokens)
        for kind, values in (
            ("r", new.references),
            ("d", new.dates),
            ("s", new.strings),
            ("n", new.numbers),
        ):
            self._others.update((kind, each) for each in values)
        self._items += new.items
        return new

    def says(self, words: tuple[str, str] | None) -> bool:
        """Whether these words are new."""
        new = words not in self._words
        self._words.add(words)
        return new

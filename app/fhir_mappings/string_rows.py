"""Text as the string search compares it: without case, accents and repeated white space.

Rows and queries are normalized by the same function. A row keeps at most `MAX_TEXT` characters,
because it stands in a B-tree; so `:contains` looks into the first `MAX_TEXT` characters only.

Pinned: hl7.org/fhir/R4/search.html#string.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from app.fhir_mappings.hashing import hash64

MAX_TEXT: Final = 200

_HUMAN_NAME: Final = ("text", "family", "given", "prefix", "suffix")
_ADDRESS: Final = ("text", "line", "city", "district", "state", "postalCode", "country")


def normalize(text: str) -> str:
    """Casefolded, compatibility forms and accents removed, white space collapsed; not cut."""
    if text.isascii():
        return " ".join(text.lower().split())
    # Twice: folding case can bring new composed characters, and decomposing new capitals.
    folded = unicodedata.normalize("NFKD", text).casefold()
    folded = unicodedata.normalize("NFKD", folded).casefold()
    plain = "".join(each for each in folded if not unicodedata.combining(each))
    return " ".join(plain.split())


def searchable(text: str) -> str:
    """`normalize`, cut as the rows are."""
    return normalize(text)[:MAX_TEXT]


def exact(text: str) -> str:
    """The text for `:exact`: itself, or where it is long its beginning and a hash of the whole."""
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]}\x1f{hash64('exact', text) & 0xFFFFFFFFFFFFFFFF:016x}"


def _plain(value: Any) -> Iterator[str]:
    yield value


def _parts(*names: str) -> Callable[[Any], Iterator[str]]:
    def parts(value: Any) -> Iterator[str]:
        for name in names:
            part = value.get(name)
            if type(part) is str:
                yield part
            elif part is not None:
                yield from (each for each in part if each is not None)

    return parts


TEXTS_OF: Final[Mapping[str, Callable[[Any], Iterator[str]]]] = MappingProxyType(
    {
        "string": _plain,
        "markdown": _plain,
        "HumanName": _parts(*_HUMAN_NAME),
        "Address": _parts(*_ADDRESS),
    }
)
"""FHIR type to the texts of a value that a string parameter searches."""

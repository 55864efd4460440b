"""The words of a resource for `_text` (its narrative) and `_content` (all of its text).

Words are normalized like strings (`app.fhir_mappings.string_rows`), without case and accents. Of a
resource's text count strings, codes and their displays; not addresses, ids, references and base64.

Pinned: hl7.org/fhir/R4/search.html#content, #text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any, Final

from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.string_rows import normalize

MAX_CHARACTERS: Final = 100_000
"""Of a text, what is searched at most."""

_TAG: Final = re.compile(r"<!--.*?-->|<[^>]*>", re.DOTALL)
_SILENT: Final = frozenset(
    {
        "resourceType",
        "id",
        "meta",
        "url",
        "system",
        "reference",
        "data",
        "fullUrl",
        "contentType",
        "div",
        "implicitRules",
        "versionId",
    }
)


def words(resource: JsonObject) -> tuple[str, str] | None:
    """Narrative and content, normalized; None where there is no word at all."""
    div = resource.get("text", {}).get("div", "")
    narrative = normalize(html.unescape(_TAG.sub(" ", div)))[:MAX_CHARACTERS]
    found = [narrative] if narrative else []
    size = len(narrative)
    for text in _texts(resource):
        found.append(text)
        size += len(text) + 1
        if size > MAX_CHARACTERS:
            break
    content = normalize(" ".join(found))[:MAX_CHARACTERS]
    return (narrative, content) if content else None


def _texts(value: Any) -> Iterator[str]:
    stack: list[Any] = [value]
    while stack:
        each = stack.pop()
        if type(each) is dict:
            stack.extend(held for name, held in each.items() if name not in _SILENT)
        elif type(each) is list:
            stack.extend(each)
        elif type(each) is str:
            yield each

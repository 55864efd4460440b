"""Texts of a Questionnaire in another language, by R4's translation extension.

Codes, linkIds and weights are the same in every language, so that scores are; only what is read differs.
Pinned: hl7.org/fhir/R4/extension-translation.html, hl7.org/fhir/R4/languages.html. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_TRANSLATION: Final = "http://hl7.org/fhir/StructureDefinition/translation"


def languages(accept: str | None) -> list[str]:
    """The languages of an Accept-Language header, most wanted first; `*` and malformed parts left out."""
    wanted: list[tuple[float, int, str]] = []
    for position, part in enumerate((accept or "").split(",")):
        tag, _, quality = part.strip().partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=")) if quality else 1.0
        except ValueError:
            continue
        if tag.strip() and tag.strip() != "*" and weight > 0:
            wanted.append((-weight, position, tag.strip()))
    return [tag for _, _, tag in sorted(wanted)]


def translated(holder: Mapping[str, Any], name: str, wanted: Sequence[str]) -> str | None:
    """`holder[name]` in the first wanted language that it has; as it stands where it has none."""
    text = holder.get(name)
    offered = _offered(holder.get(f"_{name}"))
    for language in wanted:
        for tag, content in offered:
            if _suits(tag, language):
                return content
    return text if isinstance(text, str) else None


def language_of(questionnaire: Mapping[str, Any], wanted: Sequence[str]) -> str | None:
    """The language in which a Questionnaire will speak: the first wanted one that its items have."""
    own = questionnaire.get("language")
    tags = [tag for item in _every(questionnaire) for tag, _ in _offered(item.get("_text"))]
    for language in wanted:
        if isinstance(own, str) and _suits(own, language):
            return own
        found = next((tag for tag in tags if _suits(tag, language)), None)
        if found is not None:
            return found
    return own if isinstance(own, str) else None


def _every(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for item in holder.get("item", ()) for each in (item, *_every(item))]


def _offered(element: Any) -> list[tuple[str, str]]:
    found = []
    for each in (element or {}).get("extension", ()):
        if each.get("url") == _TRANSLATION:
            parts = {part.get("url"): part for part in each.get("extension", ())}
            tag = parts.get("lang", {}).get("valueCode")
            content = parts.get("content", {})
            text = content.get("valueString", content.get("valueMarkdown"))
            if isinstance(tag, str) and isinstance(text, str):
                found.append((tag, text))
    return found


def _suits(tag: str, wanted: str) -> bool:
    return (
        tag.lower() == wanted.lower() or tag.lower().split("-")[0] == wanted.lower().split("-")[0]
    )

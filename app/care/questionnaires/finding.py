"""The Questionnaire that a response answers, and the value sets of its choices, as a caller sees them.

A canonical is a literal reference, a contained resource, or the url of one that is stored here; one that is
not known here (or hidden) leaves the response as it is, unjudged.
Pinned: hl7.org/fhir/R4/questionnaireresponse.html, hl7.org/fhir/R4/references.html#canonical.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.care.questionnaires.validity import value_set_codes
from app.fhir_mappings import json_text, registry
from app.fhir_mappings.reference_value import ReferenceKind, parse_reference
from app.fhir_mappings.search_query import parse
from app.storage import resources, search_sql
from app.storage.database import Caller, Reader

Json = dict[str, Any]


async def questionnaire_of(
    reader: Reader,
    caller: Caller,
    response: Mapping[str, Any],
    bases: tuple[str, ...],
    beside: Sequence[Json] = (),
) -> Json | None:
    """The Questionnaire of a response; beside: resources of the same transaction, which count first."""
    canonical = response.get("questionnaire")
    if not isinstance(canonical, str):
        return None
    for contained in response.get("contained", ()):
        if canonical == f"#{contained.get('id')}":
            return dict(contained)
    address, _, version = canonical.partition("|")
    for each in beside:
        own = f"Questionnaire/{each.get('id')}"
        if each["resourceType"] == "Questionnaire" and address in (own, each.get("url")):
            return each
    target = parse_reference(address, bases)
    if target.kind is ReferenceKind.LOCAL and target.type == "Questionnaire" and target.id:
        code = registry.type_code("Questionnaire")
        found = await resources.read_many(reader, caller, [(code, target.id)])
        return _parsed(found[0].content) if found else None
    return await by_url(reader, caller, "Questionnaire", address, version or None)


async def by_url(
    reader: Reader, caller: Caller, type_: str, url: str, version: str | None = None
) -> Json | None:
    """The newest definition of this canonical url that the caller sees, of this version where one is named."""
    query = parse(type_, [("url", url)], strict=True, base_urls=(), max_count=20, default_count=20)
    for found in await search_sql.page(reader, caller, query):
        resource = _parsed(found.content)
        if version is None or resource.get("version") == version:
            return resource
    return None


async def value_sets(
    reader: Reader, caller: Caller, questionnaire: Mapping[str, Any]
) -> dict[str, Collection[tuple[str, str]]]:
    """The codes of every answerValueSet that is stored here and lists its concepts."""
    urls = dict.fromkeys(_urls(questionnaire))
    found: dict[str, Collection[tuple[str, str]]] = {}
    for url in urls:
        address, _, version = url.partition("|")
        value_set = await by_url(reader, caller, "ValueSet", address, version or None)
        codes = None if value_set is None else value_set_codes(value_set)
        if codes is not None:
            found[url] = codes
    return found


def _urls(holder: Mapping[str, Any]) -> list[str]:
    urls = []
    for item in holder.get("item", ()):
        url = item.get("answerValueSet")
        if isinstance(url, str) and not url.startswith("#"):
            urls.append(url)
        urls += _urls(item)
    return urls


def _parsed(content: bytes) -> Json:
    return json_text.parse(content, max_depth=json_text.MAX_DEPTH_LIMIT)

"""What the operations on questionnaires read and write, as their caller (`app.routers.questionnaires`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from app.care.questionnaires import expressions, extract, outcomes, populate
from app.care.questionnaires.finding import questionnaire_of
from app.errors import IssueCode, fhir_error, not_found
from app.fhir_mappings import json_text, registry
from app.fhir_mappings.search_query import parse
from app.interactions import writing
from app.interactions.own_writing import writer_of
from app.storage import person, receivers, resources, search_sql
from app.storage.database import Caller, Database
from app.storage.search_sql import Found

Json = dict[str, Any]

MOST_SCORES: Final = 1000
"""The newest scores that `$outcomes` looks at."""

MOST_FOUND: Final = 100
"""The resources that one query of a population brings."""

_NO_CONTEXTS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(slots=True)
class Made:
    """An answer, and the rids of what was read or written for it."""

    resource: Json
    rids: list[int] = field(default_factory=list)


async def _read(database: Database, caller: Caller, type_: str, id_: str) -> tuple[int, Json]:
    found = await resources.read_many(database, caller, [(registry.type_code(type_), id_)])
    if not found:
        raise not_found()
    return found[0].rid, _parsed(found[0].content)


def _parsed(content: bytes) -> Json:
    return json_text.parse(content, max_depth=json_text.MAX_DEPTH_LIMIT)


async def search(
    database: Database,
    caller: Caller,
    type_: str,
    parameters: Sequence[tuple[str, str]],
    count: int = MOST_SCORES,
) -> list[Found]:
    """At most `count` matches of a search, as the caller."""
    query = parse(
        type_, parameters, strict=True, base_urls=(), max_count=count, default_count=count
    )
    return (await search_sql.page(database, caller, query, 0))[:count]


async def organization_of(database: Database, caller: Caller) -> str | None:
    """The caller's organization as "Organization/id"; None for a survivor's own app."""
    if caller.organization is None:
        return None
    return await receivers.reference_of(database, caller, caller.organization)


async def extract_response(
    database: Database, caller: Caller, id_: str, rules: writing.WriteRules, *, store: bool
) -> Made:
    """The extraction of a response: a transaction Bundle, or where `store` what was written of it.

    404 for a response that is missing or hidden, 422 where its Questionnaire is not known here. Storing
    again replaces what an earlier extraction of the same response wrote.
    """
    rid, response = await _read(database, caller, "QuestionnaireResponse", id_)
    questionnaire = await questionnaire_of(database, caller, response, rules.base_urls)
    if questionnaire is None:
        raise fhir_error(
            IssueCode.BUSINESS_RULE,
            "The Questionnaire of this response is not known here: store it first.",
            "QuestionnaireResponse.questionnaire",
        )
    now = datetime.now(UTC)
    place = f"QuestionnaireResponse/{id_}"
    organization = await organization_of(database, caller)
    made = extract.extraction(questionnaire, response, place, organization, now)
    if not store:
        entries = [_entry(url, resource) for url, resource in made]
        return Made(_bundle("transaction", entries), [rid])
    earlier = await _earlier(database, writer_of(caller), place)
    operations = [_operation(url, resource, earlier) for url, resource in made]
    if not operations:
        return Made(_bundle("transaction-response", []), [rid])
    written = await writing.write(database, caller, operations, rules)
    entries = [
        {
            "resource": _parsed(each.content),
            "response": {
                "status": str(each.status),
                "location": f"{each.type}/{each.id}/_history/{each.version}",
            },
        }
        for each in written
    ]
    rids = [rid, *(r for each in written for r in each.rids)]
    return Made(_bundle("transaction-response", entries), rids)


def _bundle(type_: str, entries: list[Json]) -> Json:
    made: Json = {"resourceType": "Bundle", "type": type_}
    return made | ({"entry": entries} if entries else {})


def _entry(url: str, resource: Json) -> Json:
    type_ = resource["resourceType"]
    return {"fullUrl": url, "resource": resource, "request": {"method": "POST", "url": type_}}


async def _earlier(database: Database, caller: Caller, place: str) -> dict[str, str]:
    """What an earlier extraction by the same organization wrote: code to the Observation's id."""
    found = await search(database, caller, "Observation", [("derived-from", place)])
    own = await receivers.own(database, caller, [each.rid for each in found])
    mine = [_parsed(each.content) for each in found if each.rid in own]
    return {str(_codes(resource)): resource["id"] for resource in mine}


def _codes(resource: Mapping[str, Any]) -> list[tuple[str, str]]:
    codings = resource["code"].get("coding", ())
    value = "choice" if "valueCodeableConcept" in resource else "amount"
    return [(c.get("system", ""), c.get("code", "")) for c in codings] + [("", value)]


def _operation(url: str, resource: Json, earlier: Mapping[str, str]) -> writing.Operation:
    type_ = resource["resourceType"]
    known = earlier.get(str(_codes(resource))) if type_ == "Observation" else None
    content = resource | ({"id": known} if known else {})
    return writing.Operation(type_, known, content, full_url=url)


async def populate_questionnaire(
    database: Database,
    caller: Caller,
    id_: str,
    subject: str,
    wanted: Sequence[str],
    may_read: Callable[[str], bool],
    contexts: Mapping[str, str] = _NO_CONTEXTS,
) -> Made:
    """A response in progress for a subject ("Patient/id"); 404 where either is missing or hidden.

    contexts: further launch contexts, name to "Type/id"; 422 for one that is missing or hidden.
    """
    rid, questionnaire = await _read(database, caller, "Questionnaire", id_)
    type_, _, patient = subject.partition("/")
    if type_ != "Patient" or not patient:
        raise fhir_error(
            IssueCode.INVALID, "Name the subject as a reference to a Patient.", "subject"
        )
    subject_rid, record = await _read(database, caller, "Patient", patient)
    now = datetime.now(UTC)
    known: dict[str, Json] = {}
    rids = [rid, subject_rid]
    for link in populate.links(questionnaire, now) if may_read("Observation") else ():
        codes = ",".join(f"{system}|{code}" for system, code in link.codes)
        parameters = [
            ("subject", subject),
            ("code", codes),
            ("status", "final,amended,corrected"),
            ("date", f"ge{json_text.instant(link.since)}"),
            ("_sort", "-date"),
        ]
        for found in await search(database, caller, "Observation", parameters, 1):
            known[link.link_id] = _parsed(found.content)
            rids.append(found.rid)
    url, version = questionnaire.get("url"), questionnaire.get("version")
    canonical = f"{url}|{version}" if url and version else url or f"Questionnaire/{id_}"
    given: dict[str, Json] = {}
    for name, place in contexts.items():
        rid, given[name] = await _context(database, caller, place, may_read)
        rids.append(rid)
    given["patient"] = record

    async def searched(type_: str, parameters: Sequence[tuple[str, str]]) -> list[Json]:
        if not may_read(type_):
            return []
        found = await search(database, caller, type_, parameters, MOST_FOUND)
        rids.extend(each.rid for each in found)
        return [_parsed(each.content) for each in found]

    names = expressions.launched(questionnaire, given)
    begin = populate.Known(known, names, expressions.Evaluator(searched, now))
    made = await populate.populated(questionnaire, str(canonical), subject, begin, wanted, now)
    return Made(made, rids)


async def _context(
    database: Database, caller: Caller, place: str, may_read: Callable[[str], bool]
) -> tuple[int, Json]:
    type_, _, id_ = place.partition("/")
    if registry.is_resource_type(type_) and id_ and may_read(type_):
        found = await resources.read_many(database, caller, [(registry.type_code(type_), id_)])
        if found:
            return found[0].rid, _parsed(found[0].content)
    raise fhir_error(
        IssueCode.BUSINESS_RULE,
        "The reference points at nothing known here; correct it, or create its target first.",
        "context.content",
    )


async def patient_outcomes(
    database: Database, caller: Caller, id_: str, parameters: Sequence[tuple[str, str]]
) -> Made:
    """The score series of a survivor, over the linked record; 404 as ever.

    parameters: `date` as of a search, to narrow them.
    """
    rid, _ = await _read(database, caller, "Patient", id_)
    codes = ",".join(f"{system}|{code}" for system, code in outcomes.CODES)
    same = [id_, *await person.others(database, caller, rid)]
    subjects = ",".join(f"Patient/{each}" for each in same)
    asked = [("subject", subjects), ("code", codes), ("_sort", "-date"), *parameters]
    found = await search(database, caller, "Observation", asked)
    made = outcomes.outcomes([_parsed(each.content) for each in found])
    return Made(made, [rid, *(each.rid for each in found)])

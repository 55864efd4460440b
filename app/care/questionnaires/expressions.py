"""SDC's expressions of a Questionnaire, evaluated: what is known before anybody answers.

`launchContext` names what it starts from, `variable` what is computed or searched for (`text/fhirpath`, or
`application/x-fhir-query` with `{{…}}`), `itemPopulationContext` a group's own start, `initialExpression` a
question's answer. A query searches as the caller: what the caller may not see is not there. An expression that
cannot be evaluated exactly (CQL, an unknown name or function, a query that is no search of a type) is 422 with
its place. Pinned: hl7.org/fhir/uv/sdc/STU3/populate.html#expression-based-population.
Neighbours: `populate` fills a response in, `operations` searches.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from app.care.questionnaires.items import extension
from app.errors import FhirError, Issue, IssueCode, fhir_error
from app.fhir_mappings import registry
from app.fhir_mappings.fhirpath.compiler import compile_fhirpath
from app.fhir_mappings.fhirpath.environment import Environment
from app.fhir_mappings.fhirpath.functions import FUNCTIONS
from app.fhir_mappings.fhirpath.items import Collection, Item, Undecided
from app.fhir_mappings.fhirpath.syntax import FhirPathError

Json = dict[str, Any]
Names: TypeAlias = Mapping[str, Collection]
"""Variables by name, without `%`."""

Search: TypeAlias = Callable[[str, Sequence[tuple[str, str]]], Awaitable[list[Json]]]
"""The resources of a search as the caller sees them."""

MOST_QUERIES: Final = 20
"""Queries that one population may run."""

LAUNCH: Final = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-launchContext"
INITIAL: Final = (
    "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-initialExpression"
)
CONTEXT: Final = (
    "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-itemPopulationContext"
)
VARIABLE: Final = "http://hl7.org/fhir/StructureDefinition/variable"

_QUERY: Final = "application/x-fhir-query"
_HOLE: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_MARK: Final = "\N{OBJECT REPLACEMENT CHARACTER}"
_SHAPING: Final = (
    "_include",
    "_revinclude",
    "_summary",
    "_elements",
    "_format",
    "_pretty",
    "_total",
)


def launched(questionnaire: Mapping[str, Any], given: Mapping[str, Json]) -> dict[str, Collection]:
    """The variables that a population begins with; given: resources by name, `patient` among them.

    A declared name for which nothing is given is empty. FhirError 422 for a resource of an undeclared type.
    """
    names = {name: [_item(resource)] for name, resource in given.items()}
    for number, each in enumerate(questionnaire.get("extension", ())):
        if each.get("url") != LAUNCH:
            continue
        name, types = _declared(each)
        where = f"Questionnaire.extension[{number}]"
        if not name:
            raise _refused("A launchContext needs a name.", where)
        if name in given and types and given[name]["resourceType"] not in types:
            raise _refused(f"The context {name} is to be {' or '.join(types)}.", where)
        names.setdefault(name, [])
    return names


def _declared(launch: Mapping[str, Any]) -> tuple[str, list[str]]:
    parts = launch.get("extension", ())
    named = (
        p.get("valueCoding", {}).get("code") or p.get("valueId")
        for p in parts
        if p["url"] == "name"
    )
    return next(filter(None, named), ""), [p["valueCode"] for p in parts if p["url"] == "type"]


class Evaluator:
    """Evaluates the expressions of one population."""

    def __init__(self, search: Search, now: datetime) -> None:
        self._search = search
        self._now = now
        self._queries = 0

    async def variables(self, holder: Mapping[str, Any], names: Names, where: str) -> Names:
        """The names known within a holder: those around it, and its own in their order."""
        known = dict(names)
        for number, each in enumerate(holder.get("extension", ())):
            expression = each.get("valueExpression", {})
            if each.get("url") != VARIABLE or not expression.get("name"):
                continue
            place = f"{where}.extension[{number}].value"
            known[expression["name"]] = await self.value(expression, known, place)
        return known

    async def initial(self, item: Mapping[str, Any], names: Names, where: str) -> Collection | None:
        """What a question's initialExpression gives; None for a question without one."""
        expression = extension(item, INITIAL)
        return None if expression is None else await self.value(expression, names, where)

    async def contexts(
        self, item: Mapping[str, Any], names: Names, where: str
    ) -> list[Names] | None:
        """The names of each repetition of a group that has an itemPopulationContext; None without one."""
        expression = extension(item, CONTEXT)
        if expression is None:
            return None
        found = await self.value(expression, names, where)
        each = [one for item_ in found for one in _entries(item_)]
        name = expression.get("name")
        if not item.get("repeats"):
            return [{**names, **({name: each} if name else {})}]
        return [{**names, **({name: [one]} if name else {})} for one in each]

    async def value(self, expression: Mapping[str, Any], names: Names, where: str) -> Collection:
        """The result of an Expression; FhirError 422 where it cannot be evaluated here."""
        text = expression.get("expression")
        match expression.get("language"):
            case "text/fhirpath" if isinstance(text, str):
                return self._path(text, names, where)
            case "application/x-fhir-query" if isinstance(text, str):
                return [_item(await self._bundle(text, names, where))]
            case _:
                raise _refused(
                    f"Expressions are evaluated in text/fhirpath and {_QUERY} only.", where
                )

    def _path(self, text: str, names: Names, where: str) -> Collection:
        focus = Item({"resourceType": "QuestionnaireResponse"}, "QuestionnaireResponse")
        environment = Environment(focus, focus, focus, variables=names, now=self._now)
        try:
            return compile_fhirpath(text, frozenset(names)).values(environment)
        except Undecided:
            return []
        except FhirPathError as error:
            raise _refused(f"The expression cannot be evaluated here: {error}.", where) from error

    async def _bundle(self, text: str, names: Names, where: str) -> Json:
        """The searchset of a query; an empty one where a `{{…}}` in it is empty, so that none grows wider."""
        self._queries += 1
        if self._queries > MOST_QUERIES:
            raise _refused(f"A population runs at most {MOST_QUERIES} queries.", where)
        # Taken out before the query is read: what stands in `{{…}}` is no part of a URL.
        holes = _HOLE.findall(text)
        type_, _, query = _HOLE.sub(_MARK, text.replace(_MARK, "")).partition("?")
        if not registry.is_resource_type(type_) or not query:
            raise _refused("Write a query as the search of a type, as Observation?code=….", where)
        parameters = []
        for name, template in parse_qsl(query, keep_blank_values=True):
            if name in _SHAPING or _MARK in name:
                raise _refused("This parameter is not for a population.", where)
            filled = self._filled(template, holes, names, where)
            if filled is None:
                return _searchset(())
            parameters.append((name, filled))
        try:
            found = await self._search(type_, parameters)
        except FhirError as error:
            issues = [Issue(each.code, each.diagnostics, (where,)) for each in error.issues]
            raise FhirError(issues, status=422) from error
        return _searchset(found)

    def _filled(self, template: str, holes: list[str], names: Names, where: str) -> str | None:
        """A value with its holes filled, taken from `holes` in their order; None where one is empty."""
        first, *others = template.split(_MARK)
        filled = first
        for rest in others:
            values = self._path(holes.pop(0), names, where)
            texts = [t for each in values if (t := _text(each)) is not None]
            if not texts:
                return None
            filled += ",".join(map(_escaped, texts)) + rest
        return filled


def _text(item: Item) -> str | None:
    found = FUNCTIONS["toString"][1]([item], _NOWHERE, ())
    return str(found[0].value) if found else None


_EMPTY: Final = Item({}, "Element")
_NOWHERE: Final = Environment(_EMPTY, _EMPTY, _EMPTY)


def _escaped(text: str) -> str:
    """A value of a search parameter: what stands in a record adds no alternatives of its own."""
    return re.sub(r"([\\,$|])", r"\\\1", text)


def _item(resource: Json) -> Item:
    return Item(resource, str(resource["resourceType"]))


def _entries(item: Item) -> list[Item]:
    """The resources of a searchset; anything else as it is."""
    if item.type != "Bundle":
        return [item]
    return [_item(entry["resource"]) for entry in item.value.get("entry", ())]


def _searchset(found: Sequence[Json]) -> Json:
    made: Json = {"resourceType": "Bundle", "type": "searchset"}
    return made | ({"entry": [{"resource": each} for each in found]} if found else {})


def _refused(diagnostics: str, where: str) -> FhirError:
    return fhir_error(IssueCode.PROCESSING, diagnostics, where)

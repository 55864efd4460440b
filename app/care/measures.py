"""`Measure/$evaluate-measure`: counts for reports, in which no small number can be read or worked out.

A group's first population is a search (`application/x-fhir-query`); the components of a stratifier are
searches that narrow it. A count of 1 to 10 is withheld, and with it as many others as it takes that sums and
differences do not give it back; where that cannot be had, the whole group is withheld. Counts are of what the
caller may see. Two reports whose periods overlap by little can still be compared: publish fixed periods.
Pinned: hl7.org/fhir/R4/measure-operation-evaluate-measure.html, measurereport.html.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from app.errors import FhirError, IssueCode, fhir_error, not_found
from app.fhir_mappings import json_text, registry
from app.fhir_mappings.search_parameters import parameter
from app.fhir_mappings.search_query import parse
from app.storage import resources, search_sql
from app.storage.database import Caller, Database

Json = dict[str, Any]

SMALL: Final = 10
"""Counts from 1 to this are withheld."""

_DATES: Final = ("date", "authored-on", "authored", "authoredon", "recorded-date", "period")
_MASKED: Final = {
    "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
    "valueCode": "masked",
}


@dataclass(frozen=True, slots=True)
class Report:
    """The MeasureReport, and the rid of the Measure."""

    resource: Json
    rids: list[int]


def withheld(total: int, strata: Sequence[Sequence[int]]) -> list[set[int]] | None:
    """Which cells of each stratifier are withheld; None where the whole group must be.

    strata: for each stratifier the counts of its cells, which part the total between them. What remains
    hidden in a stratifier is at least two cells, whose sum leaves each of them more than ten values.
    """
    if 0 < total <= SMALL:
        return None
    chosen = []
    for cells in strata:
        hidden = {i for i, count in enumerate(cells) if 0 < count <= SMALL}
        rest = sorted((i for i, count in enumerate(cells) if count > SMALL), key=lambda i: cells[i])
        # What belongs to no cell counts as one more, which is never shown.
        known = total - sum(count for i, count in enumerate(cells) if i not in hidden)
        while hidden and (len(hidden) < 2 or known < len(hidden) + SMALL):
            if not rest:
                return None
            hidden.add(rest[0])
            known += cells[rest.pop(0)]
        chosen.append(hidden)
    return chosen


async def evaluate(
    database: Database,
    caller: Caller,
    id_: str,
    period: tuple[str, str],
    base_url: str,
    require: Callable[[str], None],
) -> Report:
    """The report of a Measure for a period (two dates, both included). 404 as ever, 422 for other criteria.

    require: raises where the access token may not search a type.
    """
    start, end = period
    counting = _Counting(database, caller, (f"ge{start}", f"le{end}"), base_url, require)
    found = await resources.read_many(database, caller, [(registry.type_code("Measure"), id_)])
    if not found:
        raise not_found()
    measure = json_text.parse(found[0].content, max_depth=json_text.MAX_DEPTH_LIMIT)
    groups = []
    for number, group in enumerate(measure.get("group", ())):
        where = f"Measure.group[{number}]"
        groups.append(await _group(counting, group, where))
    url, version = measure.get("url"), measure.get("version")
    canonical = f"{url}|{version}" if url and version else str(url or f"Measure/{id_}")
    report: Json = {
        "resourceType": "MeasureReport",
        "status": "complete",
        "type": "summary",
        "measure": canonical,
        "date": json_text.instant(datetime.now(UTC)),
        "period": {"start": start, "end": end},
    }
    return Report(report | ({"group": groups} if groups else {}), [found[0].rid])


@dataclass(frozen=True, slots=True)
class _Counting:
    """Who counts what, and when."""

    database: Database
    caller: Caller
    period: tuple[str, str]
    base_url: str
    require: Callable[[str], None]


async def _group(counting: _Counting, group: Mapping[str, Any], where: str) -> Json:
    populations = group.get("population", ())
    if not populations:
        raise _refused("A group needs a population.", where)
    criteria = populations[0]["criteria"]
    total = await _count(counting, [criteria], f"{where}.population[0]")
    tables = []
    for number, stratifier in enumerate(group.get("stratifier", ())):
        place = f"{where}.stratifier[{number}]"
        tables.append(
            [
                await _count(
                    counting,
                    [criteria, component["criteria"]],
                    f"{place}.component[{position}]",
                )
                for position, component in enumerate(stratifier.get("component", ()))
            ]
        )
    hidden = withheld(total, tables)
    made: Json = {"code": group["code"]} if "code" in group else {}
    population: Json = {"code": populations[0]["code"]} if "code" in populations[0] else {}
    made["population"] = [population | _cell(total, hide=hidden is None)]
    stratifiers = []
    for number, (stratifier, cells) in enumerate(
        zip(group.get("stratifier", ()), tables, strict=True)
    ):
        strata = [
            {
                "value": component["code"],
                "population": [
                    population | _cell(count, hide=hidden is None or position in hidden[number])
                ],
            }
            for position, (component, count) in enumerate(
                zip(stratifier.get("component", ()), cells, strict=True)
            )
        ]
        code = {"code": [stratifier["code"]]} if "code" in stratifier else {}
        stratifiers.append(code | {"stratum": strata})
    return made | ({"stratifier": stratifiers} if stratifiers else {})


def _cell(count: int, *, hide: bool) -> Json:
    return {"_count": {"extension": [_MASKED]}} if hide else {"count": count}


async def _count(counting: _Counting, criteria: Sequence[Mapping[str, Any]], where: str) -> int:
    parameters: list[tuple[str, str]] = []
    type_ = None
    for each in criteria:
        text = each.get("expression", "")
        name, _, query = text.partition("?")
        if each.get("language") != "application/x-fhir-query" or not registry.is_resource_type(
            name
        ):
            raise _refused(
                "Write the criteria as application/x-fhir-query, as Task?status=…", where
            )
        if type_ not in (None, name):
            raise _refused("A stratifier searches the type of its population.", where)
        type_ = name
        parameters += parse_qsl(query, keep_blank_values=True)
    if type_ is None:
        raise _refused("A population needs its criteria.", where)
    counting.require(type_)
    date = next((name for name in _DATES if parameter(type_, name) is not None), "_lastUpdated")
    parameters += [(date, bound) for bound in counting.period]
    query_ = parse(
        type_,
        [*parameters, ("_summary", "count")],
        strict=True,
        base_urls=(counting.base_url,),
        max_count=1,
        default_count=1,
    )
    return int(await search_sql.count(counting.database, counting.caller, query_))


def _refused(diagnostics: str, where: str) -> FhirError:
    return fhir_error(IssueCode.PROCESSING, diagnostics, where)

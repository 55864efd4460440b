"""`:in`, `:not-in`, `:above` and `:below` on tokens: terminology is looked up, then asked as plain tokens.

ValueSets and CodeSystems are read as the caller sees them. At most a statement for each round of value
sets that include others, and one for code systems; none where a search names no terminology.

Pinned: hl7.org/fhir/R4/search.html#token (modifiers).
Neighbour: `app.fhir_mappings.terminology.expansion` (pure).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings import structure
from app.fhir_mappings.json_text import parse
from app.fhir_mappings.search_clauses import Clause, TerminologyClause, TokenClause, rewritten
from app.fhir_mappings.search_keys import token_key, token_system_key, uri_key
from app.fhir_mappings.terminology import expansion
from app.fhir_mappings.terminology.code_system import CodeSystem
from app.fhir_mappings.terminology.expansion import CannotExpand, Expansion
from app.fhir_mappings.terminology.shipped import shipped_code_systems
from app.storage import search_sql
from app.storage.database import Caller, Reader

_ROUNDS: Final = 10
_DEPTH: Final = 200


class _Store:
    """Value sets and code systems by canonical, as far as they were looked up."""

    def __init__(self, reader: Reader, caller: Caller) -> None:
        self._reader = reader
        self._caller = caller
        self._found: dict[tuple[str, str], Any] = {}

    async def look_up(self, type_: str, urls: Iterable[str]) -> list[str]:
        """Read what is not known yet; the canonicals that were new."""
        new = sorted({each for each in urls if (type_, each) not in self._found})
        if not new:
            return []
        keys = {uri_key(type_, "url", each.partition("|")[0]): each for each in new}
        ids = {
            each.rpartition("/")[2]: each
            for each in new
            if each == f"{type_}/{each[len(type_) + 1 :]}"
        }
        self._found.update({(type_, each): None for each in new})
        rows = await search_sql.canonical(self._reader, self._caller, type_, list(keys), list(ids))
        for id_, content in rows:
            resource = parse(content, max_depth=_DEPTH)
            for each in new:
                url, _, version = each.partition("|")
                if ids.get(id_) == each or (
                    resource.get("url") == url and version in ("", resource.get("version"))
                ):
                    self._found[type_, each] = resource
        return new

    def value_set(self, url: str) -> Any:
        """A stored ValueSet, or one that R4 itself binds."""
        found = self._found.get(("ValueSet", url))
        return found if found is not None else _of_r4(url)

    def code_system(self, url: str) -> Any:
        """A stored CodeSystem."""
        return self._found.get(("CodeSystem", url))


def _of_r4(url: str) -> Any:
    try:
        codes = structure.value_set(url.partition("|")[0])
    except KeyError:
        return None
    if codes is None:
        return None
    return {
        "compose": {
            "include": [
                {"system": system, "concept": [{"code": code} for code in members]}
                for system, members in codes.items()
            ]
        }
    }


async def expanded(reader: Reader, caller: Caller, clauses: Sequence[Clause]) -> tuple[Clause, ...]:
    """The clauses with terminology in place; FhirError 400 where it is unknown or cannot be computed."""
    asked: list[TerminologyClause] = []

    def note(clause: Clause) -> Clause:
        if isinstance(clause, TerminologyClause):
            asked.append(clause)
        return clause

    for each in clauses:
        rewritten(each, note)
    if not asked:
        return tuple(clauses)
    store = _Store(reader, caller)
    await _look_up(store, asked)

    def put(clause: Clause) -> Clause:
        return _tokens(clause, store) if isinstance(clause, TerminologyClause) else clause

    return tuple(rewritten(each, put) for each in clauses)


async def _look_up(store: _Store, asked: Sequence[TerminologyClause]) -> None:
    sets = {each.value for each in asked if each.modifier in ("in", "not-in")}
    systems = {each.system for each in asked if each.modifier in ("above", "below")}
    for _ in range(_ROUNDS):
        if not await store.look_up("ValueSet", sets):
            break
        for url in tuple(sets):
            resource = store.value_set(url)
            if resource is not None:
                more, of = expansion.needed(resource)
                sets |= more
                systems |= of
    await store.look_up("CodeSystem", systems)


def _tokens(clause: TerminologyClause, store: _Store) -> TokenClause:
    try:
        found = _expansion(clause, store)
    except CannotExpand as error:
        raise _refused(clause, str(error)) from error
    keys = [
        token_key(type_, code, *pair)
        for type_, code in clause.pairs
        for pair in sorted(found.codes)
    ]
    keys += [
        token_system_key(type_, code, system)
        for type_, code in clause.pairs
        for system in sorted(found.systems)
    ]
    return TokenClause(tuple(keys), clause.modifier == "not-in")


def _expansion(clause: TerminologyClause, store: _Store) -> Expansion:
    if clause.modifier in ("above", "below"):
        code_system = store.code_system(clause.system)
        if code_system is not None:
            system = expansion.hierarchy(code_system, clause.system)
        elif clause.system in (of_r4 := _shipped()):
            system = of_r4[clause.system]
        else:
            raise CannotExpand("The code system is not stored here, so its hierarchy is not known.")
        walk = expansion.above if clause.modifier == "above" else expansion.below
        codes = walk(system, clause.value)
        return Expansion({(clause.system, code) for code in codes})
    value_set = store.value_set(clause.value)
    if value_set is None:
        raise CannotExpand("No such value set is stored here: give its URL, or ValueSet/id.")
    return expansion.expand(value_set, store.value_set, store.code_system)


@cache
def _shipped() -> dict[str, CodeSystem]:
    """The code systems of R4 itself, security labels among them."""
    return {each.url: each for each in shipped_code_systems()}


def _refused(clause: TerminologyClause, sentence: str) -> FhirError:
    return fhir_error(IssueCode.NOT_SUPPORTED, sentence, clause.name, status=400)

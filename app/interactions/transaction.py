"""Writes that stand or fall together: a transaction Bundle, or one conditional interaction.

The order is the specification's: deletes, creates, updates and patches, then the conditional references,
which may find what was just written; reads come after and are `app.routers.bundle`'s. No two entries may
write the same resource, so one pass through the pipeline carries out the first three together.
Pinned: hl7.org/fhir/R4/http.html#trules. Neighbours: `bundle_entry`, `conditional`, `writing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.errors import FhirError, Issue, IssueCode, fhir_error, not_found
from app.fhir_mappings import links, registry
from app.interactions import writing
from app.interactions.bundle_entry import Entry
from app.interactions.conditional import Match, lock_criteria, matches, several
from app.interactions.operation import Operation
from app.interactions.write_plan import WriteRules, Written
from app.interactions.write_references import placed
from app.security import scopes
from app.security.scopes import Scopes
from app.storage import resources
from app.storage.database import Caller, TransactionReader, WriteConnection


@dataclass(slots=True)
class _Work:
    """A transaction on its way. known: fullUrl or conditional reference to `Type/id`."""

    connection: WriteConnection
    caller: Caller
    rules: WriteRules
    held: Scopes
    reader: TransactionReader
    known: dict[str, str] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)

    async def find(self, type_: str, criteria: str, where: str, limit: int = 2) -> list[Match]:
        scopes.require(self.held, type_, "s")
        # What this transaction deletes is gone before its criteria are asked.
        # Whether anything matches is an answer: of a search with this token, and no more.
        found = await matches(
            TransactionReader(self.connection, answering=True),
            self.caller,
            type_,
            criteria,
            self.rules.base_urls,
            may_search=lambda name: self.held.allow(name, "s"),
            where=where,
            limit=limit + len(self.deleted),
        )
        return [each for each in found if each.rid not in self.deleted][:limit]


def require_scopes(entries: Sequence[Entry], held: Scopes) -> None:
    """403 where the token's scopes lack what an entry writes, before anything is looked at."""
    letters = {"POST": "c", "PUT": "u", "PATCH": "u", "DELETE": "d"}
    for entry in entries:
        if not entry.reads:
            scopes.require(held, entry.type, letters[entry.method])


async def carry_out(
    connection: WriteConnection,
    caller: Caller,
    entries: Sequence[Entry],
    rules: WriteRules,
    held: Scopes,
    *,
    judged: bool = False,
) -> dict[int, list[Written]]:
    """Write all entries inside an entered transaction; what became of each, by its place.

    judged: the entries' resources have been validated, with the Bundle that holds them.

    An entry that reads has no result; a conditional delete may have several, or none. A conditional create
    that found its resource has status 200 and the version that stands. FhirError as for
    `writing.write`, and: 412 for criteria that more than one resource meets, 422 for a conditional
    reference that finds nothing and for two entries that write the same resource, 404 for a patch of nothing.
    """
    writing.require_writer(caller)
    work = _Work(connection, caller, rules, held, TransactionReader(connection))
    _refuse_same([e.full_url for e in entries if not e.reads], entries)
    if not judged:
        writing.check_valid([(e.resource, e.operation(None)) for e in entries if not _refers(e)])
    await lock_criteria(
        connection, [(e.type, e.criteria) for e in entries if e.criteria is not None]
    )
    done: dict[int, list[Written]] = {}
    chosen: dict[int, list[Operation]] = {}
    for method in ("DELETE", "POST", "PUT", "PATCH"):
        for place, entry in enumerate(entries):
            if entry.method == method:
                chosen[place] = await _choose(work, entry, place, done)
    _refuse_same_resource(chosen, entries)
    later = await _later(work, entries, chosen)
    await _write(work, chosen, set(chosen) - later, done)
    if later:
        await _refer(work, entries, later)
        await _write(work, chosen, later, done)
    await _still_one(work, entries)
    return done


def _refers(entry: Entry) -> bool:
    """Whether its resource holds conditional references: valid only once these are resolved."""
    return entry.resource is not None and bool(links.conditional_references(entry.resource))


async def _choose(
    work: _Work, entry: Entry, place: int, done: dict[int, list[Written]]
) -> list[Operation]:
    """The writes of an entry on the resources that it names or that meet its criteria."""
    where = f"{entry.where}.request" if entry.where else ""
    if entry.criteria is None:
        if entry.method == "DELETE" and entry.id is not None:
            await _mark_deleted(work, entry.type, entry.id)
        return [entry.operation(entry.id)]
    if entry.method == "DELETE":
        limit = work.rules.conditional_delete_limit
        found = await work.find(entry.type, entry.criteria, where, limit + 1)
        if len(found) > limit:
            raise several(where)
        work.deleted.update(each.rid for each in found)
        return [entry.operation(each.id) for each in found]
    found = await work.find(entry.type, entry.criteria, where)
    if len(found) > 1:
        raise several(where)
    if entry.method == "POST":
        return await _create_unless(work, entry, place, found, done)
    if found:
        stated = (entry.resource or {}).get("id", found[0].id)
        if stated != found[0].id:
            raise fhir_error(
                IssueCode.INVALID,
                "The resource has an id, and the criteria find another one: leave the id out.",
                placed(entry.place, f"{entry.type}.id"),
            )
        return [_with_id(entry, found[0].id)]
    if entry.method == "PATCH":
        raise not_found()
    scopes.require(work.held, entry.type, "c")
    return [entry.operation((entry.resource or {}).get("id"))]


def _with_id(entry: Entry, id_: str) -> Operation:
    operation = entry.operation(id_)
    if operation.resource is not None:
        operation.resource = operation.resource | {"id": id_}
    return operation


async def _create_unless(
    work: _Work, entry: Entry, place: int, found: list[Match], done: dict[int, list[Written]]
) -> list[Operation]:
    """Nothing to write where one resource meets ifNoneExist: that is the answer, and what others refer to."""
    if not found:
        return [entry.operation(None)]
    stored = await resources.read(
        work.reader, work.caller, registry.type_code(entry.type), found[0].id
    )
    if stored is None or stored.deleted:
        raise fhir_error(IssueCode.TRANSIENT, "The record is changing; try again in a moment.")
    if entry.full_url:
        work.known[entry.full_url] = f"{entry.type}/{found[0].id}"
    done[place] = [
        Written(
            entry.type,
            found[0].id,
            stored.rid,
            stored.version,
            stored.last_updated,
            200,
            stored.content,
        )
    ]
    return []


async def _mark_deleted(work: _Work, type_: str, id_: str) -> None:
    stored = await resources.read(work.reader, work.caller, registry.type_code(type_), id_)
    if stored is not None:
        work.deleted.add(stored.rid)


def _refuse_same(full_urls: Sequence[str | None], entries: Sequence[Entry]) -> None:
    given = [each for each in full_urls if each is not None]
    if len(set(given)) != len(given):
        twice = next(
            e for n, e in enumerate(entries) if e.full_url in [x.full_url for x in entries[:n]]
        )
        raise _same(twice)


def _refuse_same_resource(chosen: dict[int, list[Operation]], entries: Sequence[Entry]) -> None:
    seen: set[tuple[str, str]] = set()
    for place in sorted(chosen):
        for operation in chosen[place]:
            if operation.id is None:
                continue
            if (operation.type, operation.id) in seen:
                raise _same(entries[place])
            seen.add((operation.type, operation.id))


def _same(entry: Entry) -> FhirError:
    return fhir_error(
        IssueCode.DUPLICATE,
        "Two entries write the same resource; keep one of them.",
        *((entry.where,) if entry.where else ()),
    )


async def _later(
    work: _Work, entries: Sequence[Entry], chosen: dict[int, list[Operation]]
) -> set[int]:
    """Resolve conditional references that find something already; the places that must wait for the rest.

    Whatever refers to an entry that waits has to wait with it.
    """
    waiting: set[int] = set()
    for place in chosen:
        resource = entries[place].resource
        for text, expression in links.conditional_references(resource) if resource else ():
            if text in work.known:
                continue
            found = await _found(work, text, placed(entries[place].place, expression))
            if found is None:
                waiting.add(place)
            else:
                work.known[text] = found
    moved = bool(waiting)
    while moved:
        moved = False
        urls = {entries[p].full_url for p in waiting} - {None}
        for place in set(chosen) - waiting:
            resource = entries[place].resource
            if resource and urls & {r.text for r in links.literal_references(resource)}:
                waiting.add(place)
                moved = True
    return waiting


async def _found(work: _Work, text: str, where: str) -> str | None:
    type_, _, criteria = text.partition("?")
    found = await work.find(type_, criteria, where)
    if len(found) > 1:
        raise several(where)
    return f"{type_}/{found[0].id}" if found else None


async def _refer(work: _Work, entries: Sequence[Entry], places: set[int]) -> None:
    """Resolve the conditional references that could only find what has been written by now."""
    for place in sorted(places):
        resource = entries[place].resource
        for text, expression in links.conditional_references(resource) if resource else ():
            if text in work.known:
                continue
            where = placed(entries[place].place, expression)
            found = await _found(work, text, where)
            if found is None:
                raise FhirError(
                    Issue(
                        IssueCode.BUSINESS_RULE,
                        "The reference points at nothing known here; correct it, or create its "
                        "target first.",
                        (where,),
                    )
                )
            work.known[text] = found


async def _write(
    work: _Work,
    chosen: dict[int, list[Operation]],
    places: set[int],
    done: dict[int, list[Written]],
) -> None:
    wave = [(place, each) for place in sorted(places) for each in chosen[place]]
    for place in places:
        done.setdefault(place, [])
    operations = [each for _, each in wave]
    referring = [o for o in operations if o.resource and links.conditional_references(o.resource)]
    for operation in referring:
        if operation.resource is not None:
            operation.resource = links.replace_references(operation.resource, work.known)
    writing.check_valid([(o.resource, o) for o in referring])
    if not operations:
        return
    written = await writing.write_on(
        work.connection, work.caller, operations, work.rules, work.known
    )
    for (place, operation), each in zip(wave, written, strict=True):
        done[place].append(each)
        if operation.full_url and not operation.deletes:
            work.known[operation.full_url] = f"{each.type}/{each.id}"


async def _still_one(work: _Work, entries: Sequence[Entry]) -> None:
    """412 where the entries together made a second resource that meets the criteria of one of them."""
    if len(entries) == 1:
        return
    for entry in entries:
        if entry.criteria is None or entry.method == "DELETE":
            continue
        where = f"{entry.where}.request" if entry.where else ""
        if len(await work.find(entry.type, entry.criteria, where)) > 1:
            raise several(where)

"""Re-labelling: every stored version is read and labelled again by the present tables, with progress.

Needed after the code table or an agency's program changed, and after labels rose in the database alone, which
then come to stand in `meta.security` too. Labels are only added (a higher confidentiality takes the place of a
lower one): what a table no longer gives cannot be told from what a writer gave. No version is made: R4 lets
security labels change without one.

A resource and its search rows change in one transaction, locked as its writer locks it; what rests on it
follows at once, batch by batch, and no label falls meanwhile. It may run while the service serves, and may be
interrupted and begun again. Superseded versions come last, by the labels that then stand.
Pinned: hl7.org/fhir/R4/security-labels.html, hl7.org/fhir/R4/resource.html#Meta (security). Neighbours:
`app.interactions.write_labels` (the same on write), `app.storage.relabelling`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.consent import labels
from app.consent.labelling import CLIMBING, merged_security, program_of
from app.fhir_mappings import json_text, links, registry, search_keys
from app.fhir_mappings.json_text import JsonObject
from app.interactions.reindex import search_rows
from app.interactions.write_labels import least_labels
from app.storage import relabelling
from app.storage.database import Connection
from app.storage.relabelling import Relabelled, Version

BATCH: Final = 500
"""Versions read at once."""

LOCKED: Final = 200
"""Resources changed in one transaction: each holds a lock in the server's shared table."""

_QUESTIONNAIRE: Final = "Questionnaire"
_ANSWERS: Final = "QuestionnaireResponse"
_PROGRAMS: Final = labels.PART2 | labels.VICTIM
_ORGANIZATION: Final = registry.type_code("Organization")


@dataclass(frozen=True, slots=True)
class Change:
    """One label of one version.

    what: `added`; `removed`, of a confidentiality that gave way to a higher one; `stated`, of a label that
    stood in the database already and now stands in `meta.security` too.
    """

    type: str
    id: str
    version: int
    what: str
    label: str


@dataclass(frozen=True, slots=True)
class Place:
    """How far a walk has come: every version up to here is labelled. phase: an index of `_PHASES`."""

    phase: int = 0
    rid: int = 0
    version: int = 0


Tell = Callable[[Sequence[Change]], None]
"""Told the changes of a transaction once it is committed; or those that a check would make."""

Progress = Callable[[int, Place], None]
"""Told how many further versions are done, and how far the walk has come."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A version with what its labels depend on. resource: None where nothing is left of it."""

    version: Version
    resource: JsonObject | None
    climbing: tuple[tuple[int, str], ...]
    canonical: int | None


@dataclass(slots=True)
class Walk:
    """One walk over the store.

    connection: the keeper's, in no transaction. base_urls: this service's addresses. check: nothing is
    written; what would have been is kept in `gained`, labels by rid.
    """

    connection: Connection
    base_urls: tuple[str, ...]
    tell: Tell
    check: bool
    gained: dict[int, int] = field(default_factory=dict)

    async def run(self, progress: Progress, start: Place) -> None:
        """Walk from a place on; start: the last one that was told, or `Place()`."""
        for phase, pages in enumerate(_PHASES):
            if phase < start.phase:
                continue
            after = start if phase == start.phase else Place(phase)
            async for found in pages(self.connection, after):
                await (self._superseded(found) if found[0].superseded else self._present(found))
                last = found[-1]
                progress(len(found), Place(phase, last.rid, last.version))

    async def _present(self, found: Sequence[Version]) -> None:
        waiting = [each.version.rid for each in await self._changes(found)]
        while waiting:
            chunk, waiting = waiting[:LOCKED], waiting[LOCKED:]
            changed = await self._put(chunk)
            raised = [each for each in changed if each.labels != self._before(each.version)]
            self._told(changed)
            if raised:
                following = await self._resting_on(raised)
                waiting += [rid for rid in following if rid not in set(waiting)]

    async def _superseded(self, found: Sequence[Version]) -> None:
        changed = await self._changes(found)
        for start in range(0, len(changed), LOCKED):
            chunk = changed[start : start + LOCKED]
            if not self.check:
                keys = [(each.version.rid, each.version.version) for each in chunk]
                chunk = await relabelling.relabelled_versions(self.connection, keys, self._changes)
            self._told(chunk)

    async def _put(self, rids: Sequence[int]) -> list[Relabelled]:
        """Label resources in one transaction; those that changed."""
        if self.check:
            return await self._changes(await relabelling.at(self.connection, rids))
        return await relabelling.relabelled(self.connection, rids, self._changes)

    def _told(self, changed: Iterable[Relabelled]) -> None:
        found: list[Change] = []
        for each in changed:
            found += _named(each, self._before(each.version), once=each.version.rid in self.gained)
            if self.check and not each.version.superseded:
                self.gained[each.version.rid] = each.labels
        if found:
            self.tell(found)

    def _before(self, version: Version) -> int:
        return self._now(version.rid, version.labels) if not version.superseded else version.labels

    def _program(self, version: Version) -> int:
        """The program bits of the agency that wrote it; none on what is about nobody."""
        if not version.about_somebody:
            return 0
        return self._now(version.custodian, version.custodian_labels) & _PROGRAMS

    def _now(self, rid: int, stored: int) -> int:
        return self.gained.get(rid, stored)

    async def _resting_on(self, raised: Sequence[Relabelled]) -> list[int]:
        """What the labels of these climb into."""
        keys = []
        for each in raised:
            if registry.type_name(each.version.type_code) == _QUESTIONNAIRE and each.content:
                url = _parsed(each.content).get("url")
                if isinstance(url, str):
                    keys.append(search_keys.uri_key(_ANSWERS, "questionnaire", url))
        rids = [each.version.rid for each in raised]
        return await relabelling.resting_on(self.connection, rids, keys)

    async def _changes(self, found: Sequence[Version]) -> list[Relabelled]:
        """Those of the versions that the present tables label otherwise, as they will be."""
        read = [self._read(version) for version in found]
        targets = await relabelling.target_labels(
            self.connection, (key for each in read for key in each.climbing)
        )
        canonicals = await relabelling.canonical_labels(
            self.connection,
            registry.type_code(_QUESTIONNAIRE),
            (each.canonical for each in read if each.canonical is not None),
        )
        changed: list[Relabelled] = []
        for each in read:
            rests_on = [targets[key] for key in each.climbing if key in targets]
            if each.canonical is not None:
                rests_on += canonicals.get(each.canonical, [])
            inherited = 0
            for rid, stored in rests_on:
                if rid != each.version.rid:
                    inherited |= self._now(rid, stored) & CLIMBING
            changed += self._relabelled(each, inherited)
        return changed

    def _read(self, version: Version) -> _Read:
        if not version.content:
            return _Read(version, None, (), None)
        resource = _parsed(version.content)
        climbing = tuple(
            (registry.type_code(ref.type), ref.id)
            for ref in links.literal_references(resource, self.base_urls)
            if ref.climbs and ref.kind == "local" and registry.is_resource_type(ref.type)
        )
        canonical = None
        if resource["resourceType"] == _ANSWERS:
            url = str(resource.get("questionnaire") or "").partition("|")[0]
            canonical = search_keys.uri_key(_QUESTIONNAIRE, "url", url) if url else None
        return _Read(version, resource, climbing, canonical)

    def _relabelled(self, read: _Read, inherited: int) -> Iterable[Relabelled]:
        """What becomes of a version; nothing where it stays as it is."""
        version, resource = read.version, read.resource
        if resource is None:
            return
        before = self._before(version)
        least = before | least_labels(resource, inherited, self._program(version))
        if version.type_code == _ORGANIZATION:
            least |= program_of(resource)
        least = labels.one_confidentiality(least)
        security = [dict(each) for each in merged_security(resource, least)]
        mask = labels.one_confidentiality(labels.label_mask(security) | before)
        content = version.content
        if not version.deleted and _stated(resource) != labels.label_mask(security):
            resource["meta"] = {**resource["meta"], "security": security}
            content = json_text.dump(resource)
        if (mask, content) == (before, version.content):
            return
        searched = not version.deleted and not version.superseded
        yield Relabelled(
            version,
            mask,
            content,
            search_rows(version.rid, resource, self.base_urls) if searched else None,
        )


def _parsed(content: bytes) -> JsonObject:
    return json_text.parse(content, max_depth=json_text.MAX_DEPTH_LIMIT)


def _stated(resource: JsonObject) -> int:
    return labels.label_mask(resource["meta"].get("security", ()))


def _named(row: Relabelled, before: int, *, once: bool) -> list[Change]:
    """The changes of a version. once: a check has told before what will stand in its `meta.security`."""
    version = row.version
    found = [("added", name) for name in labels.describe(row.labels & ~before)]
    found += [("removed", name) for name in labels.describe(before & ~row.labels)]
    if not version.deleted and not once:
        stood = _stated(_parsed(version.content))
        found += [("stated", name) for name in labels.describe(row.labels & before & ~stood)]
    type_ = registry.type_name(version.type_code)
    return [Change(type_, version.id, version.version, what, name) for what, name in found]


async def _organizations(connection: Connection, after: Place) -> AsyncIterator[list[Version]]:
    async for found in _resources(connection, after, only=_ORGANIZATION):
        yield found


async def _others(connection: Connection, after: Place) -> AsyncIterator[list[Version]]:
    async for found in _resources(connection, after, but=_ORGANIZATION):
        yield found


async def _resources(
    connection: Connection, after: Place, *, only: int | None = None, but: int | None = None
) -> AsyncIterator[list[Version]]:
    rid = after.rid
    while found := await relabelling.present(connection, rid, only, but, BATCH):
        yield found
        rid = found[-1].rid


async def _history(connection: Connection, after: Place) -> AsyncIterator[list[Version]]:
    key = (after.rid, after.version)
    while found := await relabelling.superseded(connection, key, BATCH):
        yield found
        key = (found[-1].rid, found[-1].version)


# Programs first: all that an agency wrote is labelled by its own.
_PHASES: Final = (_organizations, _others, _history)

"""Whoever waits for an answer is told, in neutral words, when the receiver of a Task sees it no more.

The note is the service's own: it changes nothing else of the Task, so no rule for what people write is asked,
and nothing that is wrong with a Task by now keeps a Consent from being withdrawn. It is read and written in the
name of the Task's custodian, who reads what it wrote; where it may not any more, nobody is left to be told.
Neighbours: `guard` (a Consent was written), `expiry` (one has run out), `tl.tasks_in_doubt` (whom it concerns).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from app.care import reading
from app.care.referrals import parties
from app.care.referrals.transitions import OPEN, is_referral
from app.consent import purposes
from app.fhir_mappings import json_text
from app.interactions.guards import Moment
from app.storage import notes, receivers
from app.storage.identities import Identity, resolve_caller

LOST_SIGHT: Final = (
    "This request is no longer with its receiver. Please ask the person what they would like next."
)
"""Neutral on purpose: it says neither that a consent was withdrawn nor by whom."""


async def tell(moment: Moment, survivors: Iterable[int]) -> list[notes.Noted]:
    """Note it on the open Tasks about these survivors (rids) whose owner sees them no more; what was noted.

    moment: in whose transaction; a Consent about each of the survivors was written in it, or one that has run
    out was taken up in it. Its caller has entered again afterwards, and learns nothing of the Tasks.
    """
    told = []
    for survivor in sorted(set(survivors)):
        doubtful = await notes.tasks_in_doubt(moment.connection, survivor)
        for custodian in sorted({each.custodian for each in doubtful}):
            rids = [each.rid for each in doubtful if each.custodian == custodian]
            writer = await resolve_caller(
                moment.connection,
                Identity(custodian, None, None),
                purpose=purposes.purpose_bit("TREAT"),
                emergency=False,
            )
            async with receivers.entered(moment.connection, writer, moment.caller):
                told += await _of(replace(moment, caller=writer, planned=()), custodian, rids)
    return told


async def _of(moment: Moment, custodian: int, rids: list[int]) -> list[notes.Noted]:
    """The notes on the Tasks of one custodian, as whom the transaction has entered."""
    waiting = []
    for row in await notes.read(moment.connection, moment.caller, rids):
        task = reading.parsed(row.content)
        if is_referral(task) and task.get("status") in OPEN and not _told(task):
            waiting.append((row, task))
    found = await parties.find(moment, [task.get("owner") for _, task in waiting])
    changed = []
    for row, task in waiting:
        key = reading.local(task.get("owner"), moment.base_urls)
        owner = found.get("/".join(key)) if key else None
        if owner is None or owner.organization == custodian:
            continue
        seen = await receivers.seen_by(
            moment.connection, owner.identity(), [row.rid], moment.caller
        )
        if row.rid not in seen:
            changed.append(replace(row, content=_noted(moment, row, task)))
    return await notes.put(moment.connection, moment.now, changed)


def _told(task: dict[str, Any]) -> bool:
    return any(note.get("text") == LOST_SIGHT for note in task.get("note", ()))


def _noted(moment: Moment, row: notes.TaskRow, task: dict[str, Any]) -> bytes:
    note = {"time": json_text.instant(moment.now), "text": LOST_SIGHT}
    task = task | {"note": [*task.get("note", ()), note]}
    security = task.get("meta", {}).get("security", ())
    version = str(row.version + 1)
    return json_text.dump(json_text.with_meta(task, row.id, version, moment.now, security))

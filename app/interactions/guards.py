"""Domain rules inside a write: asked before it is stored, and once more after, in the same transaction.

The write pipeline knows FHIR and consent; what a referral or a questionnaire may do is told to it by
guards (`WriteRules.guards`), so that every way of writing (create, update, patch, conditional, batch,
transaction) obeys the same rules. Neighbours: `app.interactions.writing` calls them, `app.care` has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from app.interactions.operation import Operation
from app.storage.database import Caller, WriteConnection
from app.storage.resources import Current


@dataclass(frozen=True, slots=True)
class Planned:
    """One write about to happen, or just done.

    resource: as it will be stored but for its meta, references between entries resolved; None deletes.
    current: the version that it replaces, None for a new resource (a deleted one counts as current).
    subjects: rids of its data subjects. where: its place in a Bundle, "" outside one.
    """

    type: str
    id: str
    rid: int
    resource: dict[str, Any] | None
    current: Current | None
    subjects: tuple[int, ...]
    where: str


@dataclass(frozen=True, slots=True)
class Moment:
    """A write's transaction as a guard finds it; what it reads, it reads as the caller.

    also: rids of what a guard has itself written, for the audit row.
    """

    connection: WriteConnection
    caller: Caller
    now: datetime
    base_urls: tuple[str, ...]
    planned: tuple[Planned, ...]
    also: list[int] = field(default_factory=list)


class Guard(Protocol):
    """A domain rule. Both methods run in the transaction of the write; an error undoes all of it."""

    async def before(self, moment: Moment) -> None:
        """Refuse with FhirError (403, 422) what must not be written."""

    async def after(self, moment: Moment) -> Sequence[Operation]:
        """Further writes, as the same caller; here what was written and its grants can be read.

        Only the writes that changed something are in `moment.planned`. What comes back is written
        under the same guards, so a guard must not answer its own writes without end.
        """

"""A goal that the survivor expressed keeps the survivor's words (hl7.org/fhir/R4/goal.html, expressedBy).

Staff may note, measure and mark progress; the description, who expressed it, and the notes that the survivor
wrote are changed by the survivor alone, and a goal of theirs is not deleted by others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from app.care import reading
from app.errors import FhirError, Issue, IssueCode
from app.interactions.guards import Moment, Planned
from app.interactions.operation import Operation

_WORDS: Final = ("description", "expressedBy", "subject", "startDate", "startCodeableConcept")
_SENTENCE: Final = (
    "These are the survivor's own words: add a note, or record another goal with them, instead."
)


class GoalGuard:
    """The guard of Goals."""

    async def before(self, moment: Moment) -> None:
        """403 for a change of the survivor's words by somebody else."""
        issues = [
            Issue(IssueCode.FORBIDDEN, _SENTENCE, (reading.place(planned, element),))
            for planned in moment.planned
            if planned.type == "Goal"
            for element in _overwritten(moment, planned)
        ]
        if issues:
            raise FhirError(issues)

    async def after(self, moment: Moment) -> Sequence[Operation]:
        """Nothing."""
        return ()


def _overwritten(moment: Moment, planned: Planned) -> list[str]:
    before = reading.previous(planned)
    if (
        before is None
        or not _by_patient(before.get("expressedBy"))
        or _is_survivor(moment, planned)
    ):
        return []
    now = planned.resource
    if now is None:
        return [""]
    changed = [name for name in _WORDS if before.get(name) != now.get(name)]
    kept = now.get("note", [])
    own = [n for n in before.get("note", ()) if _by_patient(n.get("authorReference"))]
    return changed + (["note"] if any(note not in kept for note in own) else [])


def _by_patient(reference: Any) -> bool:
    return str((reference or {}).get("reference", "")).startswith("Patient/")


def _is_survivor(moment: Moment, planned: Planned) -> bool:
    """True where the survivor's own app writes."""
    before = planned.current.subjects if planned.current else ()
    about = {*planned.subjects, *before}
    return moment.caller.person is not None and bool(about & set(moment.caller.closure))

"""The transition table of a referral's Task, as pure decisions (`data/referral-transitions.json`).

Pinned: hl7.org/fhir/R4/task.html#statemachine. The table is narrower than R4's state machine: what it
does not name is refused. Neighbour: `app.care.referrals.guard`, which knows who writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from app.care.data_files import packaged

_TABLE: Final = packaged("referral-transitions.json")

NEW: Final = "(new)"
"""The status of a Task that does not exist yet."""

OPEN: Final[frozenset[str]] = frozenset(_TABLE["open"])
"""Statuses in which somebody still waits for an answer."""

_ORDERS: Final = frozenset(
    {"order", "original-order", "reflex-order", "filler-order", "instance-order"}
)
"""Intents that are orders: a finer one is no way round the table."""

FULFILL: Final = "fulfill"
_CODE_SYSTEMS: Final = frozenset(
    {
        "http://hl7.org/fhir/CodeSystem/task-code",
        "http://terminology.hl7.org/CodeSystem/task-code",
    }
)


class Actor(StrEnum):
    """In what capacity somebody writes a referral's Task."""

    REQUESTER = "requester"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Permitted:
    """The Task may move."""


@dataclass(frozen=True, slots=True)
class NoSuchTransition:
    """Nobody may move a Task from the one status to the other; to: where it may go."""

    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotTheirs:
    """Others may make this move; who: in what capacity."""

    who: tuple[Actor, ...]


@dataclass(frozen=True, slots=True)
class Lacking:
    """The move is theirs, but an element must come with it."""

    element: str


Decision: TypeAlias = Permitted | NoSuchTransition | NotTheirs | Lacking


def _moves() -> dict[tuple[str, str], frozenset[Actor]]:
    found = {(NEW, to): frozenset(map(Actor, who)) for to, who in _TABLE["new"].items()}
    for rule in _TABLE["transitions"]:
        for before in rule["from"]:
            for to in rule["to"]:
                found[before, to] = frozenset(map(Actor, rule["who"]))
    return found


MOVES: Final[Mapping[tuple[str, str], frozenset[Actor]]] = _moves()
"""(from, to) to who may make the move."""


def is_referral(task: Mapping[str, Any]) -> bool:
    """True for the Task of a referral: an order to fulfil, or one whose focus is a ServiceRequest.

    An order of any kind (R4's request-intent). A Task for one's own staff (a call back, a review) has neither
    and is not governed here.
    """
    if task.get("intent") not in _ORDERS:
        return False
    codings = task.get("code", {}).get("coding", ())
    if any(c.get("code") == FULFILL and c.get("system") in _CODE_SYSTEMS for c in codings):
        return True
    focus = task.get("focus", {})
    reference = str(focus.get("reference", ""))
    if reference.startswith("#"):
        return any(
            each.get("id") == reference[1:] and each.get("resourceType") == "ServiceRequest"
            for each in task.get("contained", ())
        )
    return focus.get("type") == "ServiceRequest" or "ServiceRequest/" in reference


def judge(before: str, task: Mapping[str, Any], actors: frozenset[Actor]) -> Decision:
    """May these actors move a Task from status `before` (NEW for none) to what `task` says?

    Staying in a status is no move and is always permitted; but what a status needs (a reason, an
    output) it needs as long as it lasts.
    """
    to = str(task.get("status"))
    if before != to:
        who = MOVES.get((before, to))
        if who is None:
            return NoSuchTransition(tuple(sorted(t for f, t in MOVES if f == before)))
        if not who & actors:
            return NotTheirs(tuple(sorted(who)))
    if to in _TABLE["needs_reason"] and not task.get("statusReason"):
        return Lacking("statusReason")
    if to in _TABLE["needs_output"] and not any(map(_tells, task.get("output", ()))):
        return Lacking("output")
    return Permitted()


def _tells(output: Mapping[str, Any]) -> bool:
    """True for an output that is what was done: a Procedure, or a document."""
    reference = str(output.get("valueReference", {}).get("reference", ""))
    return any(f"{type_}/" in reference for type_ in _TABLE["output_types"])

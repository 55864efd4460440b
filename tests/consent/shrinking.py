"""What a difference between production and the oracle needs of its situation, and no more.

Part after part is left out as long as the two still differ; what is left is printed as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from app.consent.compile import ROWS_PER_GRANTEE
from tests.consent.agreement import Compared
from tests.consent.oracle import Caller, Given, Thing
from tests.consent.questions import Question
from tests.consent.situations import PATIENT, Situation

Found = tuple[Situation, Question]

WHOLE: Final = frozenset(
    {"resourceType", "status", "scope", "patient", "type", "role", "reference", "system"}
    | {"coding", "meaning", "verified"}
)
"""What nothing is without where it has it; `code` is the criterion where it is a list."""


def shrink(found: Situation, question: Question) -> Found:
    """The smallest that single omissions lead to."""
    smallest: Found = (found, question)
    while smaller := next(filter(_differ, _smaller(*smallest)), None):
        smallest = smaller
    return smallest


def _differ(found: Found) -> bool:
    return not Compared(found[0]).answers(found[1]).agree


def _smaller(found: Situation, question: Question) -> Iterator[Found]:
    """The same with one part less, the largest parts first."""
    for position in range(len(found.given)):
        if len(found.given) > 1:
            yield replace(found, given=_without(found.given, position)), question
    for position, policy in enumerate(found.ceilings):
        yield replace(found, ceilings=_without(found.ceilings, position)), question
        for less in _less(policy):
            ceilings = _with(found.ceilings, position, less)
            yield replace(found, ceilings=ceilings), question
    for position, given in enumerate(found.given):
        for other in _plainer(given):
            yield replace(found, given=_with(found.given, position, other)), question
    if found.rows != ROWS_PER_GRANTEE:
        yield replace(found, rows=ROWS_PER_GRANTEE), question
    for thing in _plainer_thing(question.thing):
        yield found, question._replace(thing=thing)
    for caller in _plainer_caller(question.caller):
        yield found, question._replace(caller=caller)


def _plainer(given: Given) -> Iterator[Given]:
    for less in _less(given.resource):
        yield replace(given, resource=less)
    if given.recorder != PATIENT:
        yield replace(given, recorder=PATIENT)
    if given.releases is not None:
        yield replace(given, releases=None)


def _plainer_thing(thing: Thing) -> Iterator[Thing]:
    for name, plain in Thing._field_defaults.items():
        if getattr(thing, name) != plain:
            yield thing._replace(**{name: plain})
    for position in range(len(thing.security)):
        yield thing._replace(security=_without(thing.security, position))


def _plainer_caller(caller: Caller) -> Iterator[Caller]:
    for identity in sorted(caller.identities):
        yield caller._replace(identities=caller.identities - {identity})
    if caller.wider:
        yield caller._replace(wider=frozenset())
    if caller.emergency:
        yield caller._replace(emergency=False)
    if caller.purpose != "TREAT":
        yield caller._replace(purpose="TREAT")


def _less(node: Any) -> Iterator[Any]:
    """The JSON with one element or one item of a list less; an empty list is no list."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name not in WHOLE and not (name == "code" and isinstance(value, str)):
                yield {k: v for k, v in node.items() if k != name}
            yield from (node | {name: less} for less in _less(value) if less not in ([], {}))
    elif isinstance(node, list):
        for position in range(len(node)):
            yield [*node[:position], *node[position + 1 :]]
            for less in _less(node[position]):
                yield [*node[:position], less, *node[position + 1 :]]


def _without(items: tuple[Any, ...], position: int) -> tuple[Any, ...]:
    return (*items[:position], *items[position + 1 :])


def _with(items: tuple[Any, ...], position: int, item: Any) -> tuple[Any, ...]:
    return (*items[:position], item, *items[position + 1 :])


def printed(found: Situation, question: Question) -> str:
    """Everything that is needed to see the difference, and to make a case of it."""
    answers = Compared(found).answers(question)
    parts: list[Any] = [
        {
            "recorder": given.recorder,
            "releases": given.releases,
            "consent": given.resource,
        }
        for given in found.given
    ]
    parts += [{"policy": policy} for policy in found.ceilings]
    lines = [json.dumps(part, indent=1) for part in parts]
    return "\n".join(
        [
            *lines,
            f"rows {found.rows}",
            f"{question.caller}",
            f"{question.thing}",
            f"{question.action} at {question.now.isoformat()}",
            f"{answers}",
        ]
    )

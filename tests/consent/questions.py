"""Questions about random Consents: aimed at a provision and what is around it, or astray.

Plain random, for speed: a seed decides. Neighbour: `tests.consent.situations` (the Consents).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeVar

from tests.consent.chance import Chance
from tests.consent.oracle import Caller, Coded, Given, Thing, bounds
from tests.consent.situations import (
    ACTORS,
    AUTHORS,
    CODED_LABELS,
    CODES,
    KNOWN,
    NOW,
    ORGANIZATIONS,
    PROFILES,
    PURPOSES,
    THINGS,
)
from tests.consent.terms import TYPES

T = TypeVar("T")
Provision = Mapping[str, Any]

MOMENTS: Final = [
    NOW,
    NOW - timedelta(days=40),
    datetime(2025, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 3, 2, tzinfo=UTC),
]
LATER: Final = [timedelta(hours=hours) for hours in (0, 0, 0, 0, 1, 24, 24 * 70, 24 * 400)]
DAY: Final = timedelta(hours=24)
MOMENT: Final = timedelta(microseconds=1)


def _one_or_none(items: Sequence[T], none: int) -> list[frozenset[T]]:
    """Each alone, and `none` times as often none."""
    return [frozenset[T]()] * (none * len(items)) + [frozenset({item}) for item in items]


SOME_CODE: Final = _one_or_none(CODES, 1)
SOME_PROFILE: Final = _one_or_none(PROFILES, 1)
SOME_LINK: Final = _one_or_none([*THINGS, "Task/four"], 2)
SOME_AUTHOR: Final = _one_or_none(AUTHORS, 1)


class Question(NamedTuple):
    """Whether the caller may do this to the thing at an instant."""

    caller: Caller
    thing: Thing
    action: str
    now: datetime


@dataclass(frozen=True)
class Aim:
    """What a provision and those around it speak of, each list with one entry a provision."""

    path: Sequence[Provision]

    @cached_property
    def purposes(self) -> list[str]:
        return [c["code"] for c in self._items("purpose") if c["code"] in PURPOSES]

    @cached_property
    def actions(self) -> list[str]:
        codes = [c["code"] for concept in self._items("action") for c in concept["coding"]]
        return [code for code in codes if code in {"access", "correct"}]

    @cached_property
    def actors(self) -> list[list[str]]:
        return self._each("actor")

    @cached_property
    def labels(self) -> list[list[Coded]]:
        return [
            [(c["system"], c["code"]) for c in p["securityLabel"]]
            for p in self.path
            if "securityLabel" in p
        ]

    @cached_property
    def classes(self) -> list[list[str]]:
        return [[c["code"] for c in p["class"]] for p in self.path if "class" in p]

    @cached_property
    def codes(self) -> frozenset[Coded]:
        return frozenset(
            (c["system"], c["code"])
            for concept in self._items("code")
            for c in concept.get("coding", ())[:1]
        )

    @cached_property
    def thing(self) -> str | None:
        """A thing that the data names, or one of the type that the innermost class names."""
        named = [r for p in self.path for r in references(p, "data", "instance") if r in THINGS]
        if named:
            return named[-1]
        kinds = [kind for classes in self.classes for kind in classes if kind in TYPES]
        return next((t for t in reversed(THINGS) if kinds and t.startswith(kinds[-1])), None)

    @cached_property
    def data(self) -> dict[str, list[list[str]]]:
        return {how: self._each("data", how) for how in ("related", "dependents", "authoredby")}

    @cached_property
    def instants(self) -> list[datetime]:
        """Edges of the periods that are still to come."""
        return [edge for edge in self._edges("period") if edge > NOW]

    @cached_property
    def clinical(self) -> list[datetime]:
        return list(self._edges("dataPeriod"))

    def _items(self, name: str) -> Iterator[Any]:
        for provision in self.path:
            yield from provision.get(name, ())

    def _each(self, name: str, meaning: str | None = None) -> list[list[str]]:
        found = [references(provision, name, meaning) for provision in self.path]
        return [items for items in found if items]

    def _edges(self, name: str) -> Iterator[datetime]:
        for provision in self.path:
            if name in provision:
                yield from _edges(provision[name])


class Asker:
    """Question after question about some Consents."""

    def __init__(self, given_consents: Sequence[Given], seed: int) -> None:
        self.aims = [
            Aim(path) for g in given_consents for path in paths(g.resource["provision"], [])
        ]
        self.chance = Chance.seeded(seed)

    def ask(self) -> Question:
        chance = self.chance
        caller, thing = self._anybody(), self._anything()
        action, now = chance.choice(["access", "access", "access", "correct"]), NOW
        now += chance.choice(LATER)
        if chance.percent(10):
            return Question(caller, thing, action, now)
        aim = chance.choice(self.aims)
        thing = self._aimed(thing, aim)
        if aim.purposes and chance.percent(80):
            caller = caller._replace(purpose=chance.choice(aim.purposes))
        if aim.actions and chance.percent(80):
            action = chance.choice(aim.actions)
        if chance.percent(80):
            who = self._one_of_each(aim.actors)
            caller = caller._replace(identities=who, emergency=chance.percent(20))
        if aim.instants and chance.percent(60):
            now = chance.choice(aim.instants) - chance.choice([timedelta(0), MOMENT])
        return Question(caller, thing, action, now)

    def _aimed(self, thing: Thing, aim: Aim) -> Thing:
        chance = self.chance
        classes = self._some_of_each(aim.classes)
        wanted: dict[str, Any] = {
            "security": tuple(self._some_of_each(aim.labels)),
            "codes": aim.codes,
            "profiles": frozenset(code for code in classes if code in PROFILES),
            "referenced_by": self._one_of_each(aim.data["related"]),
            "references": self._one_of_each(aim.data["dependents"]),
            "authors": self._one_of_each(aim.data["authoredby"]),
        }
        kept = {name: value for name, value in wanted.items() if value and chance.percent(85)}
        if aim.thing:
            kept |= {"reference": aim.thing, "type": aim.thing.split("/")[0]}
        if aim.clinical and chance.percent(90):
            at = chance.choice(aim.clinical) + chance.choice([-1, 0, 0, 1]) * MOMENT
            kept["clinical"] = (at, at + chance.choice([0, 0, 1]) * DAY)
        return thing._replace(**kept)

    def _anybody(self) -> Caller:
        chance = self.chance
        return Caller(
            frozenset(chance.sample(ACTORS, chance.choice([0, 1, 1, 2]))),
            chance.choice([*PURPOSES, "POPHLTH"]),
            frozenset(["Organization/county"] if chance.percent(30) else []),
            chance.percent(40),
        )

    def _anything(self) -> Thing:
        chance = self.chance
        reference = chance.choice(THINGS)
        at = chance.choice([None, *MOMENTS])
        return Thing(
            reference=reference,
            type=reference.split("/")[0],
            custodian=chance.choice(ORGANIZATIONS),
            security=tuple(chance.sample(CODED_LABELS, chance.choice([0, 0, 1, 2]))),
            clinical=(at, at + chance.below(2) * DAY) if at else None,
            codes=chance.choice(SOME_CODE),
            profiles=chance.choice(SOME_PROFILE),
            references=chance.choice(SOME_LINK),
            referenced_by=chance.choice(SOME_LINK),
            authors=chance.choice(SOME_AUTHOR),
        )

    def _one_of_each(self, lists: list[list[T]]) -> frozenset[T]:
        return frozenset(self.chance.choice(items) for items in lists)

    def _some_of_each(self, lists: list[list[T]]) -> dict[T, None]:
        """One of a list, or all of it; in order and none twice."""
        chance = self.chance
        found: dict[T, None] = {}
        for items in lists:
            for item in [chance.choice(items)] if chance.percent(60) else items:
                found[item] = None
        return found


def paths(provision: Provision, above: Sequence[Provision]) -> list[list[Provision]]:
    """Every provision, each with what it stands in."""
    path = [*above, provision]
    return [path, *(p for child in provision.get("provision", ()) for p in paths(child, path))]


def references(provision: Provision, name: str, meaning: str | None = None) -> list[str]:
    """The known references of the actors, or of the data of one meaning."""
    found = [
        item["reference"].get("reference")
        for item in provision.get(name, ())
        if meaning in {None, item.get("meaning")}
    ]
    return [r for r in found if r in KNOWN]


def _edges(period: Mapping[str, str]) -> list[datetime]:
    sane = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    return [edge for edge in bounds(period) if sane[0] < edge < sane[1]]

"""What an attacker asks, as plain data, and the names of what is there to be asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.noninterference.worlds import HIDDEN, VISIBLE, id_of

MISSING = "00000000-0000-4000-8000-00000000dead"
Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One request of the attacker."""

    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    form: bool = False
    act: str = ""
    """Not a request of the attacker's: what River does meanwhile, `withdraw` or `restore` (`World.act`)."""


def any_resource(chance: Random) -> tuple[str, str]:
    """A type and an id: hidden mostly, visible or missing sometimes."""
    type_, name = chance.choice(HIDDEN if chance.random() < 0.6 else VISIBLE)
    return type_, MISSING if chance.random() < 0.1 else id_of(name)


def printed(asked: Asked) -> str:
    """One request as a line."""
    if asked.act:
        return f"River: {asked.act}"
    body = "" if asked.body is None else " " + json.dumps(asked.body)
    headers = f" {asked.headers}" if asked.headers else ""
    return f"{asked.method} {asked.path}{headers}{body}"

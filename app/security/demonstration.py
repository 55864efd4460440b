"""Which clients are the demonstration's, and whether a store may be served as one.

Whoever reaches a served demonstration gets a token for each of its clients by one click. So a store holds the
demonstration or clients of others, never both: `throughline client add` registers only `demo-…` in the one, the
start refuses to serve the other with TL_DEMO, and a click gives nothing where both are found nevertheless.
Neighbours: `app.demo.load` (registers them), `app.commands.exposure` (the start), `app.routers.docs`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

CLIENTS: Final = frozenset(
    {
        "river-clinic", "harbor-psychiatry", "open-door-shelter", "bridge-legal-aid", "privacy-officer",
        "county-police", "coast-university", "survivor-b-app",
    }
)  # fmt: skip
"""The ids of the clients that the demonstration comes with."""

ADDED: Final = "demo-"
"""How the id of a client begins that somebody adds to the demonstration, to try it with."""


def holds(clients: Collection[str]) -> bool:
    """Whether a store with these clients, revoked ones too, holds the demonstration: it has all of its own."""
    return set(clients) >= CLIENTS


def strangers(clients: Collection[str]) -> list[str]:
    """Those of these clients that are not the demonstration's, in alphabetical order."""
    return sorted(each for each in clients if each not in CLIENTS and not each.startswith(ADDED))


def served(known: Collection[str], standing: Collection[str]) -> bool:
    """Whether one click may give tokens: the demonstration is there, and nobody else stands.

    known: the ids of all registered clients, revoked ones too. standing: those that are not revoked.
    """
    return holds(known) and not strangers(standing)

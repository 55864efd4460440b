"""Who sees what in the demo: asked of a running service, answered as text for a golden file.

Nothing here knows about consent: every line is the answer to a search, so that a change of policy,
of data or of the query shows as a line of difference in `tests/demo/who-sees-what.txt`.
Neighbours: `app.demo.load` (the data), `app.demo.tour` (a story told of it).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from app.demo.load import bundles

Search = Callable[[str, str, str], Awaitable[Iterable[str]]]
"""(client, purpose of use, resource type) to the ids of all resources that a search returns."""

ASKED: Final = (
    ("river-clinic", "TREAT"),
    ("harbor-psychiatry", "TREAT"),
    ("harbor-psychiatry", "CAREMGT"),
    ("open-door-shelter", "TREAT"),
    ("bridge-legal-aid", "TREAT"),
    ("bridge-legal-aid", "COC"),
    ("privacy-officer", "HCOMPL"),
    ("county-police", "HLEGAL"),
    ("coast-university", "HRESCH"),
    ("survivor-b-app", "PATRQT"),
)
"""Client and purpose of each section: a purpose that nobody agreed to shows less."""

SURVIVORS: Final = ("survivor-a", "survivor-b", "survivor-c")


def types() -> list[str]:
    """The resource types that the demo writes, sorted."""
    return sorted(
        {
            entry["resource"]["resourceType"]
            for each in bundles(datetime.now(UTC).date())
            for entry in each.bundle["entry"]
        }
    )


async def who_sees_what(search: Search) -> str:
    """The table: a section for each of `ASKED`, in it every resource seen, by survivor.

    Only the demo's own resources are shown (their ids begin with the survivor's), so that what else
    was written on the same server does not disturb it.
    """
    sections = [await _section(search, client, purpose) for client, purpose in ASKED]
    return "\n".join(sections)


async def _section(search: Search, client: str, purpose: str) -> str:
    seen = [(type_, id_) for type_ in types() for id_ in await search(client, purpose, type_)]
    lines = [f"{client} asks for {purpose}"]
    for survivor in SURVIVORS:
        found = sorted(
            f"{type_}/{id_}"
            for type_, id_ in seen
            if id_ == survivor or id_.startswith(f"{survivor}-")
        )
        lines.append(f"  {survivor}" + ("" if found else ": nothing"))
        lines += [f"    {line}" for line in found]
    return "\n".join(lines) + "\n"

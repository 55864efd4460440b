"""The demo's clients and transaction Bundles, and how they are written.

`data/NN-<client>-<topic>.json` are transaction Bundles of PUT entries with ids of their own, in the
order of their numbers; the client in the name writes the Bundle and so becomes the custodian of what
is in it. A writer refers only to what it may see at that moment, so that Consents come before what
they make possible. Whoever loads them allows client-chosen ids (`WriteRules.allow_client_ids`).
Neighbours: `app.demo.dates` (days that move), `app.demo.table` (what comes of it).
Pinned: hl7.org/fhir/R4/http.html#transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib import resources
from typing import Final

from app.demo.dates import resolve_dates
from app.fhir_mappings import json_text
from app.fhir_mappings.json_text import JsonObject

Transact = Callable[[str, JsonObject], Awaitable[object]]
"""Writes one transaction Bundle as the named client; raises where any entry is refused."""

Progress = Callable[[int, int, str], None]
"""Told after each Bundle: how many are written, of how many, and the name of this one."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A client of the demo.

    organization: id of the Organization it speaks for. purposes: the first is what a token has where
    none is asked for. emergency: may ask for ETREAT with a written reason. privacy_officer: its
    Consents release the whole record. writes_for: the purpose of use with which `load` writes.
    patient: the id of the survivor whose own app it is; then it speaks for no organization.
    """

    client: str
    organization: str
    scope: str
    purposes: tuple[str, ...]
    writes_for: str
    emergency: bool = False
    privacy_officer: bool = False
    patient: str | None = None


_CARE: Final = ("TREAT", "CAREMGT", "COC")
_ALL: Final = "system/*.cruds"

CLIENTS: Final = (
    Registration("river-clinic", "river-clinic", _ALL, (*_CARE, "ETREAT"), "COC", emergency=True),
    Registration("harbor-psychiatry", "harbor-psychiatry", _ALL, _CARE, "COC"),
    Registration("open-door-shelter", "open-door-shelter", _ALL, _CARE, "COC"),
    Registration("bridge-legal-aid", "bridge-legal-aid", _ALL, _CARE, "COC"),
    Registration(
        "privacy-officer",
        "privacy-office",
        _ALL,
        ("HCOMPL", "HOPERAT"),
        "HCOMPL",
        privacy_officer=True,
    ),
    Registration("county-police", "county-police", "system/*.rs", ("HLEGAL",), "HLEGAL"),
    Registration("coast-university", "coast-university", "system/*.rs", ("HRESCH",), "HRESCH"),
    Registration(
        "survivor-b-app",
        "river-clinic",
        "patient/*.cruds",
        ("PATRQT",),
        "PATRQT",
        patient="survivor-b",
    ),
)
"""Who is registered, each with the Organization that its first Bundle writes; a survivor's app writes none."""


@dataclass(frozen=True, slots=True)
class DemoBundle:
    """One transaction: the file it stands in, who writes it, and the Bundle itself."""

    name: str
    client: str
    bundle: JsonObject


def bundles(today: date) -> list[DemoBundle]:
    """Every Bundle of the demo, in the order in which they are to be written.

    today: the day that `@today` stands for. ValueError where a file is named after no client.
    """
    folder = resources.files("app.demo") / "data"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    return [
        DemoBundle(
            file.name.removesuffix(".json"),
            _client(file.name),
            resolve_dates(
                json_text.parse(file.read_bytes(), max_depth=json_text.MAX_DEPTH_LIMIT), today
            ),
        )
        for file in files
    ]


def _client(name: str) -> str:
    topic = name.partition("-")[2]
    for each in CLIENTS:
        if topic.startswith(f"{each.client}-"):
            return each.client
    raise ValueError(f"{name} is named after no client of the demo")


async def load(transact: Transact, progress: Progress, *, today: date | None = None) -> None:
    """Write the whole demo, one Bundle after the other; the first refusal ends it.

    today: the day that `@today` stands for; by default the present one, UTC. Loading again sets
    every resource of the demo back to where its story ends.
    """
    everything = bundles(today or datetime.now(UTC).date())
    for number, each in enumerate(everything, start=1):
        await transact(each.client, each.bundle)
        progress(number, len(everything), each.name)

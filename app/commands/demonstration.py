"""The demonstration: loaded once, served with tokens to try it with, and told as a tour.

Neighbours: `app.demo` (its people and its story), `app.commands.serving`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console

from app.care.guards import GUARDS
from app.commands import registration
from app.commands.databases import Reached, on, running, with_database
from app.commands.errors import CommandError
from app.consent.purposes import purpose_bit
from app.demo import load as demo
from app.interactions import bundle_entry, patching, writing
from app.security import clients, demonstration
from app.security.sealing import Seal
from app.settings import Settings
from app.storage import clients as client_rows
from app.storage.database import Database
from app.storage.identities import Identity, resolve_caller

TOKEN_SECONDS: Final = 8 * 3600
"""How long a token of the demonstration is valid where nothing else is set: an afternoon."""

TOUR_SECONDS: Final = 900

PACKAGE: Final = "Task/survivor-a-housing-task/$referral-package"


@dataclass(frozen=True, slots=True)
class Try:
    """One thing to try: who asks, for which path beneath the FHIR base, and what it shows."""

    client: str
    path: str
    shows: str


TRIES: Final = (
    Try(
        "river-clinic",
        "Patient?_total=accurate",
        "River Clinic, primary care: the survivors in its care",
    ),
    Try(
        "harbor-psychiatry",
        "DocumentReference?patient=survivor-a",
        "Harbor Psychiatry asks for documents about survivor A: its own psychotherapy note",
    ),
    Try(
        "river-clinic",
        "DocumentReference?patient=survivor-a",
        "River Clinic asks the same: a housing letter, and no trace of the note",
    ),
    Try(
        "open-door-shelter",
        PACKAGE,
        "Open Door Shelter pulls a referral package: what the survivor released to it, and nothing else",
    ),
    Try(
        "bridge-legal-aid",
        PACKAGE,
        "Bridge Legal Aid asks for the same: 404, as for an id that never was",
    ),
)


def for_demonstration(settings: Settings) -> Settings:
    """The settings with which the demonstration is served."""
    more: dict[str, Any] = {"demo": True}
    if "token_lifetime_seconds" not in settings.model_fields_set:
        more["token_lifetime_seconds"] = TOKEN_SECONDS
    if "log_level" not in settings.model_fields_set:
        more["log_level"] = "warning"
    return settings.model_copy(update=more)


async def _tokens(
    opened: Database, base: str, names: set[str], purpose: str, lifetime: int, seal: Seal
) -> dict[str, str]:
    return {
        name: await registration.token(
            opened, base, name, purpose=purpose, lifetime=lifetime, seal=seal
        )
        for name in sorted(names)
    }


def curl_lines(settings: Settings, reached: Reached) -> list[tuple[str, str]]:
    """(what it shows, the line): each can be copied into a shell as it is."""
    names, seconds = {each.client for each in TRIES}, settings.token_lifetime_seconds
    found = on(
        reached, lambda opened, at: _tokens(opened, at.base, names, "COC", seconds, Seal(settings))
    )
    return [
        (
            each.shows,
            f"curl -s -H 'Authorization: Bearer {found[each.client]}' '{reached.base}/{each.path}'",
        )
        for each in TRIES
    ]


def tour(settings: Settings, console: Console) -> int:
    """Play the tour against the service that runs; 0 where every expectation held."""
    from app.demo import tour as story

    served = running(settings) if settings.database_url is None else None
    made: dict[str, str] = {}

    def token(client: str, purpose: str) -> str:
        if not made:
            names = {each.client for each in demo.CLIENTS if purpose in each.purposes}
            made.update(
                with_database(
                    settings,
                    lambda opened, at: _tokens(
                        opened, at.base, names, purpose, TOUR_SECONDS, Seal(settings)
                    ),
                )
            )
        return made[client]

    return story.run(served.base if served is not None else settings.fhir_base, token, console)


async def load_demo(opened: Database, progress: demo.Progress) -> None:
    """Register the demonstration's clients and write its records; nothing where it is there already.

    CommandError where others are registered: among their records the demonstration has no place (the start
    refuses most such stores before, `app.commands.exposure.strangers`).
    """
    known = {each.client_id for each in await client_rows.list_clients(opened.pool)}
    if demonstration.holds(known):
        return
    if known:
        raise CommandError(
            "The database is in use: clients are registered that are not the demonstration's. Give the "
            "demonstration one of its own: unset TL_DATABASE_URL, or set TL_STATE_DIR to a new folder."
        )
    rids = {
        each.client: await registration.organization(opened, each.organization)
        for each in demo.CLIENTS
    }
    registered = {each.client: each for each in demo.CLIENTS}

    async def transact(client: str, bundle: dict[str, Any]) -> object:
        own = registered[client].patient
        caller = await resolve_caller(
            opened.pool,
            Identity(rids[client], None, await registration.person(opened, own)),
            purpose=purpose_bit(registered[client].writes_for),
            emergency=False,
        )
        return await writing.write(
            opened,
            caller,
            [
                entry.operation(entry.id)
                for entry in (
                    bundle_entry.read_entry(each, f"Bundle.entry[{n}]", "", patching.patch_of)
                    for n, each in enumerate(bundle["entry"])
                )
            ],
            writing.WriteRules((), allow_client_ids=True, guards=GUARDS),
        )

    await demo.load(transact, progress)
    persons = {each: await registration.person(opened, each.patient) for each in demo.CLIENTS}
    # The clients come last, and together: an interrupted load is repeated, a finished one is not.
    async with opened.pool.acquire() as connection, connection.transaction():
        for each, person in persons.items():
            await clients.add_client(
                connection,
                client_id=each.client,
                organization=rids[each.client],
                scope=each.scope,
                purposes_of_use=each.purposes,
                emergency=each.emergency,
                privacy_officer=each.privacy_officer,
                patient=person,
            )

"""The command line `throughline`: serve, client, token, migrate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app import commands
from app.settings import Settings
from app.storage import clients as client_rows
from app.storage.clients import Client
from app.storage.database import Database

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Throughline: consent-enforced FHIR R4."
)
client_app = typer.Typer(no_args_is_help=True, help="Register, list and revoke clients.")
app.add_typer(client_app, name="client")
_notes = Console(stderr=True)


def main() -> None:
    """Entry point."""
    app()


@app.command()
def serve() -> None:
    """Serve the API; starts and migrates the embedded PostgreSQL unless TL_DATABASE_URL is set."""
    settings = Settings()
    _notes.print(f"Serving {settings.fhir_base} (Ctrl-C ends it)")
    commands.serve(settings)


@app.command()
def demo() -> None:
    """Load the demonstration on the first start, then serve it; prints what to try next."""
    settings = Settings()

    def progress(done: int, of: int, name: str) -> None:
        _notes.print(f"  {done}/{of} {name}")

    async def work(opened: Database) -> dict[str, str]:
        await commands.load_demo(opened, progress)
        names = ("river-clinic", "open-door-shelter", "bridge-legal-aid")
        return {name: await commands.token(opened, settings, name, "COC") for name in names}

    with commands.database(settings):
        for name, bearer in commands.with_database(settings, work).items():
            query = "Task?_include=Task:focus" if name == "open-door-shelter" else "Patient"
            _notes.print(f"\n# What {name} sees:", highlight=False)
            print(f"curl -s -H 'Authorization: Bearer {bearer}' '{settings.fhir_base}/{query}'")
        _notes.print(f"\nServing {settings.fhir_base} (Ctrl-C ends it)")
        commands.serve(settings)


@app.command()
def migrate() -> None:
    """Bring the database to this release."""
    with commands.database(Settings()):
        _notes.print("The database is at this release.")


@client_app.command("add")
def client_add(
    name: Annotated[str, typer.Option(help="client id")],
    organization: Annotated[str, typer.Option(help="Organization id; made where missing")],
    scope: Annotated[str, typer.Option(help="SMART v2 scopes")] = "system/*.cruds",
    purpose: Annotated[list[str] | None, typer.Option(help="purpose of use; repeat it")] = None,
    jwks: Annotated[Path | None, typer.Option(help="JWK Set file (private_key_jwt)")] = None,
    emergency: Annotated[bool, typer.Option(help="may ask for emergency access")] = False,
) -> None:
    """Register a client; prints its secret once, unless it has keys."""
    keys = json.loads(jwks.read_text()) if jwks else None

    async def work(opened: Database) -> str | None:
        return await commands.add_client(
            opened,
            name=name,
            organization_id=organization,
            scope=scope,
            purposes=tuple(purpose or ["TREAT"]),
            jwks=keys,
            emergency=emergency,
        )

    secret = commands.with_database(Settings(), work)
    if secret:
        print(secret)


@client_app.command("list")
def client_list() -> None:
    """List the registered clients."""

    async def work(opened: Database) -> list[Client]:
        return await client_rows.list_clients(opened.pool)

    table = Table("client", "scope", "purposes", "revoked")
    for each in commands.with_database(Settings(), work):
        table.add_row(
            each.client_id, each.scope, " ".join(each.purposes), "yes" if each.revoked else ""
        )
    Console().print(table)


@client_app.command("revoke")
def client_revoke(name: Annotated[str, typer.Option(help="client id")]) -> None:
    """Revoke a client: it gets no more tokens."""

    async def work(opened: Database) -> bool:
        return await client_rows.revoke_client(opened.pool, name)

    if not commands.with_database(Settings(), work):
        _notes.print("There is no such client to revoke.")
        raise typer.Exit(1)


@app.command()
def token(
    client: Annotated[str, typer.Option(help="client id")],
    purpose: Annotated[str | None, typer.Option(help="purpose of use")] = None,
) -> None:
    """Print a bearer token for a client, and nothing else."""
    settings = Settings()

    async def work(opened: Database) -> str:
        return await commands.token(opened, settings, client, purpose)

    try:
        print(commands.with_database(settings, work))
    except (LookupError, ValueError) as error:
        _notes.print(f"No token: {error}.")
        raise typer.Exit(1) from error

"""The command line `throughline`. Results go to standard output and nothing else does.

Each command imports what it needs when it runs, so that help and tokens come quickly.
Neighbours: `app.commands` does the work; docs/command-line.md tells it to people.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from app.commands.databases import Reached
    from app.settings import Settings
    from app.storage.clients import Client
    from app.storage.database import Database

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would show secrets and records.
    pretty_exceptions_enable=False,
    help="Throughline: survivor care records as FHIR R4, with consent enforced on every read.",
)
client_app = typer.Typer(no_args_is_help=True, help="Register, list and revoke clients.")
app.add_typer(client_app, name="client")
audit_app = typer.Typer(no_args_is_help=True, help="Verify the audit.")
app.add_typer(audit_app, name="audit")
labels_app = typer.Typer(no_args_is_help=True, help="Label the store by the present tables.")
app.add_typer(labels_app, name="labels")
keys_app = typer.Typer(no_args_is_help=True, help="Replace the keys that tokens are signed with.")
app.add_typer(keys_app, name="keys")


_COLLECTED: Final = (50_000, 20, 50)
"""When garbage is looked for: what importing makes stays, and looking through it took a third of each start."""


def main() -> None:
    """Entry point: what a person can mend is said in a sentence, with exit code 1."""
    gc.set_threshold(*_COLLECTED)
    from app.commands.errors import CommandError
    from app.settings import SettingsError

    try:
        app()
    except (CommandError, SettingsError) as error:
        text = (
            f"A setting cannot be used: {error}."
            if isinstance(error, SettingsError)
            else str(error)
        )
        print(text, file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _notes() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def _settings() -> Settings:
    from app.settings import Settings

    return Settings.load()


@app.command()
def serve() -> None:
    """Serve the API; starts and migrates a PostgreSQL of its own unless TL_DATABASE_URL is set."""
    from app.commands import serving

    notes = _notes()

    def ready(reached: Reached) -> None:
        notes.print(f"Serving {reached.base} (Ctrl-C ends it)")

    serving.run(_settings(), announce=notes.print, when_ready=ready)


@app.command()
def demo() -> None:
    """Load the demonstration on the first start, then serve it; prints what to try next."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from app.commands import demonstration, serving
    from app.commands.databases import on

    notes = _notes()
    settings = demonstration.for_demonstration(_settings())

    def load(reached: Reached) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        with Progress(*columns, console=notes, transient=notes.is_terminal) as bar:
            task = bar.add_task("Loading the demonstration", total=None, visible=False)

            def progress(done: int, of: int, name: str) -> None:
                bar.update(task, completed=done, total=of, visible=True)

            on(reached, lambda opened, _: demonstration.load_demo(opened, progress))

    def ready(reached: Reached) -> None:
        notes.print(f"\nServing {reached.base}. To try it, in another terminal:", style="bold")
        for shows, line in demonstration.curl_lines(settings, reached):
            notes.print(f"\n# {shows}", style="green", soft_wrap=True)
            print(line, flush=True)
        notes.print("\n# The whole story, step by step:", style="green")
        notes.print(f"{Path(sys.argv[0])} tour", soft_wrap=True)
        notes.print("\nCtrl-C ends it and keeps the data.", style="bold")

    serving.run(settings, announce=notes.print, prepare=load, when_ready=ready)


@app.command()
def tour() -> None:
    """Tell the demonstration as a story against the running service: who sees what, and why."""
    from rich.console import Console

    from app.commands import demonstration

    raise typer.Exit(demonstration.tour(_settings(), Console()))


@app.command()
def reindex(
    only: Annotated[
        list[str] | None, typer.Option("--type", help="only this resource type; repeat it")
    ] = None,
) -> None:
    """Make all search rows anew, after a SearchParameter was added; the service may serve meanwhile."""
    from rich.progress import Progress

    from app.commands import reindexing

    notes = _notes()
    with Progress(console=notes) as bar:
        task = bar.add_task("Indexing", total=None)

        def progress(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        done, refused = reindexing.run(_settings(), progress, only)
    for url, why in refused:
        notes.print(f"Not in use: {url}. {why}")
    notes.print(f"{done} resources are indexed anew.")


_Report = Annotated[
    Path | None,
    typer.Option("--report", help="New file (mode 0600) for every change, with the entries' ids"),
]


@labels_app.command("check")
def labels_check(report: _Report = None) -> None:
    """Say how the store's labels differ from the present tables; exit code 1 where they do."""
    if _label(check=True, report=report):
        raise typer.Exit(1)


@labels_app.command("apply")
def labels_apply(report: _Report = None) -> None:
    """Add the labels that the present tables give; goes on where an earlier run was ended."""
    _label(check=False, report=report)


def _label(*, check: bool, report: Path | None) -> bool:
    """Whether anything differs; prints what, without ids."""
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from app.commands import labelling

    notes = _notes()
    with Progress(console=notes) as bar:
        task = bar.add_task("Checking" if check else "Labelling", total=None)

        def progress(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        counts = labelling.run(_settings(), progress, check=check, report=report)
    if not counts:
        notes.print("Every label is as the present tables give it.")
        return False
    table = Table("type", "label", "to be" if check else "was", "versions")
    for (type_, what, label), count in sorted(counts.items()):
        table.add_row(type_, label, what, str(count))
    Console().print(table)
    return True


@app.command()
def migrate() -> None:
    """Bring the database to this release."""
    from app.commands.databases import database

    notes = _notes()
    with database(_settings(), announce=notes.print):
        notes.print("The database is at this release.")


@app.command()
def doctor() -> None:
    """Say what is wrong and how to mend it; exit code 1 where anything is."""
    from rich.markup import escape

    from app.commands.doctor import look

    notes, faults = _notes(), 0
    for check in look():
        if check.fault is None:
            notes.print(f"[green]✓[/green] {escape(check.name)}", soft_wrap=True)
            continue
        faults += 1
        notes.print(f"[red]✗[/red] {escape(check.name)}: {escape(check.fault)}", soft_wrap=True)
        notes.print(f"  → {check.remedy}", markup=False, soft_wrap=True)
    if faults:
        raise typer.Exit(1)
    notes.print("All is well.")


@client_app.command("add")
def client_add(
    name: Annotated[str, typer.Option(help="Client id")],
    organization: Annotated[str, typer.Option(help="Organization id; made where missing")],
    scope: Annotated[str, typer.Option(help="SMART v2 scopes")] = "system/*.cruds",
    purpose: Annotated[
        list[str] | None, typer.Option(help="Purpose of use; repeat it, the first is the default")
    ] = None,
    jwks: Annotated[
        Path | None,
        typer.Option(help="File of its public keys, a JWK Set", exists=True, dir_okay=False),
    ] = None,
    jwks_url: Annotated[str | None, typer.Option(help="Where it publishes its public keys")] = None,
    practitioner: Annotated[
        str | None, typer.Option(help="Practitioner id: the client is this person's")
    ] = None,
    patient: Annotated[
        str | None, typer.Option(help="Patient id: the client is this survivor's own app")
    ] = None,
    emergency: Annotated[
        bool, typer.Option("--emergency", help="May ask for emergency access (ETREAT, BTG)")
    ] = False,
    privacy_officer: Annotated[
        bool, typer.Option("--privacy-officer", help="Records Consents for the whole record")
    ] = False,
    openid: Annotated[
        str | None,
        typer.Option(
            help="Issuer of a provider in TL_OPENID_PROVIDERS: people sign in to this app"
        ),
    ] = None,
) -> None:
    """Register a client; prints its secret, once, unless it has keys of its own or people sign in to it."""
    import json

    from app.commands import registration
    from app.commands.databases import with_database
    from app.commands.errors import CommandError
    from app.commands.trust import note

    if jwks is not None and jwks_url is not None:
        raise CommandError("Give either --jwks or --jwks-url.")
    settings = _settings()
    if openid is not None and openid not in {p.issuer for p in settings.openid_providers}:
        raise CommandError("No provider of this issuer is in TL_OPENID_PROVIDERS.")
    try:
        keys = json.loads(jwks.read_text()) if jwks else None
    except ValueError as error:
        raise CommandError(f"{jwks} is no JSON.") from error

    async def work(opened: Database, reached: Reached) -> str | None:
        made = await registration.add_client(
            opened,
            name=name,
            organization_id=organization,
            scope=scope,
            purposes=tuple(purpose or ["TREAT"]),
            jwks=keys,
            jwks_url=jwks_url,
            practitioner_id=practitioner,
            patient_id=patient,
            emergency=emergency,
            privacy_officer=privacy_officer,
            openid_issuer=openid,
        )
        await note(reached, "client-add", name)
        return made

    secret = with_database(settings, work)
    if secret:
        print(secret)


@client_app.command("list")
def client_list() -> None:
    """List the registered clients."""
    from rich.console import Console
    from rich.table import Table

    from app.commands.databases import with_database
    from app.storage.clients import list_clients

    async def work(opened: Database, reached: Reached) -> list[Client]:
        return await list_clients(opened.pool)

    table = Table("client", "proves itself by", "scope", "purposes", "revoked")
    for each in with_database(_settings(), work):
        proof = "keys" if each.jwks else each.jwks_url or each.openid_issuer or "secret"
        revoked = "yes" if each.revoked else ""
        table.add_row(each.client_id, proof, each.scope, " ".join(each.purposes), revoked)
    Console().print(table)


@client_app.command("revoke")
def client_revoke(name: Annotated[str, typer.Option(help="Client id")]) -> None:
    """Revoke a client: it gets no more tokens, and those it has are void at once."""
    from app.commands.databases import with_database
    from app.commands.errors import CommandError
    from app.commands.trust import note
    from app.storage.clients import revoke_client

    async def work(opened: Database, reached: Reached) -> bool:
        revoked = await revoke_client(opened.pool, name)
        if revoked:
            await note(reached, "client-revoke", name)
        return revoked

    if not with_database(_settings(), work):
        raise CommandError("There is no such client to revoke. See: throughline client list")


@app.command()
def token(
    client: Annotated[str, typer.Option(help="Client id")],
    purpose: Annotated[
        str | None, typer.Option(help="Purpose of use; by default the client's first")
    ] = None,
    scope: Annotated[
        str | None, typer.Option(help="SMART v2 scopes; by default all that the client has")
    ] = None,
    emergency_reason: Annotated[
        str | None, typer.Option(help="Why emergency access is needed (ETREAT, BTG)")
    ] = None,
) -> None:
    """Print a bearer token for a client, and nothing else."""
    from app.commands import registration
    from app.commands.databases import with_database
    from app.commands.trust import note
    from app.security.sealing import Seal

    settings = _settings()

    async def work(opened: Database, reached: Reached) -> str:
        made = await registration.token(
            opened,
            reached.base,
            client,
            purpose=purpose,
            scope=scope,
            lifetime=settings.token_lifetime_seconds,
            seal=Seal(settings),
            emergency_reason=emergency_reason,
        )
        await note(reached, "token", client)
        return made

    print(with_database(settings, work))


@audit_app.command("verify")
def audit_verify(
    noted: Annotated[
        list[str] | None,
        typer.Option(help="A head that an earlier run printed (lane:seq:hash); repeat it"),
    ] = None,
) -> None:
    """Compute the audit's hash chain again; prints its heads, or names the first broken link (exit 1)."""
    from app.commands import trust
    from app.commands.errors import CommandError

    found = trust.verify_audit(_settings(), noted or ())
    if found.broken is not None:
        each = found.broken
        raise CommandError(
            f"The audit is broken at lane {each.lane}, row {each.seq} "
            f"({each.recorded:%Y-%m-%d %H:%M:%S} UTC): {each.fault}."
        )
    _notes().print(f"{found.rows} rows verified. Keep these heads elsewhere, for --noted:")
    for head in found.heads:
        print(f"{head.lane}:{head.seq}:{head.hash}")


@keys_app.command("rotate")
def keys_rotate(
    overlap: Annotated[
        int | None,
        typer.Option(help="Seconds that older keys stay good; by default as long as a token"),
    ] = None,
) -> None:
    """Make a new signing key; the old ones stay published until the tokens they signed have expired."""
    from app.commands import trust

    print(trust.rotate_keys(_settings(), overlap))

"""`throughline labels check|apply`: the store labelled by the present tables (docs/consent.md, "Labels").

An interrupted `apply` leaves a note in the state folder of how far it came; the next one goes on from there,
unless tables or database have changed. Neighbour: `app.interactions.relabel`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit

import asyncpg

from app.commands.databases import Reached, database, first_line, state_folder, write_privately
from app.commands.errors import CommandError
from app.commands.reindexing import owner_of
from app.commands.trust import note
from app.interactions.relabel import Change, Place, Walk
from app.settings import Settings
from app.storage import relabelling
from app.storage.reindexing import keeper

Counts = Counter[tuple[str, str, str]]
"""How many versions by (type, what, label)."""

Progress = Callable[[int, int], None]
"""Told how many versions are done, of how many."""

_NOTE: Final = "labels-apply.json"
_TABLES: Final = ("labelling.json", "label-bits.json", "security-labels.json")


def run(settings: Settings, progress: Progress, *, check: bool, report: Path | None) -> Counts:
    """Label the store, or say what would change.

    report: a file, made here with mode 0600, for every change with its ids, one JSON object a line.
    CommandError where that file is there already or the database cannot be reached as its owner.
    """
    with database(settings) as reached:
        kept, tables = settings.state_dir / _NOTE, _tables(reached)
        if not check:
            state_folder(settings)
        start, counts, done = (Place(), Counts(), 0) if check else _resumed(kept, tables)
        resumes = start != Place()

        async def work(file: IO[str] | None) -> None:
            nonlocal done
            async with keeper(owner_of(settings, reached.url)) as connection:
                total = await relabelling.how_many(connection)
                progress(done, total)

                def tell(changes: Sequence[Change]) -> None:
                    counts.update((each.type, each.what, each.label) for each in changes)
                    if file is not None:
                        file.writelines(json.dumps(asdict(each)) + "\n" for each in changes)
                        file.flush()

                def come(further: int, place: Place) -> None:
                    nonlocal done
                    done += further
                    if not check:
                        _keep(kept, tables, place, counts, done)
                    progress(done, max(done, total))

                await Walk(connection, (reached.base,), tell, check).run(come, start)
            if not check:
                kept.unlink(missing_ok=True)
                await note(reached, "labels-apply")

        try:
            with _private(report, resumes=resumes) if report else nullcontext() as file:
                asyncio.run(work(file))
        except (OSError, asyncpg.PostgresError) as error:
            raise CommandError(
                f"The store cannot be labelled: {first_line(error)}. "
                "Set TL_MIGRATION_DATABASE_URL to the role that migrates it."
            ) from error
    return counts


@contextmanager
def _private(path: Path, *, resumes: bool) -> Iterator[IO[str]]:
    """A file that only its owner reads; a run that goes on adds to the one of before."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if resumes else os.O_EXCL)
    try:
        number = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise CommandError(f"{path} is there already: give a new file for the report.") from error
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {first_line(error)}.") from error
    with os.fdopen(number, "w", encoding="utf-8") as file:
        os.fchmod(number, 0o600)
        yield file


def _tables(reached: Reached) -> str:
    """What a note must agree with: the tables, and which database they were put to."""
    where = urlsplit(reached.url)
    found = hashlib.sha256(f"{where.hostname}:{where.port}{where.path}?{where.query}".encode())
    for name in _TABLES:
        found.update((resources.files("app.consent") / "data" / name).read_bytes())
    return found.hexdigest()


def _keep(kept: Path, tables: str, place: Place, counts: Counts, done: int) -> None:
    found = {
        "tables": tables,
        "place": asdict(place),
        "done": done,
        "counts": [[*key, count] for key, count in counts.items()],
    }
    write_privately(kept, json.dumps(found))


def _resumed(kept: Path, tables: str) -> tuple[Place, Counts, int]:
    try:
        found = json.loads(kept.read_text())
        if found["tables"] == tables:
            counts = Counts({(t, what, label): n for t, what, label, n in found["counts"]})
            return Place(**found["place"]), counts, int(found["done"])
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return Place(), Counts(), 0  # a note that cannot be read is no note
    return Place(), Counts(), 0

"""Who gets what from every operation: actor x operation x relation, each operation a golden file.

A new route fails here until its file exists. To add it:

    TL_GOLDEN=write .venv/bin/pytest -n 0 tests/authz     # writes tests/authz/golden/<operation>.txt
    git diff tests/authz/golden                            # read every cell, then commit it with the route

A cell is the status and the relations whose content came out: `200:s` is a 200 that shows the shared record,
`200:seu` one that shows everything. A change of a file is a change of who may see what.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.settings import Settings
from tests.authz import house as cast
from tests.authz.house import ACTORS, MISSING_ID, House
from tests.authz.operations import (
    QUERIES,
    Operation,
    Probe,
    UntoldError,
    operations,
    probe,
    relations,
)
from tests.spine.conftest import World

GOLDEN = Path(__file__).parent / "golden"
EXCEPTIONS = Path(__file__).with_name("exceptions.txt")
MOST_EXCEPTIONS = 0
"""Lower it whenever an exception goes; never raise it."""

HOW = (
    "\nTo add or change rows: TL_GOLDEN=write .venv/bin/pytest -n 0 tests/authz; read the diff of "
    "tests/authz/golden cell by cell, and commit it with the route. A parameter or type that the matrix "
    "does not know is told in tests/authz/operations.py (TYPES, QUERIES, BODIES) or house.py (BUILDERS)."
)


def _file(operation: Operation) -> Path:
    method, path = operation
    name = re.sub(r"[^A-Za-z0-9$._-]+", "-", path).strip("-") or "root"
    tail = "--slash" if path != "/" and path.endswith("/") else ""
    return GOLDEN / f"{name}{tail}.{method}.txt"


async def _send(world: World, asked: Probe, headers: dict[str, str]) -> httpx.Response:
    typed = {"content-type": asked.media} if asked.content is not None else {}
    return await world.http.request(
        asked.method, asked.path, content=asked.content, headers=headers | typed
    )


async def _table(house: House, operation: Operation) -> str:
    columns = relations(operation)
    house.tells.clear()
    lines = [" ".join(operation), f"{'':18}" + "".join(f"{name:<12}" for name in columns)]
    for actor in ACTORS:
        cells = []
        for relation in columns:
            asked = await probe(house, operation, relation)
            cells.append(cast.outcome(house, await _send(house.world, asked, house.headers[actor])))
        lines.append((f"  {actor:<16}" + "".join(f"{cell:<12}" for cell in cells)).rstrip())
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _application() -> FastAPI:
    return create_app(Settings(), "postgresql://nobody@127.0.0.1/nowhere")


def _exceptions() -> set[str]:
    lines = EXCEPTIONS.read_text().splitlines()
    return {line.partition("#")[0].strip() for line in lines if line.partition("#")[0].strip()}


@pytest.mark.timeout(1200)  # some thousand requests, on a machine that does other things too
async def test_each_operation_answers_each_actor_as_its_golden_file_says(house: House) -> None:
    write = os.environ.get("TL_GOLDEN") == "write"
    wrong = []
    for operation in operations(house.world.application):
        if " ".join(operation) in _exceptions():
            continue
        file = _file(operation)
        try:
            table = await _table(house, operation)
        except UntoldError as error:
            wrong.append(f"{' '.join(operation)}: {error}")
            continue
        if write:
            file.write_text(table)
        elif not file.exists():
            wrong.append(f"{' '.join(operation)} has no rows ({file.name})")
        elif file.read_text() != table:
            wrong.append(f"--- {file.name} says\n{file.read_text()}+++ the service says\n{table}")
    assert not wrong, "\n".join(wrong) + HOW


def test_no_golden_file_is_of_an_operation_that_is_gone() -> None:
    known = {_file(operation).name for operation in operations(_application())}
    assert {file.name for file in GOLDEN.iterdir()} <= known, HOW


def test_exceptions_are_operations_that_exist_and_only_become_fewer() -> None:
    known = {" ".join(operation) for operation in operations(_application())}
    assert _exceptions() <= known
    assert len(_exceptions()) <= MOST_EXCEPTIONS


def _plain(answer: httpx.Response, ids: list[str]) -> tuple[int, dict[str, str], str]:
    headers = {k: v for k, v in answer.headers.items() if k not in ("date", "x-request-id")}
    text = answer.text
    for id_ in ids:
        text = text.replace(id_, MISSING_ID)
    text = re.sub(r"_cursor=[^\"&]+", "_cursor=", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)", "<instant>", text)
    text = re.sub(r"urn:uuid:[0-9a-f-]{36}|\"id\": ?\"[0-9a-f-]{36}\"", "<made>", text)
    return answer.status_code, headers, text


def _about_a_person(operation: tuple[str, str]) -> bool:
    return "/Patient/{id}" in operation[1] or "Patient/{patient}" in QUERIES.get(operation, "")


@pytest.mark.timeout(1200)  # some thousand requests, on a machine that does other things too
async def test_what_is_hidden_is_answered_word_for_word_as_what_is_missing(house: House) -> None:
    wrong = []
    for operation in operations(house.world.application):
        if "missing" not in relations(operation) or " ".join(operation) in _exceptions():
            continue
        missing = await probe(house, operation, "missing")
        for actor, relation in (
            ("consented", "excepted"),
            ("consented", "unshared"),
            ("other purpose", "shared"),
            ("unconsented", "shared"),
            ("another's app", "shared"),
            ("clinician", "unshared"),
            ("survivor", "unshared"),
        ):
            hidden = await probe(house, operation, relation)
            ids = [*house.patients.values(), *house.made.values()]
            ids += re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", f"{hidden.path} {hidden.content}")
            if (
                operation[0] in ("POST", "PUT")
                and relation == "excepted"
                and "{id}" not in operation[1]
            ):
                continue  # about Ana, whom Harbor may name: no secret is in the request
            if relation == "excepted" and _about_a_person(operation):
                continue  # Ana herself, whom Harbor may see; the note stays out of what is told of her
            nothing = await _send(house.world, missing, house.headers[actor])
            answer = await _send(house.world, hidden, house.headers[actor])
            if _plain(nothing, ids) != _plain(answer, ids):
                wrong.append(f"{operation} {actor} {relation}: {answer.status_code} {answer.text}")
                wrong.append(f"   missing: {nothing.status_code} {nothing.text}")
    assert not wrong, "\n".join(wrong)

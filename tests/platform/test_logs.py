from __future__ import annotations

import asyncio
import io
import json
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app import logs

ID = "7d7f8f9e-5a55-4e3e-9d53-0d8f6c1f2a10"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged, from debug up; the loggers are as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("debug", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False


def parsed(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def http() -> httpx.AsyncClient:
    application = FastAPI()

    @application.get("/fhir/{type}/{id}")
    def read() -> str:
        return logs.request_id()

    @application.get("/fails")
    def fails() -> None:
        raise KeyError("Marisol")

    transport = httpx.ASGITransport(logs.RequestLog(application), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_a_request_is_logged_by_its_route_without_path_or_query(
    lines: io.StringIO, http: httpx.AsyncClient
) -> None:
    await http.get("/fhir/Patient/marisol?name=Marisol")
    (line,) = [each for each in parsed(lines) if each["message"] == "request"]
    assert line["route"] == "/fhir/{type}/{id}"
    assert (line["method"], line["status"], line["level"]) == ("GET", 200, "debug")
    assert line["milliseconds"] >= 0
    assert "marisol" not in json.dumps(line).lower()


async def test_a_path_that_no_route_serves_is_not_logged(
    lines: io.StringIO, http: httpx.AsyncClient
) -> None:
    await http.get("/Marisol")
    (line,) = [each for each in parsed(lines) if each["message"] == "request"]
    assert (line["route"], line["status"]) == ("unrouted", 404)
    assert "marisol" not in json.dumps(line).lower()


async def test_a_failure_is_logged_as_an_error_with_its_request_id(
    lines: io.StringIO, http: httpx.AsyncClient
) -> None:
    answer = await http.get("/fails", headers={"X-Request-Id": ID})
    assert answer.status_code == 500
    (line,) = [each for each in parsed(lines) if each["message"] == "request"]
    assert (line["level"], line["status"], line["request_id"]) == ("error", 500, ID)


def test_a_new_id_is_a_random_uuid_as_rfc_9562_writes_it() -> None:
    made = {logs.request_id() for _ in range(200)}
    assert len(made) == 200
    for text in made:
        known = uuid.UUID(text)
        assert (str(known), known.version, known.variant) == (text, 4, uuid.RFC_4122)


async def test_a_uuid_of_the_client_is_the_request_id(http: httpx.AsyncClient) -> None:
    answer = await http.get("/fhir/Patient/a", headers={"X-Request-Id": ID})
    assert answer.headers["x-request-id"] == ID
    assert answer.json() == ID
    assert "x-correlation-id" not in answer.headers


async def test_another_id_of_the_client_is_echoed_and_replaced(
    lines: io.StringIO, http: httpx.AsyncClient
) -> None:
    answer = await http.get("/fhir/Patient/a", headers={"X-Request-Id": "for-marisol"})
    assert answer.headers["x-correlation-id"] == "for-marisol"
    assert str(uuid.UUID(answer.headers["x-request-id"])) == answer.json()
    assert "marisol" not in lines.getvalue()


async def test_an_id_that_could_break_a_header_is_not_echoed(http: httpx.AsyncClient) -> None:
    answer = await http.get("/fhir/Patient/a", headers={"X-Request-Id": "a b\tc"})
    assert "x-correlation-id" not in answer.headers
    uuid.UUID(answer.headers["x-request-id"])


async def test_requests_at_the_same_time_keep_their_own_ids(http: httpx.AsyncClient) -> None:
    sent = [str(uuid.uuid4()) for _ in range(20)]
    answers = await asyncio.gather(
        *(http.get("/fhir/Patient/a", headers={"X-Request-Id": each}) for each in sent)
    )
    assert [each.json() for each in answers] == sent


def test_an_exception_is_logged_by_type_and_place_without_its_text(lines: io.StringIO) -> None:
    try:
        try:
            raise KeyError("Marisol")
        except KeyError as error:
            raise ValueError("Key (name)=(Marisol) already exists") from error
    except ValueError:
        logging.getLogger("app.storage").exception("it failed")
    (line,) = parsed(lines)
    assert line["errors"] == ["ValueError", "KeyError"]
    assert any("test_logs.py" in place for place in line["places"])
    assert "Marisol" not in lines.getvalue()


def test_messages_of_other_libraries_lose_their_arguments_and_further_lines(
    lines: io.StringIO,
) -> None:
    logging.getLogger("other").warning("row %s refused", "Marisol")
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: Marisol")
    logging.getLogger("uvicorn.error").info("Uvicorn running on %s", "http://127.0.0.1:8000")
    assert [line["message"] for line in parsed(lines)] == [
        "row %s refused",
        "Task exception was never retrieved",
        "Uvicorn running on http://127.0.0.1:8000",
    ]


def test_lines_of_uvicorn_come_once_and_its_access_lines_never(lines: io.StringIO) -> None:
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler(lines))
    logs.configure("info", lines)
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.access").info("GET /fhir/Patient/marisol")
    logging.getLogger("app").debug("too quiet")
    assert [line["message"] for line in parsed(lines)] == ["started"]

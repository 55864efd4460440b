"""A pytest plugin: nothing that the service logs in the whole suite holds what the suite put into it.

Gathered as it is made, without any help of a test, from every request of httpx: ids in Locations, family
names of bodies, bearer tokens, tokens and client secrets of OAuth forms and answers. Gathered too: every
log record, as the service would write it, and what every served process writes to standard error. At the end of
each worker the two are compared; one word in common fails the run; the report names test and kind, no secret.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

import app
from app.logs import JsonFormatter

_ID = re.compile(r"/fhir/[A-Za-z]+/([A-Za-z0-9.-]{12,64})(?=/|$)")
_FAMILY = re.compile(rb'"family"\s*:\s*"([^"\\]{6,60})"')
_WORD = re.compile(r"[\w-]{6,}")
_SECRET_FIELDS = frozenset({"client_secret", "refresh_token", "code", "code_verifier", "token"})
_ANSWERED = ("access_token", "refresh_token", "id_token")
_LONGEST_BODY = 200_000
_SHORTEST_SECRET = 16
_CHATTY = ("httpcore", "httpx", "hypothesis")


@dataclass
class Silence:
    """What one process of the suite has put in, and what it has seen logged."""

    secrets: dict[str, str] = field(default_factory=dict)
    """Word to its kind."""

    logged: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Word to the test and the line in which it first stood."""

    records: list[logging.LogRecord] = field(default_factory=list)
    lines: int = 0
    test: str = "before the first test"

    def keep(self, kind: str, text: str) -> None:
        """Remember a secret: each of its words, since a token's parts are as telling as the whole."""
        for word in _WORD.findall(text):
            self.secrets.setdefault(word, kind)

    def heard(self, lines: Iterable[str]) -> None:
        """Take in lines that were logged."""
        for line in lines:
            self.lines += 1
            for word in _WORD.findall(line):
                self.logged.setdefault(word, (self.test, line))

    def flush(self) -> None:
        """Write what was logged as the service would, and take it in."""
        formatter = JsonFormatter()
        records, self.records = self.records, []
        for record in records:
            # A record with a wrong number of arguments is the logging module's to complain about.
            with suppress(TypeError, ValueError):
                self.heard(formatter.format(record).splitlines())

    def sent(self, request: httpx.Request) -> None:
        """Remember what a request carries."""
        bearer = request.headers.get("authorization", "")
        if bearer.startswith("Bearer "):
            self._token(bearer[7:])
        body = request.content if hasattr(request, "_content") else b""
        if not body or len(body) > _LONGEST_BODY:
            return
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            for name, value in parse_qsl(body.decode("utf-8", "replace")):
                if name in _SECRET_FIELDS and len(value) >= _SHORTEST_SECRET:
                    self._token(value)
        elif b'"family"' in body:
            for name in _FAMILY.findall(body):
                self.keep("name", name.decode("utf-8", "replace"))

    def answered(self, answer: httpx.Response) -> None:
        """Remember what an answer hands out."""
        place = answer.headers.get("location", "")
        for id_ in _ID.findall(place.partition("?")[0]):
            self.secrets.setdefault(id_, "identifier")
        if "/oauth/" in answer.request.url.path and hasattr(answer, "_content"):
            try:
                told = answer.json()
            except ValueError:
                return
            for name in _ANSWERED:
                if isinstance(told, dict) and isinstance(told.get(name), str):
                    self._token(told[name])

    def _token(self, text: str) -> None:
        # The first part of a JWT is its header, which tells of nobody and is the same for all.
        for part in text.split(".")[1:] if text.count(".") == 2 else [text]:
            if len(part) >= _SHORTEST_SECRET:
                self.secrets.setdefault(part, "token or secret")

    def leaks(self) -> list[str]:
        """A line for each secret that was logged, without the secret."""
        self.flush()
        found = []
        own: frozenset[str] | None = None
        for word in self.secrets.keys() & self.logged.keys():
            if self.secrets[word] == "name":
                # Some tests name a person as the code names a thing: such a word tells of nobody.
                own = _words_of_the_code() if own is None else own
                if word in own:
                    continue
            test, line = self.logged[word]
            shown = line.replace(word, "…").strip()[:300]
            found.append(f"{test}: a log line holds a {self.secrets[word]}: {shown}")
        return sorted(found)


def _words_of_the_code() -> frozenset[str]:
    files = Path(app.__path__[0]).rglob("*.py")
    return frozenset(word for file in files for word in _WORD.findall(file.read_text()))


SILENCE = Silence()
_FOUND: list[str] = []
_BEFORE: list[Any] = []


def pytest_sessionstart(session: pytest.Session) -> None:
    """Listen: a record is seen as it is made, whatever handlers a test puts in place."""
    make = logging.getLogRecordFactory()

    def seen(*arguments: Any, **more: Any) -> logging.LogRecord:
        record = make(*arguments, **more)
        SILENCE.records.append(record)
        return record

    send, send_async = httpx.Client.send, httpx.AsyncClient.send

    def sending(client: httpx.Client, request: httpx.Request, **more: Any) -> httpx.Response:
        SILENCE.sent(request)
        answer = send(client, request, **more)
        SILENCE.answered(answer)
        return answer

    async def sending_async(
        client: httpx.AsyncClient, request: httpx.Request, **more: Any
    ) -> httpx.Response:
        SILENCE.sent(request)
        answer = await send_async(client, request, **more)
        SILENCE.answered(answer)
        return answer

    _BEFORE[:] = [make, send, send_async]
    logging.setLogRecordFactory(seen)
    httpx.Client.send = sending  # type: ignore[method-assign,assignment]
    httpx.AsyncClient.send = sending_async  # type: ignore[method-assign,assignment]
    # On the root alone: a test that sets levels of its own finds the service's loggers as they are.
    logging.getLogger().setLevel(logging.DEBUG)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Say which test it is, and format what it logged while its exceptions are at hand."""
    SILENCE.test = item.nodeid
    try:
        return (yield)
    finally:
        SILENCE.flush()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Compare; a worker of pytest-xdist hands what it found to the process that reports."""
    if _BEFORE:
        logging.setLogRecordFactory(_BEFORE[0])
        httpx.Client.send = _BEFORE[1]  # type: ignore[method-assign]
        httpx.AsyncClient.send = _BEFORE[2]  # type: ignore[method-assign]
        _BEFORE.clear()
    leaks = SILENCE.leaks()
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["leaks"] = json.dumps(leaks)
        return
    _FOUND.extend(leaks)
    if _FOUND:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take what a worker found."""
    _FOUND.extend(json.loads(getattr(node, "workeroutput", {}).get("leaks", "[]")))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tell."""
    if _FOUND:
        terminalreporter.section("the service's logs hold what was put into it", red=True)
        for line in _FOUND[:50]:
            terminalreporter.write_line(line)

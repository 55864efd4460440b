"""The answers that the OpenAPI document shows are those of the demo (tools/openapi/answers.json).

What differs from one run to the next has stand-ins: ids and instants that the service makes, cursors, tokens
and keys. `TL_GOLDEN=write` writes the file anew.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, Final

import httpx

from app.commands import registration
from tests.demo.asks import ASKS, FORM, Ask, filled
from tests.demo.conftest import Service
from tools.openapi import shown

Json = dict[str, Any]

HOW: Final = (
    "\nRead the difference; if it is meant: TL_GOLDEN=write .venv/bin/pytest -n 0 "
    "tests/demo/test_shown_answers.py && make openapi"
)
_INSTANT: Final = "2026-03-01T09:30:00.000000Z"
_UUID: Final = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_MADE_NOW: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
_CURSOR: Final = re.compile(r"_cursor=[\w%-]+")
_JWT: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_OF_KEYS: Final = {"x": "of-this-key", "y": "of-this-key", "kid": "of-this-key"}
_OF_TOKENS: Final = {"jti": "of-this-token", "iat": 1772357400, "exp": 1772358300}


class Mask:
    """Puts stand-ins in the place of what the service makes up: the same for the same, in order."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    def __call__(self, value: Any) -> Any:
        text = _UUID.sub(self._id, json.dumps(value, ensure_ascii=False))
        text = _CURSOR.sub("_cursor=of-this-page", _MADE_NOW.sub(_INSTANT, text))
        text = _JWT.sub("header.payload.signature", text)
        made: Any = json.loads(text, object_hook=_without_keys)
        return made

    def _id(self, found: re.Match[str]) -> str:
        return self._ids.setdefault(found[0], f"00000000-0000-4000-8000-{len(self._ids) + 1:012d}")


def _without_keys(held: Json) -> Json:
    masked = (_OF_KEYS if "kty" in held else {}) | (_OF_TOKENS if "jti" in held else {})
    return held | {name: each for name, each in masked.items() if name in held}


async def _asked(service: Service, ask: Ask, known: dict[str, str]) -> httpx.Response:
    headers = {"Content-Type": ask.media} if ask.body is not None else {}
    if ask.client:
        bearer = await service.demo.token(ask.client, ask.purpose)
        headers["Authorization"] = f"Bearer {bearer}"
    form = ask.media == FORM and ask.body is not None
    return await service.http.request(
        ask.operation.partition(" ")[0].upper() or "POST",
        filled(ask.path, known),
        headers=headers,
        data={n: filled(v, known) for n, v in (ask.body or {}).items()} if form else None,
        content=json.dumps(ask.body) if ask.body is not None and not form else None,
    )


def _made(answer: Json) -> str:
    """The id or the token that is answered; of a Bundle, the id of its first resource."""
    if "entry" in answer:
        answer = answer["entry"][0]["resource"]
    return str(answer.get("access_token") or answer["id"])


async def _answers(service: Service) -> Json:
    """By operation: the request, and what the demo answers."""
    secret = await registration.add_client(
        service.demo.opened,
        name="demo-kiosk",
        organization_id="river-clinic",
        scope="system/*.rs",
        purposes=("COC",),
    )
    known, mask, found = {"secret": secret or ""}, Mask(), {}
    for ask in ASKS:
        answer = await _asked(service, ask, known)
        assert answer.status_code in (200, 201), (ask.operation, ask.path, answer.text)
        if ask.made:
            known[ask.made] = _made(answer.json())
        if ask.operation:
            request = {"path": filled(ask.path, known), "media": ask.media, "body": ask.body}
            asker = {"client": ask.client, "purpose": ask.purpose} if ask.client else {}
            found[ask.operation] = mask(
                asker
                | {name: each for name, each in request.items() if ask.body or name == "path"}
                | {"status": str(answer.status_code), "answer": ask.keep(answer.json())}
            )
    return found


async def test_the_demo_answers_what_the_document_shows(service: Service) -> None:
    found = await _answers(service)
    if os.environ.get("TL_GOLDEN") == "write":
        shown.FILE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    told = shown.answers()
    wrong = [name for name in found.keys() | told.keys() if found.get(name) != told.get(name)]
    differences = [
        f"{name}\n--- shown\n{json.dumps(told.get(name))}\n+++ answered\n{json.dumps(found.get(name))}"
        for name in sorted(wrong)
    ]
    assert not wrong, "\n".join(differences) + HOW


def test_no_token_secret_or_key_is_shown() -> None:
    text = shown.FILE.read_text()
    assert not _JWT.search(text)
    assert set(_CURSOR.findall(text)) == {"_cursor=of-this-page"}
    assert {each["x"] for each in shown.answers()["get /oauth/jwks"]["answer"]["keys"]} == {
        "of-this-key"
    }
    secrets = {
        each["body"]["client_secret"]
        for each in shown.answers().values()
        if "client_secret" in each.get("body", {})
    }
    assert secrets == {"<secret>"}

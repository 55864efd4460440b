"""The token endpoint to the letter of RFC 6749, RFC 7523 and SMART Backend Services."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import asyncpg
import httpx
import pytest
from jose import jwt

from app.security.fetching import may_be_fetched
from app.security.keysets import KeySets
from tests.security.conftest import KeyPair, add_client, by_assertion
from tests.spine.conftest import AGENCIES, World

RIVER = AGENCIES[0]


@pytest.fixture(scope="module")
def rsa_pair() -> KeyPair:
    return KeyPair("RS384")


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
async def test_a_client_proves_itself_with_its_key(
    world_of_tokens: World, rsa_pair: KeyPair, algorithm: str
) -> None:
    pair = rsa_pair if algorithm == "RS384" else KeyPair(algorithm)
    name = f"keyed-{algorithm}"
    assert await add_client(world_of_tokens, name, jwks={"keys": [pair.public]}) is None
    answer = await world_of_tokens.http.post(
        "/oauth/token", data=by_assertion(pair.assertion(name))
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["token_type"], body["expires_in"], body["scope"]) == (
        "bearer",
        900,
        "system/*.cruds",
    )


def _symmetric(pair: KeyPair) -> str:
    good = jwt.get_unverified_claims(pair.assertion("keyed"))
    text: str = jwt.encode(good, "secret", algorithm="HS384", headers={"kid": pair.kid})
    return text


REFUSED: dict[str, Callable[[KeyPair], str]] = {
    "valid for more than five minutes": lambda p: p.assertion("keyed", exp=int(time.time()) + 600),
    "expired beyond the skew": lambda p: p.assertion("keyed", exp=int(time.time()) - 60),
    "not yet valid": lambda p: p.assertion("keyed", nbf=int(time.time()) + 60),
    "issued in the future": lambda p: p.assertion("keyed", iat=int(time.time()) + 60),
    "no expiry": lambda p: p.assertion("keyed", exp=None),
    "an expiry that is text": lambda p: p.assertion("keyed", exp="soon"),
    "no id": lambda p: p.assertion("keyed", jti=None),
    "an id that is endless": lambda p: p.assertion("keyed", jti="x" * 300),
    "another audience": lambda p: p.assertion("keyed", aud="https://elsewhere.example/token"),
    "no audience": lambda p: p.assertion("keyed", aud=None),
    "another issuer": lambda p: p.assertion("keyed", iss="river-clinic"),
    "another client's name": lambda p: p.assertion("river-clinic"),
    "a client that is not there": lambda p: p.assertion("nobody"),
    "an unknown kid": lambda p: p.assertion("keyed", headers={"kid": "other"}),
    "a key set address that is not registered": lambda p: p.assertion(
        "keyed", headers={"jku": "https://elsewhere.example/jwks"}
    ),
    "another key under the kid": lambda p: KeyPair("ES384", kid=p.kid).assertion("keyed"),
    "a symmetric algorithm": _symmetric,
    "an extension that must be understood": lambda p: p.assertion("keyed", headers={"crit": ["x"]}),
    "no JWT": lambda _: "abc",
}


@pytest.fixture(scope="module")
async def keyed(world_of_tokens: World) -> KeyPair:
    pair = KeyPair("ES384")
    await add_client(world_of_tokens, "keyed", jwks={"keys": [pair.public]})
    return pair


@pytest.mark.parametrize("kind", REFUSED)
async def test_an_assertion_that_is_not_exactly_right_is_refused(
    world_of_tokens: World, keyed: KeyPair, kind: str
) -> None:
    answer = await world_of_tokens.http.post(
        "/oauth/token", data=by_assertion(REFUSED[kind](keyed))
    )
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_clock_a_little_fast_or_slow_is_forgiven(
    world_of_tokens: World, keyed: KeyPair
) -> None:
    now = int(time.time())
    fast = keyed.assertion("keyed", iat=now + 5, exp=now + 305)
    for assertion in (fast, keyed.assertion("keyed", exp=now - 5)):
        form = by_assertion(assertion)
        assert (await world_of_tokens.http.post("/oauth/token", data=form)).status_code == 200


async def test_an_assertion_is_good_once_across_all_processes(
    world: World, second: httpx.AsyncClient
) -> None:
    pair = KeyPair("ES384")
    await add_client(world, "keyed", jwks={"keys": [pair.public]})
    form = by_assertion(pair.assertion("keyed"))
    assert (await world.http.post("/oauth/token", data=form)).status_code == 200
    for http in (world.http, second):
        assert (await http.post("/oauth/token", data=form)).status_code == 401


class Publisher:
    """A client's web server: publishes whatever key set it has at the moment, and counts the visits."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.visits = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.visits += 1
        status, headers, body = 200, [(b"content-type", b"application/json")], b""
        match scope["path"]:
            case "/jwks":
                body = httpx.Response(200, json={"keys": self.keys}).content
            case "/moved":
                status, headers = 302, [(b"location", b"http://169.254.169.254/jwks")]
            case "/endless":
                body = b'{"keys": [' + b" " * 300_000 + b"]}"
            case _:
                body = b"<html>"
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def test_keys_by_url_are_cached_and_fetched_again_for_an_unknown_kid_but_not_at_will(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher()
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app=publisher))
    world.service.key_sets = KeySets(http)
    old, new = KeyPair("ES384"), KeyPair("ES384")
    publisher.keys = [old.public, {"kty": "oct", "kid": "symmetric", "k": "c2VjcmV0"}]
    await add_client(world, "keyed", jwks_url="https://keys.example/jwks")

    async def status(pair: KeyPair) -> int:
        form = by_assertion(pair.assertion("keyed"))
        return (await world.http.post("/oauth/token", data=form)).status_code

    assert [await status(old), await status(old), publisher.visits] == [200, 200, 1]
    publisher.keys = [new.public]
    for _ in range(3):
        assert await status(new) == 401
    assert publisher.visits == 1, "an unknown kid must not make us fetch at will"
    monkeypatch.setattr("app.security.keysets._AGAIN_SECONDS", 0.0)
    assert [await status(new), publisher.visits] == [200, 2]
    assert await status(old) == 401
    await http.aclose()


@pytest.mark.parametrize("path", ["moved", "endless", "page"])
async def test_a_key_set_that_moves_or_has_no_end_or_is_none_is_not_taken(
    world: World, path: str
) -> None:
    publisher = Publisher()
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app=publisher))
    world.service.key_sets = KeySets(http)
    await add_client(world, "keyed", jwks_url=f"https://keys.example/{path}")
    form = by_assertion(KeyPair("ES384").assertion("keyed"))
    assert (await world.http.post("/oauth/token", data=form)).status_code == 401
    assert publisher.visits == 1, "a redirect is not followed"
    await http.aclose()


def test_keys_are_fetched_over_https_but_for_loopback() -> None:
    assert may_be_fetched("https://keys.example/jwks")
    assert may_be_fetched("http://127.0.0.1:9000/jwks")
    assert may_be_fetched("http://[::1]/jwks")
    for url in (
        "http://keys.example/jwks",
        "http://10.0.0.1/jwks",
        "http://127.0.0.1.example/jwks",
        "https://user:word@keys.example/jwks",
        "file:///etc/passwd",
        "ftp://keys.example/jwks",
        "https:///jwks",
    ):
        assert not may_be_fetched(url), url


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "unsupported_grant_type"),
        ({"scope": "system/*.cruds system/Rubbish"}, "invalid_scope"),
        ({"scope": "patient/*.everything"}, "invalid_scope"),
        ({"purpose_of_use": "HRESCH"}, "invalid_request"),
        ({"purpose_of_use": "ETREAT"}, "invalid_request"),
        ({"purpose_of_use": "ETREAT", "emergency_reason": "  "}, "invalid_request"),
        ({"purpose_of_use": "ETREAT", "emergency_reason": "x" * 1001}, "invalid_request"),
    ],
)
async def test_what_a_client_may_not_ask_for_is_refused_by_name(
    world_of_tokens: World, change: dict[str, str], error: str
) -> None:
    answer = await world_of_tokens.token(RIVER, **change)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_the_form_is_read_to_the_letter(world_of_tokens: World) -> None:
    http = world_of_tokens.http
    form = "application/x-www-form-urlencoded"
    secret = f"client_id={RIVER}&client_secret={world_of_tokens.secrets[RIVER]}"
    twice = f"grant_type=client_credentials&grant_type=client_credentials&{secret}"
    for media, body, status in (
        ("application/json", "{}", 400),
        (form, twice, 400),
        (form, f"grant_type=client_credentials&{secret}&x={'y' * 70_000}", 413),
    ):
        answer = await http.post("/oauth/token", content=body, headers={"content-type": media})
        assert (answer.status_code, answer.json()["error"]) == (status, "invalid_request")
    both = await http.post(
        "/oauth/token",
        content=f"grant_type=client_credentials&{secret}",
        headers={"content-type": form},
        params={},
        auth=httpx.BasicAuth(RIVER, world_of_tokens.secrets[RIVER]),
    )
    assert both.json()["error"] == "invalid_request"


async def test_a_secret_may_be_sent_as_basic_and_a_wrong_one_is_one_answer(
    world_of_tokens: World,
) -> None:
    http, form = world_of_tokens.http, {"grant_type": "client_credentials"}
    good = httpx.BasicAuth(RIVER, world_of_tokens.secrets[RIVER])
    assert (await http.post("/oauth/token", data=form, auth=good)).status_code == 200
    answers = [
        await http.post("/oauth/token", data=form, auth=httpx.BasicAuth(*pair))
        for pair in ((RIVER, "guessed"), ("nobody", "guessed"), ("", ""))
    ]
    assert {(a.status_code, a.text) for a in answers} == {(401, answers[0].text)}
    assert answers[0].headers["www-authenticate"].startswith("Basic")


async def test_an_emergency_token_lives_for_fifteen_minutes_at_most_and_is_audited_on_its_own(
    world: World, owner: asyncpg.Connection
) -> None:
    world.service.settings = world.service.settings.model_copy(
        update={"token_lifetime_seconds": 7200}
    )
    form = {"purpose_of_use": "ETREAT", "emergency_reason": "found unconscious"}
    answer = await world.token(RIVER, **form)
    assert answer.json()["expires_in"] == 900
    claims = jwt.get_unverified_claims(answer.json()["access_token"])
    assert claims["exp"] - claims["iat"] <= 900
    row = await owner.fetchrow(
        "SELECT * FROM tl.audit_event WHERE interaction = 'emergency-token' AND client_id = $1",
        RIVER,
    )
    assert row is not None
    assert (row["purpose"], row["emergency_reason"]) == ("ETREAT", "found unconscious")
    assert (await world.token(RIVER)).json()["expires_in"] == 7200


async def test_the_smart_configuration_tells_what_is_there(world_of_tokens: World) -> None:
    http = world_of_tokens.http
    found = (await http.get("/fhir/.well-known/smart-configuration")).json()
    assert found == (await http.get("/.well-known/smart-configuration")).json()
    for name in ("token_endpoint", "introspection_endpoint", "revocation_endpoint"):
        path = found[name].removeprefix(found["issuer"])
        assert (await http.post(path)).status_code in (400, 401), name
    keys = (await http.get(found["jwks_uri"].removeprefix(found["issuer"]))).json()["keys"]
    assert {(key["kty"], key["crv"], key["alg"], key["use"]) for key in keys} == {
        ("EC", "P-384", "ES384", "sig")
    }
    assert found["grant_types_supported"] == ["client_credentials"]
    assert "authorization_endpoint" not in found
    assert "none" not in found["token_endpoint_auth_methods_supported"]

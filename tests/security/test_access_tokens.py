"""Which bearer tokens are taken: everything but a good one of ours is a 401 that says so, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import asyncpg
import httpx
import pytest
from jose import jwt
from psycopg import sql

from app.security.keys import rotate_keys
from app.security.sealing import Seal
from app.storage.clients import revoke_client
from tests.conftest import Cluster
from tests.security.conftest import KeyPair, within_a_second
from tests.spine.conftest import AGENCIES, World

RIVER = AGENCIES[0]


def _claims(world: World) -> dict[str, Any]:
    token = world[RIVER].headers["Authorization"].removeprefix("Bearer ")
    return dict(jwt.get_unverified_claims(token))


def _signed(
    world: World, *, drop: str = "", headers: dict[str, Any] | None = None, **more: Any
) -> str:
    """A token that our own key signed, with other claims."""
    key = world.service.trust.keys.signing()
    claims = {k: v for k, v in (_claims(world) | more).items() if k != drop}
    head = {"kid": key.kid, "typ": "at+jwt"} | (headers or {})
    signed: str = jwt.encode(claims, key.private_pem, algorithm="ES384", headers=head)
    return signed


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unsigned(world: World, algorithm: str) -> str:
    head = {"alg": algorithm, "typ": "at+jwt", "kid": world.service.trust.keys.signing().kid}
    return f"{_b64(json.dumps(head).encode())}.{_b64(json.dumps(_claims(world)).encode())}."


def _confused(world: World, algorithm: str, digest: str) -> str:
    """Signed with HMAC, the public key as its secret: for verifiers that believe the header."""
    text = _unsigned(world, algorithm).rstrip(".")
    key = world.service.trust.keys.signing()
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    public = load_pem_private_key(key.private_pem.encode(), None).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return f"{text}.{_b64(hmac.new(pem, text.encode(), getattr(hashlib, digest)).digest())}"


def _foreign(world: World, **headers: Any) -> str:
    pair = KeyPair("ES384")
    kid = world.service.trust.keys.signing().kid
    signed: str = jwt.encode(
        _claims(world), pair.pem, algorithm="ES384", headers={"kid": kid, "typ": "at+jwt"} | headers
    )
    return signed


REFUSED: dict[str, Callable[[World], str]] = {
    "algorithm none": lambda w: _unsigned(w, "none"),
    "algorithm None": lambda w: _unsigned(w, "None"),
    "no signature": lambda w: _unsigned(w, "ES384"),
    "HS256 by the public key": lambda w: _confused(w, "HS256", "sha256"),
    "HS384 by the public key": lambda w: _confused(w, "HS384", "sha384"),
    "another key under our kid": _foreign,
    "a key of its own in the header": lambda w: _foreign(w, jwk=KeyPair("ES384").public),
    "a kid that is a path": lambda w: _foreign(w, kid="../../dev/null"),
    "a kid that is SQL": lambda w: _foreign(w, kid="' OR 1=1 --"),
    "a kid that is a number": lambda w: _signed(w, headers={"kid": 7}),
    "no kid": lambda w: _signed(w, headers={"kid": None}),
    "wrong issuer": lambda w: _signed(w, iss="https://elsewhere.example"),
    "no issuer": lambda w: _signed(w, drop="iss"),
    "wrong audience": lambda w: _signed(w, aud="https://elsewhere.example"),
    "no audience": lambda w: _signed(w, drop="aud"),
    "expired": lambda w: _signed(w, exp=int(time.time()) - 1),
    "no expiry": lambda w: _signed(w, drop="exp"),
    "not yet valid": lambda w: _signed(w, nbf=int(time.time()) + 60),
    "no id": lambda w: _signed(w, drop="jti"),
    "no organization": lambda w: _signed(w, drop="org"),
    "an unknown purpose": lambda w: _signed(w, purpose_of_use="SNOOPING"),
    "not typed as an access token": lambda w: _signed(w, headers={"typ": "JWT"}),
    "an extension that must be understood": lambda w: _signed(w, headers={"crit": ["b64"]}),
    "no JWT": lambda w: "abc",
    "an empty token": lambda w: "",
    "bytes that are no text": lambda w: "é.é.é",
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_token_that_is_not_ours_or_not_good_now_is_refused(
    world_of_tokens: World, kind: str
) -> None:
    token = REFUSED[kind](world_of_tokens)
    answer = await world_of_tokens.http.get(
        "/fhir/Patient", headers={b"Authorization": f"Bearer {token}".encode()}
    )
    assert answer.status_code == 401, answer.text
    assert answer.headers["www-authenticate"].startswith('Bearer realm="throughline"')
    assert answer.json()["issue"][0]["code"] == "login"
    assert not token or token not in answer.text


async def test_the_same_claims_with_our_signature_are_taken(world_of_tokens: World) -> None:
    headers = {"Authorization": f"Bearer {_signed(world_of_tokens)}"}
    assert (await world_of_tokens.http.get("/fhir/Patient", headers=headers)).status_code == 200


async def test_a_token_known_already_is_refused_once_it_has_expired(
    world_of_tokens: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of_tokens
    headers = {"Authorization": f"Bearer {_signed(world)}"}
    assert (await world.http.get("/fhir/Patient", headers=headers)).status_code == 200
    later = time.time() + 3600
    monkeypatch.setattr("app.clock.now", lambda: later)
    assert (await world.http.get("/fhir/Patient", headers=headers)).status_code == 401


async def test_a_revoked_token_dies_in_every_process_within_a_second(
    world: World, second: httpx.AsyncClient
) -> None:
    answer = await world.token(RIVER)
    token = answer.json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    for http in (world.http, second):
        assert (await http.get("/fhir/Patient", headers=headers)).status_code == 200
    form = {"token": token, "client_id": RIVER, "client_secret": world.secrets[RIVER]}
    assert (await second.post("/oauth/revoke", data=form)).status_code == 200
    assert (await second.get("/fhir/Patient", headers=headers)).status_code == 401

    async def dead() -> bool:
        return (await world.http.get("/fhir/Patient", headers=headers)).status_code == 401

    await within_a_second(dead)
    # Only that token: the client has others.
    assert (await world[RIVER].get("/Patient")).status_code == 200


async def test_the_tokens_of_a_revoked_client_die_in_every_process_within_a_second(
    world: World, second: httpx.AsyncClient
) -> None:
    headers = world[RIVER].headers
    for http in (world.http, second):
        assert (await http.get("/fhir/Patient", headers=headers)).status_code == 200
    await revoke_client(world.service.database.pool, RIVER)

    for http in (world.http, second):

        async def dead(http: httpx.AsyncClient = http) -> bool:
            return (await http.get("/fhir/Patient", headers=headers)).status_code == 401

        await within_a_second(dead)
    assert (await world.token(RIVER)).status_code == 401


async def test_a_process_that_may_have_missed_a_revocation_trusts_no_token(
    world: World, owner: asyncpg.Connection, cluster: Cluster
) -> None:
    assert (await world[RIVER].get("/Patient")).status_code == 200
    name = sql.Identifier(world.database.name)
    cluster.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'throughline notices' AND datname = current_database()"
    )

    async def distrusts() -> bool:
        return (await world[RIVER].get("/Patient")).status_code == 503

    async def trusts_again() -> bool:
        return (await world[RIVER].get("/Patient")).status_code == 200

    await within_a_second(distrusts)
    await owner.execute("UPDATE tl.client SET revoked_at = now() WHERE client_id = $1", AGENCIES[1])
    assert (await world[AGENCIES[1]].get("/Patient")).status_code == 503
    cluster.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
    await within_a_second(trusts_again)
    assert (await world[AGENCIES[1]].get("/Patient")).status_code == 401


async def test_keys_are_replaced_with_an_overlap_in_every_process(
    world: World, second: httpx.AsyncClient
) -> None:
    before = (await second.get("/oauth/jwks")).json()["keys"]
    kid = await rotate_keys(world.service.database.pool, 900, Seal(world.service.settings))

    for http in (world.http, second):

        async def published(http: httpx.AsyncClient = http) -> bool:
            keys = (await http.get("/oauth/jwks")).json()["keys"]
            return [key["kid"] for key in keys] == [kid, *(key["kid"] for key in before)]

        await within_a_second(published)
    keys = world.service.trust.keys
    assert keys.signing().kid == before[0]["kid"], (
        "nobody signs with a key that others may not know"
    )
    assert keys.signing(time.time() + 6).kid == kid
    assert (await world[RIVER].get("/Patient")).status_code == 200
    assert "d" not in keys.rows[0].public_jwk


async def test_a_key_whose_overlap_has_ended_verifies_nothing(
    world: World, second: httpx.AsyncClient
) -> None:
    await rotate_keys(world.service.database.pool, 0, Seal(world.service.settings))

    async def dead() -> bool:
        headers = world[RIVER].headers
        return (await second.get("/fhir/Patient", headers=headers)).status_code == 401

    await within_a_second(dead)


async def test_a_token_known_already_is_good_no_longer_than_its_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid = await rotate_keys(world.service.database.pool, 60, Seal(world.service.settings))

    async def heard() -> bool:
        return world.service.trust.keys.rows[0].kid == kid

    await within_a_second(heard)
    assert (await world[RIVER].get("/Patient")).status_code == 200
    later = time.time() + 61
    monkeypatch.setattr("app.clock.now", lambda: later)
    assert (await world[RIVER].get("/Patient")).status_code == 401
    published = (await world.http.get("/oauth/jwks")).json()["keys"]
    assert [key["kid"] for key in published] == [kid]


async def test_introspection_tells_a_client_about_its_own_tokens_only(world: World) -> None:
    token = world[RIVER].headers["Authorization"].removeprefix("Bearer ")

    async def asked_by(name: str, text: str) -> dict[str, Any]:
        form = {"token": text, "client_id": name, "client_secret": world.secrets[name]}
        answer = await world.http.post("/oauth/introspect", data=form)
        assert answer.status_code == 200
        return dict(answer.json())

    said = await asked_by(RIVER, token)
    assert said["active"] is True
    assert (said["client_id"], said["scope"], said["purpose_of_use"]) == (
        RIVER,
        "system/*.cruds",
        "TREAT",
    )
    assert await asked_by(AGENCIES[1], token) == {"active": False}
    assert await asked_by(RIVER, "rubbish") == {"active": False}
    form = {"token": token, "client_id": RIVER, "client_secret": "guessed"}
    assert (await world.http.post("/oauth/introspect", data=form)).status_code == 401


async def test_a_client_cannot_revoke_the_token_of_another(world: World) -> None:
    token = world[RIVER].headers["Authorization"].removeprefix("Bearer ")
    form = {"token": token, "client_id": AGENCIES[1], "client_secret": world.secrets[AGENCIES[1]]}
    answer = await world.http.post("/oauth/revoke", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await world[RIVER].get("/Patient")).status_code == 200
    rubbish = await world.http.post("/oauth/revoke", data=form | {"token": "rubbish"})
    assert rubbish.status_code == 200

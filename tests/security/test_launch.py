"""A survivor's own app, launched as the app does it: discovery, sign-in with PKCE, tokens, the record."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
import pytest
from jose import jwt

from app.security.tokens import mint
from app.storage.clients import find_client
from tests.conftest import Database
from tests.security.signing_in import (
    AUDIENCE,
    CALLBACK,
    ISSUER,
    LEGAL,
    RIVER,
    SigningIn,
    open_signing_in,
)

SCOPE = "launch/patient openid fhirUser offline_access patient/*.rs"


@pytest.fixture
async def signing_in(database: Callable[[], Database], tmp_path: Path) -> AsyncIterator[SigningIn]:
    async with open_signing_in(database(), tmp_path) as opened:
        opened.provider.signed_in = "ana"
        yield opened


@dataclass
class OwnApp:
    """A public app on a telephone: it knows the FHIR base and its client id, and keeps no secret."""

    server: httpx.AsyncClient
    browser: httpx.AsyncClient
    client_id: str = "ana-app"
    verifier: str = ""

    async def configuration(self) -> dict[str, Any]:
        answer = await self.server.get("/fhir/.well-known/smart-configuration")
        return dict(answer.json())

    async def code(self, scope: str = SCOPE) -> str:
        """Send the person to sign in; the code that comes back to the app's own address."""
        told = await self.configuration()
        assert "S256" in told["code_challenge_methods_supported"]
        self.verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(12)
        digest = hashlib.sha256(self.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": CALLBACK,
            "scope": scope,
            "state": state,
            "aud": AUDIENCE,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        sent = await self.browser.get(told["authorization_endpoint"], params=asked)
        assert sent.status_code == 302, sent.text
        back = urlsplit(sent.headers["location"])
        assert f"{back.scheme}://{back.netloc}{back.path}" == CALLBACK
        answered = parse_qs(back.query)
        assert answered["state"] == [state]
        return answered["code"][0]

    async def redeem(self, received: str, **more: str) -> httpx.Response:
        endpoint = (await self.configuration())["token_endpoint"]
        form = {
            "grant_type": "authorization_code",
            "code": received,
            "redirect_uri": CALLBACK,
            "code_verifier": self.verifier,
            "client_id": self.client_id,
        } | more
        return await self.server.post(urlsplit(endpoint).path, data=form)

    async def refresh(self, token: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": self.client_id}
        return await self.server.post("/oauth/token", data=form)


@pytest.fixture
async def app(signing_in: SigningIn) -> AsyncIterator[OwnApp]:
    async with signing_in.provider.connect() as browser:
        yield OwnApp(signing_in.world.http, browser)


async def test_a_survivor_launches_the_own_app_reads_the_record_stays_signed_in_and_signs_out(
    signing_in: SigningIn, app: OwnApp
) -> None:
    told = await app.configuration()
    assert told["authorization_endpoint"] == f"{ISSUER}/authorize"
    assert (told["issuer"], told["jwks_uri"]) == (ISSUER, f"{ISSUER}/jwks")
    assert {"launch-standalone", "client-public", "context-standalone-patient"} <= set(
        told["capabilities"]
    )
    assert {"permission-patient", "permission-v2", "permission-offline"} <= set(
        told["capabilities"]
    )
    assert "authorization_code" in told["grant_types_supported"]

    answer = await app.redeem(await app.code())
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    got = answer.json()
    assert got["patient"] == signing_in.ana
    assert got["token_type"] == "Bearer"
    assert 0 < got["expires_in"] <= 600
    assert set(got["scope"].split()) == set(SCOPE.split())
    who = jwt.get_unverified_claims(got["id_token"])
    assert (who["aud"], who["fhirUser"]) == ("ana-app", f"Patient/{signing_in.ana}")

    token = got["access_token"]
    own = await signing_in.get(token, f"/Patient/{got['patient']}")
    assert own.json()["name"][0]["family"] == "Anaqvist"
    found = await signing_in.get(token, f"/Observation?patient={got['patient']}&_total=accurate")
    assert [e["resource"]["id"] for e in found.json()["entry"]] == [signing_in.pressure]
    assert (await signing_in.get(token, f"/Patient/{signing_in.bo}")).status_code == 404
    everything = await signing_in.get(token, f"/Patient/{got['patient']}/$everything")
    assert everything.status_code == 200
    assert signing_in.hidden not in everything.text

    again = (await app.refresh(got["refresh_token"])).json()
    assert again["patient"] == signing_in.ana
    assert (await signing_in.get(again["access_token"], "/Patient")).status_code == 200
    used = await app.refresh(got["refresh_token"])
    assert (used.status_code, used.json()["error"]) == (400, "invalid_grant")

    for each in (again["access_token"], again["refresh_token"]):
        form = {"token": each, "client_id": "ana-app"}
        assert (await app.server.post("/oauth/revoke", data=form)).status_code == 200
    assert (await signing_in.get(again["access_token"], "/Patient")).status_code == 401
    assert (await app.refresh(again["refresh_token"])).status_code == 400


async def test_the_own_app_sees_what_the_survivor_sees_and_nothing_more(
    signing_in: SigningIn, app: OwnApp
) -> None:
    token = (await app.redeem(await app.code())).json()["access_token"]
    rid = (await signing_in.world.service.people.verify(token, _provider(signing_in))).context
    client = await find_client(signing_in.world.service.database.pool, RIVER)
    assert client is not None
    # The survivor as consent.md has her: the Patient and nobody else, with every scope there is.
    survivor = mint(
        signing_in.world.service.trust.keys,
        replace(client, patient=rid),
        issuer="http://127.0.0.1:8000",
        purpose="CAREMGT",
        scope="system/*.cruds",
        lifetime=600,
    )
    for path in ("/Patient", "/Observation", "/Consent", "/Organization", "/Practitioner"):
        hers, apps = [
            {e["resource"]["id"] for e in answer.json().get("entry", [])}
            for answer in [
                await signing_in.get(each, f"{path}?_count=200") for each in (survivor, token)
            ]
        ]
        assert apps == hers, path


def _provider(signing_in: SigningIn) -> Any:
    return signing_in.world.service.people.providers[ISSUER]


async def test_without_offline_access_no_refresh_token_is_handed_on(app: OwnApp) -> None:
    code = await app.code("launch/patient openid patient/*.rs")
    got = (await app.redeem(code)).json()
    assert "refresh_token" not in got
    assert got["patient"]


async def test_the_scopes_told_are_those_that_hold_here(app: OwnApp) -> None:
    asked = "launch/patient patient/Observation.cruds patient/Rubbish.rs user/*.cruds"
    got = (await app.redeem(await app.code(asked))).json()
    assert set(got["scope"].split()) == {"launch/patient", "patient/Observation.rs"}


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"code_verifier": "another-verifier-of-the-right-length-0123456789"}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"redirect_uri": "https://evil.example/callback"}, "invalid_grant"),
        ({"code": "guessed"}, "invalid_grant"),
        ({"client_id": "river-ehr"}, "invalid_client"),
        ({"client_id": "unknown-app"}, "invalid_client"),
        ({"client_id": RIVER}, "invalid_client"),
    ],
)
async def test_a_code_is_good_only_for_the_app_that_asked_with_the_verifier_it_made(
    app: OwnApp, more: dict[str, str], error: str
) -> None:
    answer = await app.redeem(await app.code(), **more)
    assert (answer.status_code, answer.json()["error"]) == (
        401 if error == "invalid_client" else 400,
        error,
    )
    assert "access_token" not in answer.text


async def test_a_code_is_good_once(app: OwnApp) -> None:
    code = await app.code()
    assert (await app.redeem(code)).status_code == 200
    assert (await app.redeem(code)).json()["error"] == "invalid_grant"


async def test_a_token_that_this_server_would_not_take_is_not_handed_on(
    signing_in: SigningIn, app: OwnApp
) -> None:
    code = await app.code()
    signing_in.provider.people["ana"]["aud"] = "https://another.example/fhir"
    answer = await app.redeem(code)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert "access_token" not in answer.text


async def test_a_provider_that_is_away_is_said_to_be_so(signing_in: SigningIn, app: OwnApp) -> None:
    code = await app.code()
    signing_in.provider.away = True
    answer = await app.redeem(code)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert answer.headers["retry-after"] == "5"


async def test_an_app_with_a_secret_proves_itself_to_its_provider(
    signing_in: SigningIn, app: OwnApp
) -> None:
    app.client_id, signing_in.provider.signed_in = "river-ehr", "noor"
    code = await app.code("openid user/*.rs")
    basic = base64.b64encode(b"river-ehr:of-the-provider").decode()
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": app.verifier,
    }
    headers = {"Authorization": f"Basic {basic}"}
    got = (await app.server.post("/oauth/token", data=form, headers=headers)).json()
    assert "patient" not in got
    assert (
        await signing_in.get(got["access_token"], f"/Patient/{signing_in.bo}")
    ).status_code == 200
    wrong = {"Authorization": f"Basic {base64.b64encode(b'river-ehr:guessed').decode()}"}
    refused = await app.server.post("/oauth/token", data=form, headers=wrong)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


async def test_no_launch_is_told_of_where_no_provider_is_set_or_it_has_no_pkce(
    signing_in: SigningIn, app: OwnApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.security.discovery._KEEP_SECONDS", 0.0)
    monkeypatch.setattr("app.security.discovery._AGAIN_SECONDS", 0.0)
    signing_in.provider.configuration = {"code_challenge_methods_supported": ["plain"]}
    told = await app.configuration()
    assert "authorization_endpoint" not in told
    assert "launch-standalone" not in told["capabilities"]
    assert told["token_endpoint"].endswith("/oauth/token")


async def test_a_launch_is_written_down_without_any_token(
    signing_in: SigningIn, app: OwnApp
) -> None:
    got = (await app.redeem(await app.code())).json()
    owner = await asyncpg.connect(signing_in.world.database.admin_url)
    rows = await owner.fetch("SELECT * FROM tl.audit_event WHERE client_id = 'ana-app'")
    await owner.close()
    assert [(r["interaction"], r["outcome"], r["purpose"]) for r in rows] == [
        ("token", 0, "PATRQT")
    ]
    text = json.dumps([dict(r) for r in rows], default=str)
    assert got["access_token"] not in text
    assert got["refresh_token"] not in text


async def test_an_app_of_people_gets_no_token_from_us(signing_in: SigningIn) -> None:
    for form in (
        {"grant_type": "client_credentials", "client_id": "ana-app", "client_secret": ""},
        {"grant_type": "client_credentials", "client_id": "ana-app", "token": "x"},
        {"grant_type": "password", "client_id": "ana-app"},
    ):
        answer = await signing_in.world.http.post("/oauth/token", data=form)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    client = await find_client(signing_in.world.service.database.pool, "ana-app")
    assert client is not None
    with pytest.raises(ValueError, match="a provider issues"):
        mint(
            signing_in.world.service.trust.keys,
            client,
            issuer="x",
            purpose="PATRQT",
            scope="patient/*.rs",
            lifetime=60,
        )


async def test_another_agency_cannot_void_an_apps_token(signing_in: SigningIn, app: OwnApp) -> None:
    token = (await app.redeem(await app.code())).json()["access_token"]
    form = {
        "token": token,
        "client_id": LEGAL,
        "client_secret": signing_in.world.secrets[LEGAL],
    }
    assert (await app.server.post("/oauth/revoke", data=form)).status_code == 200
    assert (await signing_in.get(token, "/Patient")).status_code == 200

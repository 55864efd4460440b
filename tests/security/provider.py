"""An OpenID provider for tests, reached by HTTP inside the process: it signs people in, and issues tokens.

It does what SMART App Launch asks of one (PKCE with S256, codes used once, refresh tokens rotated), made of
Starlette and python-jose. `connect` is what `create_app` asks other houses with.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
from jose import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from tests.security.keys import KeyPair


@dataclass
class App:
    """An app as the provider knows it; without a secret a public one."""

    redirect_uri: str
    secret: str | None = None


@dataclass
class Granted:
    """What a code or a refresh token stands for."""

    client_id: str
    person: str
    scope: str
    challenge: str = ""
    redirect_uri: str = ""


@dataclass
class Provider:
    """The provider; `people` are those who may sign in, with the claims that it knows of them."""

    issuer: str
    audience: str
    key: KeyPair = field(default_factory=lambda: KeyPair("RS256"))
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    apps: dict[str, App] = field(default_factory=dict)
    signed_in: str = ""
    away: bool = False
    visits: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    published: list[dict[str, Any]] | None = None
    codes: dict[str, Granted] = field(default_factory=dict)
    refresh: dict[str, Granted] = field(default_factory=dict)
    configuration: dict[str, Any] = field(default_factory=dict)
    lifetime: int = 600

    def connect(self) -> httpx.AsyncClient:
        """A client for which the issuer's address leads here; nothing else can be reached."""
        routes = [
            Route("/.well-known/openid-configuration", self._configuration),
            Route("/jwks", self._jwks),
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
            Route("/revoke", self._revoke, methods=["POST"]),
        ]
        application = Starlette(routes=[Mount(urlsplit(self.issuer).path, routes=routes)])
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=application))

    def token(
        self, person: str, app: str, granted: str, *, headers: Any = None, **more: Any
    ) -> str:
        """An access token; `more` replaces claims, None takes one away."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": hashlib.sha256(person.encode()).hexdigest()[:16],
            "azp": app,
            "exp": now + self.lifetime,
            "iat": now,
            "jti": secrets.token_hex(8),
            "scope": granted,
            **self.people.get(person, {}),
            **more,
        }
        signed: str = jwt.encode(
            {name: value for name, value in claims.items() if value is not None},
            self.key.pem,
            algorithm=self.key.algorithm,
            headers={"kid": self.key.kid, "typ": "at+jwt"} | (headers or {}),
        )
        return signed

    def _seen(self, request: Request) -> Response | None:
        self.visits.append(str(request.url).removeprefix(self.issuer))
        return Response(status_code=503) if self.away else None

    async def _configuration(self, request: Request) -> Response:
        return self._seen(request) or JSONResponse(
            {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/jwks",
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "revocation_endpoint": f"{self.issuer}/revoke",
                "code_challenge_methods_supported": ["S256"],
            }
            | self.configuration
        )

    async def _jwks(self, request: Request) -> Response:
        keys = self.published if self.published is not None else [self.key.public]
        return self._seen(request) or JSONResponse({"keys": keys})

    async def _authorize(self, request: Request) -> Response:
        """The person who is signed in agrees; an app is sent back to its own address only."""
        asked = request.query_params
        app = self.apps.get(asked.get("client_id", ""))
        if app is None or asked.get("redirect_uri") != app.redirect_uri:
            return JSONResponse({"error": "invalid_request"}, status_code=400)
        if (
            asked.get("response_type") != "code"
            or asked.get("code_challenge_method") != "S256"
            or not asked.get("code_challenge")
            or asked.get("aud") != self.audience
        ):
            back = {"error": "invalid_request", "state": asked.get("state", "")}
            return RedirectResponse(f"{app.redirect_uri}?{urlencode(back)}", status_code=302)
        code = secrets.token_urlsafe(16)
        self.codes[code] = Granted(
            asked["client_id"],
            self.signed_in,
            asked["scope"],
            asked["code_challenge"],
            app.redirect_uri,
        )
        back = {"code": code, "state": asked["state"]}
        return RedirectResponse(f"{app.redirect_uri}?{urlencode(back)}", status_code=302)

    async def _token(self, request: Request) -> Response:
        if (away := self._seen(request)) is not None:
            return away
        form = await _form(request)
        client_id, secret = form.get("client_id", ""), form.get("client_secret")
        header = request.headers.get("authorization", "")
        if header.startswith("Basic "):
            client_id, _, secret = base64.b64decode(header[6:]).decode().partition(":")
        app = self.apps.get(client_id)
        if app is None or app.secret != secret:
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        if form.get("grant_type") == "authorization_code":
            granted = self.codes.pop(form.get("code", ""), None)
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if granted is None or (granted.challenge, granted.redirect_uri) != (
                challenge,
                form.get("redirect_uri"),
            ):
                return JSONResponse({"error": "invalid_grant"}, status_code=400)
        else:
            granted = self.refresh.pop(form.get("refresh_token", ""), None)
        if granted is None or granted.client_id != client_id:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        return JSONResponse(self._issued(granted))

    def _issued(self, granted: Granted) -> dict[str, Any]:
        # As many providers do, it always hands out a refresh token.
        again = secrets.token_urlsafe(16)
        self.refresh[again] = granted
        return {
            "access_token": self.token(granted.person, granted.client_id, granted.scope),
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "scope": granted.scope,
            "refresh_token": again,
            "id_token": self.token(
                granted.person, granted.client_id, granted.scope, aud=granted.client_id
            ),
        }

    async def _revoke(self, request: Request) -> Response:
        if (away := self._seen(request)) is not None:
            return away
        token = (await _form(request)).get("token", "")
        self.revoked.append(token)
        self.refresh.pop(token, None)
        return Response()


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode()))

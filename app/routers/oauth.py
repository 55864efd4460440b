"""The token endpoint and its neighbours: tokens, introspection, revocation.

Pinned: RFC 6749 section 4.4 (client credentials), RFC 7662 (introspection), RFC 7009 (revocation),
hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html. Neighbours: `app.routers.discovery`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from fastapi import APIRouter
from jose import jwt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app import clock
from app.errors import FhirError
from app.logs import request_id
from app.routers.service import Service, service_of
from app.security import assertions, clients, launch, tokens
from app.security.scopes import narrow
from app.storage.audit import AuditRow
from app.storage.clients import Client, find_client, revoke_token
from app.storage.database import refusal

router = APIRouter(tags=["administration"])

EMERGENCY_PURPOSES: Final = ("ETREAT", "BTG")
EMERGENCY_SECONDS: Final = 900
_FORM_BYTES: Final = 64 * 1024
_LONGEST_REASON: Final = 1000


class _Refused(Exception):  # noqa: N818 - an OAuth error answer
    def __init__(
        self, error: str, description: str, status: int = 400, retry_after: str = ""
    ) -> None:
        self.error, self.description, self.status = error, description, status
        self.retry_after = retry_after
        super().__init__(error)


_BUSY: Final = _Refused("temporarily_unavailable", "try again in a moment", 503, "1")


@router.post("/oauth/token", summary="token")
async def token(request: Request) -> Response:
    """A bearer token for a registered client: shared secret (basic or form) or private_key_jwt.

    Form: grant_type=client_credentials, scope (optional), purpose_of_use (optional: the client's first),
    emergency_reason (needed for ETREAT and BTG, by clients registered for it). An app that people sign in to
    redeems its provider's code (with code_verifier) or refresh token here: authorization_code, refresh_token.
    """

    async def work(service: Service, client: Client, form: dict[str, str]) -> dict[str, Any]:
        if client.openid_issuer is not None:
            header = request.headers.get("authorization")
            return await _launched(service, client, form, header)
        if form.get("grant_type") != "client_credentials":
            raise _Refused("unsupported_grant_type", "grant_type must be client_credentials")
        return _grant(service, client, form)

    return await _exchange(request, "token", work)


@router.post("/oauth/introspect", summary="introspect")
async def introspect(request: Request) -> Response:
    """Whether a token of the asking client is active, and what it says (RFC 7662); others are inactive."""

    async def work(service: Service, client: Client, form: dict[str, str]) -> dict[str, Any]:
        text = _token(form)
        try:
            claims = service.verifier.verify(f"Bearer {text}")
        except FhirError as error:
            if error.status != 401:
                raise _BUSY from error
            return {"active": False}
        if claims.client_id != client.client_id:
            return {"active": False}
        said = jwt.get_unverified_claims(text)
        told = ("iss", "aud", "sub", "client_id", "exp", "iat", "jti", "scope", "purpose_of_use")
        return {"active": True, "token_type": "Bearer"} | {
            name: said[name] for name in told if name in said
        }

    return await _exchange(request, "introspect", work)


@router.post("/oauth/revoke", summary="revoke")
async def revoke(request: Request) -> Response:
    """Void a token of the asking client, in every process, at once (RFC 7009)."""

    async def work(service: Service, client: Client, form: dict[str, str]) -> dict[str, Any]:
        if client.openid_issuer is not None:
            header = request.headers.get("authorization")
            return await _sign_out(service, client, form, header)
        try:
            claims = service.verifier.check(_token(form))
        except FhirError:
            # An invalid or expired token is as void as a revoked one (RFC 7009 section 2.2).
            return {}
        if claims.client_id != client.client_id:
            raise _Refused("invalid_grant", "the token was issued to another client")
        end = datetime.fromtimestamp(claims.expires, UTC)
        await revoke_token(service.database.pool, client.client_id, claims.jti, end)
        service.trust.revocations.revoke(claims.jti, claims.expires)
        return {}

    return await _exchange(request, "revoke", work)


async def _launched(
    service: Service, client: Client, form: dict[str, str], authorization: str | None
) -> dict[str, Any]:
    provider = service.people.providers[client.openid_issuer or ""]
    try:
        told, _ = await launch.redeem(service.people, provider, client, form, authorization)
    except launch.LaunchRefused as error:
        raise _refused(error) from error
    return told


async def _sign_out(
    service: Service, client: Client, form: dict[str, str], authorization: str | None
) -> dict[str, Any]:
    """Void an access token of an app of people here, and any token of it at its provider."""
    provider = service.people.providers[client.openid_issuer or ""]
    text = _token(form)
    if service.people.provider(text) == provider:
        try:
            claims = await service.people.verify(text, provider)
        except FhirError as error:
            if error.status != 401:
                raise _BUSY from error
        else:
            if claims.client_id != client.client_id:
                raise _Refused("invalid_grant", "the token was issued to another client")
            end = datetime.fromtimestamp(claims.expires, UTC)
            await revoke_token(service.database.pool, client.client_id, claims.jti, end)
            service.trust.revocations.revoke(claims.jti, claims.expires)
    try:
        await launch.tell_revoked(service.people, provider, form, authorization)
    except launch.LaunchRefused as error:
        raise _refused(error) from error
    return {}


def _refused(error: launch.LaunchRefused) -> _Refused:
    if error.away:
        return _Refused(error.error, error.description, 503, "5")
    return _Refused(error.error, error.description, 401 if error.error == "invalid_client" else 400)


async def _exchange(
    request: Request,
    interaction: str,
    work: Callable[[Service, Client, dict[str, str]], Awaitable[dict[str, Any]]],
) -> Response:
    """Read the form, know the client, do the work, write it down, answer."""
    service = service_of(request)
    client: Client | None = None
    form: dict[str, str] = {}
    told: dict[str, Any] = {}
    try:
        form = await _form(request)
        client = await _app(service, request, form, interaction) or await _authenticate(
            service, request, form
        )
        await _admit(service, client)
        told = await work(service, client, form)
        answer = JSONResponse(told)
    except _Refused as refused:
        answer = _refusal(refused)
    except Exception as error:
        if refusal(error) is None:
            raise
        answer = _refusal(_BUSY)
    answer.headers["cache-control"] = "no-store"
    answer.headers["pragma"] = "no-cache"
    purpose = _purpose(client, form) if client and interaction == "token" else None
    if client is not None and client.openid_issuer is not None:
        purpose = told.get("purpose_of_use")
    emergency = client is not None and client.emergency and purpose in EMERGENCY_PURPOSES
    written = await service.write_down(
        AuditRow(
            recorded=clock.today(),
            action=b"E",
            interaction=f"emergency-{interaction}" if emergency else interaction,
            outcome=0 if answer.status_code == 200 else 4,
            client_id=client.client_id if client else None,
            organization=client.organization if client else None,
            practitioner=client.practitioner if client else None,
            purpose=purpose,
            emergency_reason=form.get("emergency_reason", "")[:_LONGEST_REASON] or None
            if emergency
            else None,
            type=None,
            resource_id=None,
            rids=None,
            query=None,
            request_id=request_id(),
        )
    )
    return answer if written else _refusal(_BUSY)


def _refusal(refused: _Refused) -> JSONResponse:
    answer = JSONResponse(
        {"error": refused.error, "error_description": refused.description},
        status_code=refused.status,
    )
    if refused.status == 401:
        answer.headers["www-authenticate"] = 'Basic realm="throughline"'
    if refused.retry_after:
        answer.headers["retry-after"] = refused.retry_after
    return answer


async def _form(request: Request) -> dict[str, str]:
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media != "application/x-www-form-urlencoded":
        raise _Refused("invalid_request", "send a form: application/x-www-form-urlencoded")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES:
            raise _Refused("invalid_request", "the form is too long", 413)
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=None)
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _Refused("invalid_request", "give each parameter once")
    return form


async def _admit(service: Service, client: Client) -> None:
    try:
        pending = service.verifier.rate.admit(client.client_id)
        if pending is not None:
            await pending
    except FhirError as error:
        wait = dict(error.headers)["Retry-After"]
        raise _Refused("slow_down", "too many requests of this client", 429, wait) from error


def _token(form: dict[str, str]) -> str:
    text = form.get("token", "")
    if not text:
        raise _Refused("invalid_request", "give the token")
    return text


async def _app(
    service: Service, request: Request, form: dict[str, str], interaction: str
) -> Client | None:
    """The app of people that the request names, where it names one; its provider knows it by its secret.

    What such an app may do here proves itself: a code with its verifier, a refresh token, a token to void.
    """
    name = form.get("client_id", "")
    header = request.headers.get("authorization", "")
    if header[:6].lower() == "basic ":
        try:
            decoded = base64.b64decode(header[6:], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
        name = unquote_plus(decoded.partition(":")[0])
    found = await find_client(service.database.pool, name) if name else None
    if found is None or found.revoked or found.openid_issuer not in service.people.providers:
        return None
    launching = interaction == "token" and form.get("grant_type") in launch.GRANTS
    return found if launching or interaction == "revoke" else None


async def _authenticate(service: Service, request: Request, form: dict[str, str]) -> Client:
    pool = service.database.pool
    header = request.headers.get("authorization", "")
    ways = ("client_assertion" in form, "client_secret" in form, header[:6].lower() == "basic ")
    if sum(ways) > 1:
        raise _Refused("invalid_request", "prove who you are in one way only")
    try:
        if ways[0]:
            if form.get("client_assertion_type") != assertions.ASSERTION_TYPE:
                raise clients.ClientRefused
            found = await assertions.by_assertion(
                pool,
                service.key_sets,
                form["client_assertion"],
                f"{service.root}/oauth/token",
            )
            if form.get("client_id", found.client_id) != found.client_id:
                raise clients.ClientRefused
            return found
        if ways[2]:
            name, _, secret = base64.b64decode(header[6:], validate=True).decode().partition(":")
            return await clients.by_secret(pool, unquote_plus(name), unquote_plus(secret))
        return await clients.by_secret(
            pool, form.get("client_id", ""), form.get("client_secret", "")
        )
    except (clients.ClientRefused, binascii.Error, UnicodeDecodeError) as error:
        raise _Refused("invalid_client", "the client could not be authenticated", 401) from error


def _purpose(client: Client, form: dict[str, str]) -> str | None:
    asked = form.get("purpose_of_use") or client.purposes[0]
    return asked if asked in client.purposes else None


def _grant(service: Service, client: Client, form: dict[str, str]) -> dict[str, Any]:
    purpose = _purpose(client, form)
    if purpose is None:
        raise _Refused("invalid_request", "the client is not registered for this purpose_of_use")
    reason = None
    if purpose in EMERGENCY_PURPOSES and client.emergency:
        reason = form.get("emergency_reason", "").strip()
        if not reason:
            raise _Refused("invalid_request", "an emergency needs a written emergency_reason")
        if len(reason) > _LONGEST_REASON:
            raise _Refused("invalid_request", "give the emergency_reason in 1000 characters")
    scope = narrow(client.scope, form.get("scope"))
    if scope is None:
        raise _Refused("invalid_scope", "the client is not registered for this scope")
    lifetime = service.settings.token_lifetime_seconds
    lifetime = min(lifetime, EMERGENCY_SECONDS) if reason else lifetime
    access = tokens.mint(
        service.trust.keys,
        client,
        issuer=service.root,
        purpose=purpose,
        scope=scope,
        lifetime=lifetime,
        emergency_reason=reason,
    )
    return {
        "access_token": access,
        "token_type": "bearer",
        "expires_in": lifetime,
        "scope": scope,
        "purpose_of_use": purpose,
    }

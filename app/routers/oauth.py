"""OAuth2 client credentials for SMART Backend Services (RFC 6749 section 4.4; SMART 2.1 backend services)."""

from __future__ import annotations

import base64
import binascii
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.routers.service import Service, service_of
from app.security import clients, tokens
from app.security.scopes import narrow
from app.storage.audit import AuditRow
from app.storage.clients import Client

router = APIRouter(tags=["administration"])

EMERGENCY_PURPOSES = ("ETREAT", "BTG")


class _Refused(Exception):  # noqa: N818 - an OAuth error answer
    def __init__(self, error: str, description: str, status: int = 400) -> None:
        self.error, self.description, self.status = error, description, status
        super().__init__(error)


@router.post("/oauth/token", summary="token")
async def token(request: Request) -> Response:
    """A bearer token for a registered client: shared secret (basic or form) or private_key_jwt.

    Form: grant_type=client_credentials, scope (optional), purpose_of_use (optional: the client's first),
    emergency_reason (needed for ETREAT and BTG, by clients registered for it).
    """
    service = service_of(request)
    client = None
    try:
        form = {
            k: v[0] for k, v in parse_qs((await request.body()).decode("utf-8", "replace")).items()
        }
        if form.get("grant_type") != "client_credentials":
            raise _Refused("unsupported_grant_type", "grant_type must be client_credentials")
        client = await _authenticate(service, request, form)
        answer = JSONResponse(_grant(service, client, form))
    except _Refused as refused:
        answer = JSONResponse(
            {"error": refused.error, "error_description": refused.description},
            status_code=refused.status,
        )
        if refused.status == 401:
            answer.headers["www-authenticate"] = 'Basic realm="throughline"'
    answer.headers["cache-control"] = "no-store"
    await service.audit.write(
        AuditRow(
            recorded=datetime.now(UTC),
            action=b"E",
            interaction="token",
            outcome=0 if answer.status_code == 200 else 4,
            client_id=client.client_id if client else None,
            organization=client.organization if client else None,
            practitioner=client.practitioner if client else None,
            purpose=None,
            emergency_reason=None,
            type=None,
            resource_id=None,
            rids=None,
            query=None,
            request_id=uuid.uuid4(),
        )
    )
    return answer


async def _authenticate(service: Service, request: Request, form: dict[str, str]) -> Client:
    pool = service.database.pool
    try:
        if "client_assertion" in form:
            if form.get("client_assertion_type") != clients.ASSERTION_TYPE:
                raise clients.ClientRefused
            return await clients.by_assertion(
                pool, form["client_assertion"], f"{_root(service)}/oauth/token"
            )
        header = request.headers.get("authorization", "")
        if header[:6].lower() == "basic ":
            name, _, secret = base64.b64decode(header[6:], validate=True).decode().partition(":")
            return await clients.by_secret(pool, unquote(name), unquote(secret))
        return await clients.by_secret(
            pool, form.get("client_id", ""), form.get("client_secret", "")
        )
    except (clients.ClientRefused, binascii.Error, UnicodeDecodeError) as error:
        raise _Refused("invalid_client", "the client could not be authenticated", 401) from error


def _grant(service: Service, client: Client, form: dict[str, str]) -> dict[str, Any]:
    purpose = form.get("purpose_of_use") or client.purposes[0]
    if purpose not in client.purposes:
        raise _Refused("invalid_request", "the client is not registered for this purpose_of_use")
    reason = None
    if purpose in EMERGENCY_PURPOSES and client.emergency:
        reason = form.get("emergency_reason", "").strip()
        if not reason:
            raise _Refused("invalid_request", "an emergency needs a written emergency_reason")
    scope = narrow(client.scope, form.get("scope"))
    if scope is None:
        raise _Refused("invalid_scope", "the client is not registered for this scope")
    lifetime = service.settings.token_lifetime_seconds
    access = tokens.mint(
        service.keys,
        client,
        issuer=_root(service),
        purpose=purpose,
        scope=scope,
        lifetime=min(lifetime, 900) if reason else lifetime,
        emergency_reason=reason,
    )
    return {
        "access_token": access,
        "token_type": "bearer",
        "expires_in": lifetime,
        "scope": scope,
        "purpose_of_use": purpose,
    }


@router.get("/.well-known/smart-configuration", summary="SMART configuration", tags=["discovery"])
@router.get("/fhir/.well-known/smart-configuration", include_in_schema=False)
async def smart_configuration(request: Request) -> Response:
    """What a SMART client needs to know (SMART App Launch 2.1, section 7)."""
    root = _root(service_of(request))
    return JSONResponse(
        {
            "issuer": root,
            "token_endpoint": f"{root}/oauth/token",
            "jwks_uri": f"{root}/oauth/jwks",
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": [
                "private_key_jwt",
                "client_secret_basic",
                "client_secret_post",
            ],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "scopes_supported": ["system/*.cruds", "system/*.rs"],
            "capabilities": [
                "client-confidential-asymmetric",
                "client-confidential-symmetric",
                "permission-v2",
            ],
        }
    )


@router.get("/oauth/jwks", summary="public keys", tags=["discovery"])
async def jwks(request: Request) -> Response:
    """The public keys that access tokens are signed with (RFC 7517)."""
    return JSONResponse(service_of(request).keys.jwks())


def _root(service: Service) -> str:
    return service.settings.fhir_base.removesuffix("/fhir")

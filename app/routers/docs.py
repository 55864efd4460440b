"""The docs site at /docs, the OpenAPI document, and one-click tokens where the demonstration is served.

Everything comes from this package: the policy that goes with each answer forbids any outside request.
Neighbours: `app.site` (the files), openapi/openapi.json (made by `make openapi`).
Pinned: w3.org/TR/CSP3.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app import clock
from app.logs import request_id
from app.routers.service import Service, service_of
from app.security import tokens
from app.storage.audit import AuditRow
from app.storage.clients import Client, list_clients

router = APIRouter(tags=["discovery"])

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The content security policy of every page of the site."""

_HEADERS: Final = {
    "content-security-policy": POLICY,
    "cache-control": "no-cache",
}
_NO_STORE: Final = {"cache-control": "no-store"}
_PACKAGED: Final = "openapi.json"


class Site(StaticFiles):
    """The files of `app.site`, each with the policy."""

    def __init__(self) -> None:
        super().__init__(directory=str(resources.files("app.site")), html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file; Python's own are not served."""
        if path.endswith(".py") or "__pycache__" in path:
            path = "404"
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def document() -> Path:
    """The OpenAPI document: in a wheel beside the site, in a checkout in openapi/."""
    here = Path(str(resources.files("app.site")))
    packaged = here / _PACKAGED
    return packaged if packaged.exists() else here.parents[1] / "openapi" / _PACKAGED


@router.get("/openapi.json", include_in_schema=False)
async def openapi() -> Response:
    """The OpenAPI document as committed; a test keeps it in step with the routes."""
    return FileResponse(document(), media_type="application/json", headers=_HEADERS)


@router.get("/docs/demo", include_in_schema=False)
async def demo(request: Request) -> Response:
    """Whether the demonstration is served, and for whom one click gives a token."""
    service = service_of(request)
    told: dict[str, Any] = {"demo": service.settings.demo, "clients": []}
    if service.settings.demo:
        told["clients"] = [
            {
                "client": each.client_id,
                "name": each.client_id.replace("-", " ").title(),
                "purposes": each.purposes,
                "privacy_officer": each.privacy_officer,
                # A survivor's own app asks for nobody but herself.
                "agency": each.patient is None and not each.privacy_officer,
            }
            for each in await list_clients(service.database.pool)
            if not each.revoked and each.openid_issuer is None
        ]
    return JSONResponse(told, headers=_NO_STORE)


@router.post("/docs/demo/token", include_in_schema=False)
async def demo_token(request: Request) -> Response:
    """A token for a client of the demonstration; 404 where it is not served, whoever is asked for."""
    service = service_of(request)
    client = await _client(service, request) if service.settings.demo else None
    purpose = request.query_params.get("purpose") or (client.purposes[0] if client else "")
    if client is None or purpose not in client.purposes:
        return JSONResponse({"error": "not found"}, status_code=404, headers=_NO_STORE)
    token = tokens.mint(
        service.trust.keys,
        client,
        issuer=service.root,
        purpose=purpose,
        scope=client.scope,
        lifetime=service.settings.token_lifetime_seconds,
    )
    written = await service.write_down(
        AuditRow(
            recorded=clock.today(),
            action=b"E",
            interaction="token",
            outcome=0,
            client_id=client.client_id,
            organization=client.organization,
            practitioner=client.practitioner,
            purpose=purpose,
            emergency_reason=None,
            type=None,
            resource_id=None,
            rids=None,
            query=None,
            request_id=request_id(),
        )
    )
    if not written:
        return JSONResponse({"error": "try again"}, status_code=503, headers=_NO_STORE)
    return JSONResponse({"access_token": token, "purpose": purpose}, headers=_NO_STORE)


async def _client(service: Service, request: Request) -> Client | None:
    asked = request.query_params.get("client")
    found = await list_clients(service.database.pool)
    return next(
        (
            each
            for each in found
            if each.client_id == asked and not each.revoked and each.openid_issuer is None
        ),
        None,
    )

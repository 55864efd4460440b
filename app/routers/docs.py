"""The docs site at /docs, the OpenAPI document, and one-click tokens where the demonstration is served.

Everything comes from this package: the policy that goes with each answer forbids any outside request.
Neighbours: `app.site` (the files), docs/ (its pages), openapi/openapi.json (made by `make openapi`).
Pinned: w3.org/TR/CSP3.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from app import clock
from app.logs import request_id
from app.routers.service import Service, service_of
from app.security import demonstration, tokens
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
_PAGES: Final = "pages/"
_NO_STORE: Final = {"cache-control": "no-store"}


class Site(StaticFiles):
    """The files of `app.site`, and beneath pages/ those of docs/, each with the policy."""

    def __init__(self) -> None:
        super().__init__(directory=str(resources.files("app.site")), html=True)
        self._pages = StaticFiles(directory=packaged("pages", "docs"))

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file; Python's own are not served."""
        if path.endswith(".py") or "__pycache__" in path:
            path = "404"
        if path.startswith(_PAGES) and path.endswith(".md"):
            response = await self._pages.get_response(path.removeprefix(_PAGES), scope)
            response.headers["content-type"] = "text/plain; charset=utf-8"
        else:
            response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def packaged(name: str, checkout: str) -> Path:
    """What a wheel holds beside the site, and a checkout elsewhere. checkout: where, from its root."""
    here = Path(str(resources.files("app.site")))
    found = here / name
    return found if found.exists() else here.parents[1] / checkout


def document() -> Path:
    """The OpenAPI document."""
    return packaged("openapi.json", "openapi/openapi.json")


@router.get("/openapi.json", include_in_schema=False)
async def openapi() -> Response:
    """The OpenAPI document as committed; a test keeps it in step with the routes."""
    return FileResponse(document(), media_type="application/json", headers=_HEADERS)


@router.get("/docs/demo", include_in_schema=False)
async def demo(request: Request) -> Response:
    """Whether the demonstration is served, and for whom one click gives a token."""
    clients = await _clients(service_of(request))
    told = [
        {
            "client": each.client_id,
            "name": each.client_id.replace("-", " ").title(),
            "purposes": each.purposes,
            "privacy_officer": each.privacy_officer,
            # A survivor's own app asks for nobody but herself, a client that was added for its agency.
            "agency": each.client_id in demonstration.CLIENTS
            and each.patient is None
            and not each.privacy_officer,
        }
        for each in clients
    ]
    return JSONResponse({"demo": bool(told), "clients": told}, headers=_NO_STORE)


@router.post("/docs/demo/token", include_in_schema=False)
async def demo_token(request: Request) -> Response:
    """A token for a client of the demonstration; 404 where it is not served, whoever is asked for."""
    service = service_of(request)
    asked = request.query_params.get("client")
    found = [each for each in await _clients(service) if each.client_id == asked]
    client = found[0] if found else None
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


async def _clients(service: Service) -> list[Client]:
    """For whom one click gives a token: nobody where the demonstration is not served, or is not alone."""
    if not service.settings.demo:
        return []
    found = await list_clients(service.database.pool)
    standing = [each for each in found if not each.revoked]
    if not demonstration.served(
        [each.client_id for each in found], [each.client_id for each in standing]
    ):
        return []
    return [each for each in standing if each.openid_issuer is None]

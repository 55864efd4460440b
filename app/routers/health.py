"""Whether the process lives, and whether it can serve: for load balancers and orchestrators.

Open to everybody, and tells nothing else. Neighbour: `app.storage.database`.
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.routers.service import service_of

router = APIRouter(tags=["operations"])

_HEADERS = {"cache-control": "no-store"}


@router.get("/healthz", summary="The process lives")
async def healthz() -> Response:
    """200 while the process can answer at all; it asks nothing of the database."""
    return JSONResponse({"status": "alive"}, headers=_HEADERS)


@router.get("/readyz", summary="The service can serve")
async def readyz(request: Request) -> Response:
    """200 where the database answers, 503 otherwise: send no requests here then."""
    if await service_of(request).database.answers():
        return JSONResponse({"status": "ready"}, headers=_HEADERS)
    return JSONResponse(
        {"status": "the database does not answer"},
        status_code=503,
        headers=_HEADERS | {"retry-after": "5"},
    )

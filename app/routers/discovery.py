"""What a client finds out before it knows anything else: SMART configuration and public keys.

Pinned: hl7.org/fhir/smart-app-launch/STU2.2/conformance.html, RFC 8414, RFC 7517.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.routers.service import Service, service_of
from app.security.assertions import ALGORITHMS

router = APIRouter(tags=["discovery"])


@router.get("/.well-known/smart-configuration", summary="SMART configuration")
@router.get("/fhir/.well-known/smart-configuration", include_in_schema=False)
async def smart_configuration(request: Request) -> Response:
    """What a SMART client needs to know (SMART App Launch 2.2, conformance)."""
    return JSONResponse(_configuration(service_of(request)))


@router.get("/oauth/jwks", summary="public keys")
async def jwks(request: Request) -> Response:
    """The public keys that access tokens are signed with (RFC 7517)."""
    return JSONResponse(service_of(request).trust.keys.jwks())


def _configuration(service: Service) -> dict[str, Any]:
    root = service.root
    methods = ["private_key_jwt", "client_secret_basic", "client_secret_post"]
    return {
        "issuer": root,
        "jwks_uri": f"{root}/oauth/jwks",
        "token_endpoint": f"{root}/oauth/token",
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "grant_types_supported": ["client_credentials"],
        "introspection_endpoint": f"{root}/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint": f"{root}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": methods,
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["system/*.cruds", "system/*.rs", "system/*.read", "system/*.write"],
        "capabilities": [
            "client-confidential-asymmetric",
            "client-confidential-symmetric",
            "permission-v1",
            "permission-v2",
        ],
    }

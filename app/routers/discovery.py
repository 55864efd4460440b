"""What a client finds out before it knows anything else: SMART configuration and public keys.

Pinned: hl7.org/fhir/smart-app-launch/STU2.2/conformance.html, RFC 8414, RFC 7517.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.routers.service import Service, service_of
from app.security.assertions import ALGORITHMS
from app.security.fetching import Unreachable
from app.security.launch import GRANTS

router = APIRouter(tags=["discovery"])

_METHODS: Final = ("private_key_jwt", "client_secret_basic", "client_secret_post")
_SCOPES: Final = ("system/*.cruds", "system/*.rs", "system/*.read", "system/*.write")
_IDENTITY: Final = ("openid", "fhirUser", "offline_access")
_CAPABILITIES: Final = (
    *("client-confidential-asymmetric", "client-confidential-symmetric"),
    *("permission-v1", "permission-v2"),
)


@router.get("/.well-known/smart-configuration", summary="SMART configuration")
@router.get("/fhir/.well-known/smart-configuration", include_in_schema=False)
async def smart_configuration(request: Request) -> Response:
    """What a SMART client needs to know (SMART App Launch 2.2, conformance)."""
    service = service_of(request)
    return JSONResponse(_configuration(service) | await _launch(service))


@router.get("/oauth/jwks", summary="public keys")
async def jwks(request: Request) -> Response:
    """The public keys that access tokens are signed with (RFC 7517)."""
    return JSONResponse(service_of(request).trust.keys.jwks())


def _configuration(service: Service) -> dict[str, Any]:
    root = service.root
    methods = list(_METHODS)
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
        "scopes_supported": list(_SCOPES),
        "capabilities": list(_CAPABILITIES),
    }


async def _launch(service: Service) -> dict[str, Any]:
    """Where apps send people to sign in; nothing while the provider does not tell."""
    provider = next((p for p in service.people.providers.values() if p.launch), None)
    if provider is None:
        return {}
    try:
        found = await service.people.discovery.configuration(provider.issuer)
    except Unreachable:
        return {}
    if found.authorization_endpoint is None or found.token_endpoint is None or not found.pkce:
        return {}
    context = ["launch/patient", "patient/*.rs"] if provider.survivors else []
    return {
        # Of the ID tokens that an app gets. Our own keys stay at their address.
        "issuer": provider.issuer,
        "jwks_uri": found.jwks_uri,
        "authorization_endpoint": found.authorization_endpoint,
        "grant_types_supported": ["client_credentials", *GRANTS],
        "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported": [*_METHODS, "none"],
        "scopes_supported": [*_SCOPES, *_IDENTITY, "user/*.cruds", *context],
        "capabilities": [
            *_CAPABILITIES,
            *("launch-standalone", "client-public", "sso-openid-connect", "permission-offline"),
            "permission-user",
        ]
        + (["context-standalone-patient", "permission-patient"] if provider.survivors else []),
    }

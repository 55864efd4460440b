"""SMART App Launch at an OpenID provider: its code, or its refresh token, exchanged for its access token.

The provider signs people in and issues every token; an app redeems its code here, because a SMART server has
one token endpoint and ordinary providers do not tell `patient` (docs/decisions/0005). What is handed on is
verified first, and told as what it is worth here.
Pinned: hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html, RFC 6749 sections 4.1.3 and 6, RFC 7636.
Neighbours: `app.routers.oauth` (the endpoint), `app.security.people` (verifies).
"""

from __future__ import annotations

import logging
from typing import Any, Final, Literal

from app import clock
from app.errors import FhirError
from app.openid_settings import OpenIdProvider
from app.security.fetching import Unreachable, post_form
from app.security.people import People
from app.security.scopes import nameless
from app.security.tokens import VerifiedClaims
from app.storage.clients import Client

GRANTS: Final = ("authorization_code", "refresh_token")

_LOG: Final = logging.getLogger("throughline.launch")
_PASSED: Final = (
    *("grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope"),
    *("client_id", "client_secret"),
)
_PASSED_TO_REVOKE: Final = ("token", "token_type_hint", "client_id", "client_secret")
_ERRORS: Final = frozenset(
    {"invalid_grant", "invalid_client", "invalid_request", "invalid_scope", "unauthorized_client"}
)
_KEPT_SIGNED_IN: Final = frozenset({"offline_access", "online_access"})
_OK: Final = 200
_FAULT: Final = 500


class LaunchRefused(Exception):  # noqa: N818 - an OAuth error answer
    """The provider, or what it issued, was refused. error: an OAuth error code; away: ask again."""

    def __init__(self, error: str, description: str, *, away: bool = False) -> None:
        self.error, self.description, self.away = error, description, away
        super().__init__(error)


async def redeem(
    people: People,
    provider: OpenIdProvider,
    client: Client,
    form: dict[str, str],
    authorization: str | None,
) -> tuple[dict[str, Any], VerifiedClaims]:
    """The token answer (SMART App Launch 2.2, "Obtain access token") and what the token says.

    form: of the app, of a grant type in GRANTS. authorization: the app's own header, where it has a secret.
    LaunchRefused otherwise.
    """
    needed = (
        ("code", "redirect_uri", "code_verifier")
        if form["grant_type"] == "authorization_code"
        else ("refresh_token",)
    )
    for name in needed:
        if not form.get(name):
            raise LaunchRefused("invalid_request", f"give {name}")
    passed = {name: value for name, value in form.items() if name in _PASSED}
    answered = await _asked(people, provider, "token_endpoint", passed, authorization)
    if answered is None:
        raise _away()
    status, told = answered
    if status != _OK:
        # Its description is its own: it may repeat what was sent.
        said = told.get("error") if isinstance(told, dict) else None
        known = said if said in _ERRORS else "invalid_grant"
        raise LaunchRefused(str(known), "the provider refused the request")
    token = told.get("access_token") if isinstance(told, dict) else None
    if not isinstance(token, str):
        raise LaunchRefused("invalid_grant", "the provider issued no access token")
    claims = await _verified(people, provider, client, token)
    return _answer(people, provider, claims, told, token), claims


async def _asked(
    people: People,
    provider: OpenIdProvider,
    endpoint: Literal["token_endpoint", "revocation_endpoint"],
    form: dict[str, str],
    authorization: str | None,
) -> tuple[int, Any] | None:
    """Status and JSON of what the provider answers there; None where it has no such endpoint.

    LaunchRefused, to be asked again, where it cannot be asked.
    """
    try:
        address = getattr(await people.discovery.configuration(provider.issuer), endpoint)
        if address is None:
            return None
        answered = await post_form(people.http, address, form, authorization)
    except Unreachable as error:
        raise _away() from error
    if answered[0] >= _FAULT:
        raise _away()
    return answered


def _away() -> LaunchRefused:
    return LaunchRefused(
        "temporarily_unavailable", "the provider cannot be asked at the moment", away=True
    )


async def _verified(
    people: People, provider: OpenIdProvider, client: Client, token: str
) -> VerifiedClaims:
    try:
        claims = await people.verify(token, provider)
    except FhirError as error:
        if error.status >= 500:
            raise LaunchRefused(
                "temporarily_unavailable", "the provider cannot be asked", away=True
            ) from error
        raise LaunchRefused(
            "invalid_grant", "the provider's token is not one that this server takes"
        ) from error
    if claims.client_id != client.client_id:
        raise LaunchRefused("invalid_grant", "the provider's token is for another app")
    return claims


def _answer(
    people: People,
    provider: OpenIdProvider,
    claims: VerifiedClaims,
    told: dict[str, Any],
    token: str,
) -> dict[str, Any]:
    given = nameless(str(told.get("scope") or people.scope_of(token)))
    answer: dict[str, Any] = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": max(0, int(claims.expires - clock.now())),
        "scope": " ".join([claims.scopes.text, *given]).strip(),
        "purpose_of_use": claims.purpose,
    }
    if claims.context is not None:
        answer["patient"] = people.patient_of(token, provider)
    if isinstance(told.get("id_token"), str) and "openid" in given:
        answer["id_token"] = told["id_token"]
    # A lost telephone must not hold a key to the record that nobody asked for.
    if isinstance(told.get("refresh_token"), str) and _KEPT_SIGNED_IN.intersection(given):
        answer["refresh_token"] = told["refresh_token"]
    return answer


async def tell_revoked(
    people: People, provider: OpenIdProvider, form: dict[str, str], authorization: str | None
) -> None:
    """Ask the provider to revoke a token as well; a refresh token is the provider's alone.

    LaunchRefused where it cannot be asked, or has no revocation endpoint and the token is none of ours.
    """
    passed = {name: value for name, value in form.items() if name in _PASSED_TO_REVOKE}
    answered = await _asked(people, provider, "revocation_endpoint", passed, authorization)
    if answered is None:
        return
    status, _ = answered
    if status != _OK:
        _LOG.warning("a provider would not revoke a token: %s", status)
        raise LaunchRefused("invalid_request", "the provider would not revoke the token")

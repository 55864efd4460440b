"""What an OpenID provider says of itself: its configuration, found beneath its issuer, cached for an hour.

Pinned: openid.net/specs/openid-connect-discovery-1_0.html sections 3 and 4, RFC 8414. Neighbours:
`app.security.fetching` (the bounds), `app.security.people` (keys), `app.security.launch` (endpoints).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from app.security.fetching import Unreachable, fetch_json, may_be_fetched

_KEEP_SECONDS: Final = 3600.0
_AGAIN_SECONDS: Final = 30.0
_WELL_KNOWN: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The parts of a provider's configuration that are used here; endpoints it does not tell are None."""

    jwks_uri: str
    authorization_endpoint: str | None
    token_endpoint: str | None
    revocation_endpoint: str | None
    pkce: bool


@dataclass(slots=True)
class _Cached:
    found: Configuration | None = None
    good_until: float = 0.0
    asked: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Discovery:
    """The configurations that one process has fetched."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._cached: dict[str, _Cached] = {}

    async def configuration(self, issuer: str) -> Configuration:
        """The configuration of an issuer; Unreachable where none is known and none can be had."""
        cached = self._cached.setdefault(issuer, _Cached())
        if cached.found is not None and time.monotonic() < cached.good_until:
            return cached.found
        async with cached.lock:
            now = time.monotonic()
            fresh = cached.found is not None and now < cached.good_until
            if not fresh and now - cached.asked >= _AGAIN_SECONDS:
                cached.asked = now
                try:
                    text = await fetch_json(self._http, issuer.rstrip("/") + _WELL_KNOWN)
                    cached.found = _read(issuer, text)
                    cached.good_until = now + _KEEP_SECONDS
                except Unreachable:
                    # While the provider is away, what it said before holds.
                    if cached.found is None:
                        raise
        if cached.found is None:
            raise Unreachable("the provider did not answer a moment ago")
        return cached.found


def _read(issuer: str, told: Any) -> Configuration:
    if not isinstance(told, dict) or told.get("issuer") != issuer:
        raise Unreachable("the configuration is that of another issuer")
    jwks_uri = _address(told, "jwks_uri")
    if jwks_uri is None:
        raise Unreachable("the configuration has no jwks_uri that may be fetched")
    methods = told.get("code_challenge_methods_supported")
    return Configuration(
        jwks_uri,
        _address(told, "authorization_endpoint"),
        _address(told, "token_endpoint"),
        _address(told, "revocation_endpoint"),
        isinstance(methods, list) and "S256" in methods,
    )


def _address(told: dict[str, Any], name: str) -> str | None:
    value = told.get(name)
    return value if isinstance(value, str) and may_be_fetched(value) else None

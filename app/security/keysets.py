"""JWK Sets by URL: fetched with care, cached, fetched again when a key is unknown (RFC 7517).

Addresses come from registrations and settings, contents from another house (`app.security.fetching` has the
bounds); only public keys of the algorithms we take are kept. A set is fetched anew after an hour, or when a
kid is unknown and the last fetch is long enough ago that nobody can make us fetch at will. While an address
fails, keys known before hold.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from app.security.fetching import Unreachable, fetch_json, may_be_fetched

Jwk = dict[str, Any]

CLIENT_ALGORITHMS: Final = ("RS384", "ES384")
"""How clients sign their assertions (SMART Backend Services)."""

_KEEP_SECONDS: Final = 3600.0
_AGAIN_SECONDS: Final = 30.0
_RSA_BYTES: Final = 2048 // 8


def public_keys(key_set: object) -> dict[str, Jwk]:
    """The usable public keys of a JWK Set by kid; ValueError where it is none, or a kid is there twice."""
    keys = key_set.get("keys") if isinstance(key_set, dict) else None
    if not isinstance(keys, list):
        raise ValueError("a JWK Set has a list of keys")  # noqa: TRY004 - data, not a type of ours
    found: dict[str, Jwk] = {}
    for key in keys:
        if not isinstance(key, dict) or not isinstance(key.get("kid"), str):
            continue
        if key.get("use", "sig") != "sig" or not _asymmetric(key):
            continue
        if key["kid"] in found:
            raise ValueError("a JWK Set has each kid once")
        found[key["kid"]] = {k: v for k, v in key.items() if k in _PUBLIC}
    return found


_CURVES: Final = {"ES256": "P-256", "ES384": "P-384"}
_RSA: Final = frozenset({"RS256", "RS384", "RS512"})
_PUBLIC: Final = frozenset({"kty", "kid", "use", "alg", "crv", "x", "y", "n", "e"})


def _asymmetric(key: Jwk) -> bool:
    match key.get("kty"):
        case "EC":
            return key.get("crv") in _CURVES.values()
        case "RSA":
            modulus = key.get("n")
            return isinstance(modulus, str) and len(modulus) * 3 // 4 >= _RSA_BYTES
        case _:
            return False


def fits(key: Jwk, algorithm: str) -> bool:
    """True where this key may verify this algorithm: its kind, its curve and its stated `alg` agree."""
    if algorithm in _CURVES:
        right = key.get("kty") == "EC" and key.get("crv") == _CURVES[algorithm]
    else:
        right = key.get("kty") == "RSA" and algorithm in _RSA
    return right and key.get("alg", algorithm) == algorithm


@dataclass(slots=True)
class _Cached:
    keys: dict[str, Jwk] = field(default_factory=dict)
    good_until: float = 0.0
    asked: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeySets:
    """The key sets that one process has fetched."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        """http: `open_http()`, or a client that reaches a provider inside a test."""
        self.http = http
        self._cached: dict[str, _Cached] = {}

    async def find(self, url: str, kid: str) -> Jwk | None:
        """The key of this kid at this address, None where there is none.

        Unreachable where nothing can be had from the address.
        """
        if not may_be_fetched(url):
            raise Unreachable("not an address that keys are fetched from")
        cached = self._cached.setdefault(url, _Cached())
        now = time.monotonic()
        if kid in cached.keys and now < cached.good_until:
            return cached.keys[kid]
        async with cached.lock:
            now = time.monotonic()
            fresh = kid in cached.keys and now < cached.good_until
            if not fresh and now - cached.asked >= _AGAIN_SECONDS:
                cached.asked = now
                try:
                    cached.keys = public_keys(await fetch_json(self.http, url))
                    cached.good_until = now + _KEEP_SECONDS
                except ValueError as error:
                    raise Unreachable("the answer is no JWK Set") from error
                except Unreachable:
                    if kid not in cached.keys:
                        raise
        return cached.keys.get(kid)

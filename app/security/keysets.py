"""JWK Sets by URL: fetched with care, cached, fetched again when a key is unknown (RFC 7517).

Addresses come from registrations and settings, contents from another house. So: https only, but for
loopback; redirects are not followed at all, and so none leads into a private network; time and size are
bounded; only public keys of the algorithms we take are kept. A set is fetched anew after an hour, or when a
kid is unknown and the last fetch is long enough ago that nobody can make us fetch at will. While an address
fails, keys known before hold.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

Jwk = dict[str, Any]

_SIZE: Final = 256 * 1024
_SECONDS: Final = 5.0
_KEEP_SECONDS: Final = 3600.0
_AGAIN_SECONDS: Final = 30.0
_RSA_BYTES: Final = 2048 // 8


class KeySetUnavailable(Exception):  # noqa: N818 - for the caller to turn into a refusal
    """The set cannot be had: the address is not allowed, or what it answers is no JWK Set."""


def may_be_fetched(url: str) -> bool:
    """True for https, and for http on a loopback address."""
    parts = urlsplit(url)
    if not parts.hostname or parts.username or parts.password or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _loopback(parts.hostname))


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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


_PUBLIC: Final = frozenset({"kty", "kid", "use", "alg", "crv", "x", "y", "n", "e"})


def _asymmetric(key: Jwk) -> bool:
    match key.get("kty"):
        case "EC":
            return key.get("crv") == "P-384"
        case "RSA":
            modulus = key.get("n")
            return isinstance(modulus, str) and len(modulus) * 3 // 4 >= _RSA_BYTES
        case _:
            return False


def fits(key: Jwk, algorithm: str) -> bool:
    """True where this key may verify this algorithm (RS384 or ES384): kind and stated `alg` agree."""
    kind = {"RS384": "RSA", "ES384": "EC"}.get(algorithm)
    return key.get("kty") == kind and key.get("alg", algorithm) == algorithm


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
        self._http = http
        self._cached: dict[str, _Cached] = {}

    async def find(self, url: str, kid: str) -> Jwk | None:
        """The key of this kid at this address, None where there is none.

        KeySetUnavailable where nothing can be had from the address.
        """
        if not may_be_fetched(url):
            raise KeySetUnavailable("not an address that keys are fetched from")
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
                    cached.keys = public_keys(await self.fetch(url))
                    cached.good_until = now + _KEEP_SECONDS
                except ValueError as error:
                    raise KeySetUnavailable("the answer is no JWK Set") from error
                except KeySetUnavailable:
                    if kid not in cached.keys:
                        raise
        return cached.keys.get(kid)

    async def fetch(self, url: str) -> Any:
        """The JSON at an address, within the bounds; KeySetUnavailable otherwise."""
        if not may_be_fetched(url):
            raise KeySetUnavailable("not an address that is fetched from")
        try:
            async with (
                asyncio.timeout(_SECONDS),
                self._http.stream(
                    "GET", url, headers={"Accept": "application/json"}, follow_redirects=False
                ) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    raise KeySetUnavailable("the address does not answer 200")
                body = b""
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > _SIZE:
                        raise KeySetUnavailable("the answer is too long")
            return json.loads(body)
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as error:
            raise KeySetUnavailable("the address cannot be read") from error


def open_http() -> httpx.AsyncClient:
    """The client that keys are fetched with: no proxies, cookies or redirects of the environment."""
    return httpx.AsyncClient(timeout=_SECONDS, follow_redirects=False, trust_env=False)

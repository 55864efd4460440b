"""What the service asks of other houses over HTTP: key sets, configurations, tokens of a provider.

Addresses come from registrations, settings and a provider's own configuration; contents from another house.
So: https only, but for loopback; redirects are not followed at all, and so none leads into a private network;
time and size are bounded; no proxy, cookie or credential of the environment is used.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import ssl
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

_SIZE: Final = 256 * 1024
_SECONDS: Final = 5.0


class Unreachable(Exception):  # noqa: N818 - for the caller to turn into a refusal
    """Nothing can be had: the address is not allowed, or what it answers is not what was asked for."""


def open_http() -> httpx.AsyncClient:
    """The client that others are asked with: no proxies, cookies or redirects of the environment."""
    return httpx.AsyncClient(
        timeout=_SECONDS, follow_redirects=False, trust_env=False, verify=_trusted()
    )


@cache
def _trusted() -> ssl.SSLContext:
    # Reading the authorities takes as long as a hundred answers, and they are the same for all clients.
    return httpx.create_ssl_context(trust_env=False)


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


async def fetch_json(http: httpx.AsyncClient, url: str) -> Any:
    """The JSON at an address, within the bounds; Unreachable otherwise."""
    status, body = await _ask(http, "GET", url, {})
    if status != httpx.codes.OK:
        raise Unreachable("the address does not answer 200")
    return body


async def post_form(
    http: httpx.AsyncClient, url: str, form: dict[str, str], authorization: str | None = None
) -> tuple[int, Any]:
    """Status and JSON of the answer to a form; Unreachable where there is none within the bounds."""
    headers = {"Authorization": authorization} if authorization else {}
    return await _ask(http, "POST", url, headers, data=form)


async def _ask(
    http: httpx.AsyncClient, method: str, url: str, headers: dict[str, str], **more: Any
) -> tuple[int, Any]:
    if not may_be_fetched(url):
        raise Unreachable("not an address that is asked")
    try:
        async with (
            asyncio.timeout(_SECONDS),
            http.stream(
                method,
                url,
                headers={"Accept": "application/json"} | headers,
                follow_redirects=False,
                **more,
            ) as answer,
        ):
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > _SIZE:
                    raise Unreachable("the answer is too long")
        return answer.status_code, json.loads(body) if body else None
    except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as error:
        raise Unreachable("the address cannot be read") from error

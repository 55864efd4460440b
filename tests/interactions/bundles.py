"""Bundles and their answers, for tests."""

from __future__ import annotations

from typing import Any

import httpx

from tests.spine.conftest import Agency

SYSTEM = "urn:oid:1.2.3.4"


def entry(
    method: str, url: str, resource: dict[str, Any] | None = None, **request: str
) -> dict[str, Any]:
    """A Bundle entry; full_url goes beside the request, all else into it."""
    made: dict[str, Any] = {}
    if "full_url" in request:
        made["fullUrl"] = request.pop("full_url")
    if resource is not None:
        made["resource"] = resource
    return made | {"request": {"method": method, "url": url} | request}


def bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"resourceType": "Bundle", "type": kind}
    return made | ({"entry": list(entries)} if entries else {})


async def send(
    agency: Agency, kind: str, *entries: dict[str, Any], **headers: str
) -> httpx.Response:
    return await agency.http.post(
        "/fhir", headers=agency.headers | headers, json=bundle(kind, *entries)
    )


def statuses(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["response"]["status"] for each in answer.json()["entry"]]


def patient(identifier: str | None = None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"resourceType": "Patient", "name": [{"family": "Sample"}]}
    if identifier is not None:
        made["identifier"] = [{"system": SYSTEM, "value": identifier}]
    return made | more


def criteria(identifier: str) -> str:
    return f"identifier={SYSTEM}|{identifier}"


async def total(agency: Agency, query: str) -> int:
    answer = await agency.get(f"/{query}{'&' if '?' in query else '?'}_total=accurate")
    assert answer.status_code == 200, answer.text
    found = answer.json()["total"]
    assert isinstance(found, int)
    return found

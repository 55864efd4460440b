"""Examples from the demo's own resources, on a day that does not move."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from app.demo.load import bundles

Json = dict[str, Any]

_DAY: Final = date(2026, 3, 1)
_BASE: Final = "http://127.0.0.1:8000/fhir"
_META: Final = {"versionId": "1", "lastUpdated": "2026-03-01T09:30:00.000000Z"}
_CHOSEN: Final = {
    "Patient": "survivor-c",
    "Task": "survivor-a-housing-task",
    "ServiceRequest": "survivor-a-housing-request",
    "Consent": "survivor-a-consent-open-door",
    "QuestionnaireResponse": "survivor-c-phq9",
    "Observation": "survivor-c-blood-pressure",
}


def resource_types() -> list[str]:
    """The types that the demo has resources of: those that get a schema of their own."""
    return sorted({each["resourceType"] for each in _resources().values()})


def _resources() -> dict[str, Json]:
    """The demo's resources as first written, by reference."""
    found: dict[str, Json] = {}
    for each in bundles(_DAY):
        for entry in each.bundle["entry"]:
            resource = entry.get("resource")
            if resource is not None:
                found.setdefault(f"{resource['resourceType']}/{resource['id']}", resource)
    return found


def examples() -> dict[str, Json]:
    """By name: a resource of each chosen type, and Bundles made of them."""
    everything = _resources()
    chosen = {name: everything[f"{name}/{id_}"] for name, id_ in _CHOSEN.items()}
    stored = {
        name: {"resourceType": name, "id": each["id"], "meta": _META} | each
        for name, each in chosen.items()
    }
    made: dict[str, tuple[str, Any]] = {
        name: (f"{name} of the demo", each) for name, each in stored.items()
    }
    made["searchset"] = (
        "The shelter's referrals, with their requests",
        {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": 1,
            "link": [
                {
                    "relation": "self",
                    "url": f"{_BASE}/Task?owner=Organization%2Fopen-door-shelter&_include=Task:focus",
                }
            ],
            "entry": [
                _entry(stored["Task"], search={"mode": "match"}),
                _entry(stored["ServiceRequest"], search={"mode": "include"}),
            ],
        },
    )
    made["package"] = (
        "A referral package",
        {
            "resourceType": "Bundle",
            "type": "collection",
            "timestamp": "2026-03-01T09:31:00.000000Z",
            "entry": [_entry(stored[n]) for n in ("Task", "ServiceRequest", "Consent")],
        },
    )
    made["history"] = (
        "The versions of a referral",
        {
            "resourceType": "Bundle",
            "type": "history",
            "total": 1,
            "entry": [
                _entry(
                    stored["Task"],
                    request={"method": "POST", "url": "Task"},
                    response={"status": "201", "etag": 'W/"1"'},
                )
            ],
        },
    )
    made["transaction"] = (
        "A new person with a blood pressure",
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [
                _posted("urn:uuid:6b1f6d5e-6b0b-4c8a-9d3b-0a3f4f6f2b11", _new(chosen["Patient"])),
                _posted(
                    "urn:uuid:0c6a4c36-3f0d-4f63-a3d0-5a2a1d1f9c22",
                    _new(chosen["Observation"])
                    | {"subject": {"reference": "urn:uuid:6b1f6d5e-6b0b-4c8a-9d3b-0a3f4f6f2b11"}},
                ),
            ],
        },
    )
    made["json-patch"] = (
        "The shelter accepts",
        [{"op": "replace", "path": "/status", "value": "accepted"}],
    )
    return {name: {"summary": title, "value": value} for name, (title, value) in made.items()}


def _entry(resource: Json, **more: Any) -> Json:
    url = f"{_BASE}/{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": url, "resource": resource} | more


def _new(resource: Json) -> Json:
    return {name: value for name, value in resource.items() if name != "id"}


def _posted(urn: str, resource: Json) -> Json:
    request = {"method": "POST", "url": resource["resourceType"]}
    return {"fullUrl": urn, "resource": resource, "request": request}

"""One agency's way to the running service: bearer token, FHIR media type, nothing more.

Neighbours: `app.demo.tour`. Pinned: hl7.org/fhir/R4/http.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import httpx

_MEDIA_TYPE: Final = "application/fhir+json"


class StoryEndedError(Exception):
    """A step without which the tour cannot go on was refused; the text says which, and the answer."""


@dataclass
class Agency:
    """A client of the service, with one purpose of use.

    http: a client whose base_url is the FHIR base. name: as people call it. token: bearer.
    """

    http: httpx.Client
    name: str
    token: str
    _headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._headers = {"Authorization": f"Bearer {self.token}", "Accept": _MEDIA_TYPE}

    def get(self, path: str, **parameters: str) -> httpx.Response:
        """GET a path beneath the FHIR base; parameters are encoded."""
        return self.http.get(path, params=parameters or None, headers=self._headers)

    def put(self, resource: dict[str, Any], *, if_match: str) -> httpx.Response:
        """Update a resource, guarded by the ETag of the version it was made from."""
        return self.http.put(
            f"{resource['resourceType']}/{resource['id']}",
            json=resource,
            headers=self._headers | {"Content-Type": _MEDIA_TYPE, "If-Match": if_match},
        )

    def create(self, bundle: dict[str, Any]) -> list[dict[str, Any]]:
        """Carry out a transaction; the resources as stored, in the Bundle's order.

        StoryEndedError where it is refused.
        """
        answer = self.http.post(
            "", json=bundle, headers=self._headers | {"Content-Type": _MEDIA_TYPE}
        )
        if answer.status_code != httpx.codes.OK:
            raise StoryEndedError(f"{self.name} could not write: {reason(answer)}")
        return [entry["resource"] for entry in answer.json()["entry"]]


def etag(answer: httpx.Response) -> str:
    """The ETag of an answer, to be sent as If-Match."""
    return str(answer.headers.get("etag", ""))


def reason(answer: httpx.Response) -> str:
    """Status and, where there is an OperationOutcome, its sentences."""
    try:
        issues = answer.json().get("issue", [])
    except ValueError:
        issues = []
    sentences = "; ".join(issue.get("diagnostics", issue["code"]) for issue in issues)
    return f"{answer.status_code} {sentences}".strip()

"""The stage of the consent cases: one running service, its agencies and people, and a record for each case.

Everything is written over HTTP by the agency that would write it; only clients and the directory's first
entries are made beside it, as an administrator makes them. Times of a case are those of its `now`, moved to
the present.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from app.consent import purposes
from app.interactions import writing
from app.routers.service import Service
from app.security import clients
from app.storage.database import Caller, base_closure

FIXTURES = Path(__file__).parent / "fixtures"
RIVER = "river"
ALL_PURPOSES = purposes.describe(purposes.ALL)
Json = dict[str, Any]

ORGANIZATIONS = {
    "river": "river",
    "harbor": "harbor",
    "county": "county",
    "bridge": "bridge",
    "open_door": "open-door",
    "detox": "detox",
    "privacy_office": "privacy-office",
}
PROGRAM = "https://throughline.example/fhir/CodeSystem/program"
PEOPLE = {
    "river_lee": ("river", "Practitioner/river-lee"),
    "river_mo": ("river", "Practitioner/river-mo"),
    "harbor_kim": ("harbor", "Practitioner/harbor-kim"),
    "bridge_ada": ("bridge", "Practitioner/bridge-ada"),
    "harbor_device": ("harbor", "Device/triage"),
    "river_elsewhere": ("river", None),
}


def _organization(id_: str) -> Json:
    resource: Json = {"resourceType": "Organization", "id": id_, "name": id_}
    if id_ == "harbor":
        resource["partOf"] = {"reference": "Organization/county"}
    program = {"open-door": "victim-service", "detox": "part2"}.get(id_)
    if program:
        resource["type"] = [{"coding": [{"system": PROGRAM, "code": program}]}]
    return resource


def _role(id_: str, organization: str, **more: Any) -> Json:
    return {
        "resourceType": "PractitionerRole",
        "id": id_,
        "practitioner": {"reference": "Practitioner/harbor-kim"},
        "organization": {"reference": f"Organization/{organization}"},
    } | more


def _member(reference: str, **more: Any) -> Json:
    return {"entity": {"reference": reference}} | more


DIRECTORY: tuple[tuple[str, tuple[Json, ...]], ...] = (
    (
        "river",
        (
            {"resourceType": "Practitioner", "id": "river-lee"},
            {"resourceType": "Practitioner", "id": "river-mo"},
            {
                "resourceType": "Questionnaire",
                "id": "phq-9",
                "url": "https://throughline.example/fhir/Questionnaire/phq-9",
                "status": "active",
                "code": [{"system": "http://loinc.org", "code": "44249-1"}],
            },
        ),
    ),
    ("bridge", ({"resourceType": "Practitioner", "id": "bridge-ada"},)),
    (
        "harbor",
        (
            {"resourceType": "Practitioner", "id": "harbor-kim"},
            {"resourceType": "Device", "id": "triage"},
            _role("kim-at-harbor", "harbor"),
            _role("kim-once", "harbor", period={"start": "2019-01-01", "end": "2020-01-01"}),
            _role("kim-elsewhere", "bridge"),
            _role("kim-off", "harbor", active=False),
        ),
    ),
    (
        "river",
        (
            {
                "resourceType": "Group",
                "id": "night-staff",
                "type": "practitioner",
                "actual": True,
                "member": [
                    _member("Practitioner/harbor-kim"),
                    _member("Practitioner/river-mo", period={"end": "2020-01-01"}),
                    _member("Practitioner/bridge-ada", inactive=True),
                ],
            },
        ),
    ),
)


@dataclass
class Stage:
    """The service with its agencies. rids: by literal reference of the directory."""

    service: Service
    http: httpx.AsyncClient
    rids: dict[str, int] = field(default_factory=dict)
    _tokens: dict[tuple[str, str, bool], dict[str, str]] = field(default_factory=dict)
    _secrets: dict[str, str] = field(default_factory=dict)
    _number: int = 0

    async def build(self) -> None:
        """The directory and the clients."""
        for id_ in ("county", *(o for o in ORGANIZATIONS.values() if o != "county")):
            await self._administer(None, _organization(id_))
        for organization, entries in DIRECTORY:
            for entry in entries:
                await self._administer(organization, entry)
        for name, id_ in ORGANIZATIONS.items():
            await self._client(name, id_, privacy_officer=name == "privacy_office")
        for name, (organization, reference) in PEOPLE.items():
            practitioner = self.rids[reference] if reference else None
            # Who reads River's records "elsewhere" is another agency's client of the same kind.
            owner = "bridge" if reference is None else organization
            await self._client(name, owner, practitioner=practitioner)

    async def _administer(self, organization: str | None, resource: Json) -> None:
        pool = self.service.database.pool
        rid = (
            self.rids[f"Organization/{organization}"]
            if organization
            else await pool.fetchval("SELECT nextval('tl.rid')")
        )
        epoch = await pool.fetchval("SELECT epoch FROM tl.directory_epoch")
        closure = base_closure((rid,), has_organization=True, emergency=False)
        (written,) = await writing.write(
            self.service.database,
            Caller(closure, (rid,), 0, rid, epoch),
            [writing.Operation(resource["resourceType"], resource["id"], resource)],
            writing.WriteRules((), allow_client_ids=True),
        )
        self.rids[f"{resource['resourceType']}/{resource['id']}"] = written.rid

    async def _client(self, name: str, organization: str, **options: Any) -> None:
        secret = await clients.add_client(
            self.service.database.pool,
            client_id=name,
            organization=self.rids[f"Organization/{organization}"],
            scope="system/*.cruds",
            purposes_of_use=ALL_PURPOSES,
            **{"emergency": True, **options},
        )
        assert secret is not None
        self._secrets[name] = secret

    async def person(self, name: str, rid: int) -> None:
        """A client that is a survivor's or a relative's own app."""
        await self._client(name, "bridge", patient=rid)

    async def headers(self, name: str, purpose: str, *, emergency: bool = False) -> dict[str, str]:
        """The bearer token of a caller for a purpose."""
        key = (name, purpose, emergency)
        if key not in self._tokens:
            form = {
                "grant_type": "client_credentials",
                "client_id": name,
                "client_secret": self._secrets[name],
                "purpose_of_use": purpose,
            }
            if emergency:
                form["emergency_reason"] = "found unconscious"
            elif purpose in ("ETREAT", "BTG"):
                # A client that is registered for no emergencies may name the purpose all the same.
                await self._client(f"{name}-calm", name.replace("_", "-"), emergency=False)
                form |= {
                    "client_id": f"{name}-calm",
                    "client_secret": self._secrets[f"{name}-calm"],
                }
            answer = await self.http.post("/oauth/token", data=form)
            assert answer.status_code == 200, answer.text
            token = answer.json()["access_token"]
            self._tokens[key] = {"Authorization": f"Bearer {token}"}
        return self._tokens[key]

    async def as_(self, name: str, purpose: str = "TREAT") -> Agency:
        """A way in for an agency."""
        return Agency(self.http, await self.headers(name, purpose))

    def number(self) -> int:
        """A number of its own for each record."""
        self._number += 1
        return self._number


@dataclass
class Agency:
    """A way in: every call carries its bearer token."""

    http: httpx.AsyncClient
    headers: dict[str, str]

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = self.headers | options.pop("headers", {})
        return await self.http.request(method, f"/fhir{path}", headers=headers, **options)

    async def get(self, path: str) -> httpx.Response:
        return await self.send("GET", path)

    async def put(self, path: str, resource: Json) -> httpx.Response:
        return await self.send("PUT", path, json=resource)

    async def post(self, path: str, resource: Json) -> httpx.Response:
        return await self.send("POST", path, json=resource)


@cache
def fixture(name: str) -> str:
    """The text of a fixture: a Consent, or with `record/` an entry of the record."""
    return (FIXTURES / f"{name}.json").read_text("utf-8")


@dataclass
class Record:
    """A case's own record. ids: `Type/id` on the server by `Type/id` in the fixtures; by: who wrote it."""

    stage: Stage
    prefix: str
    shift: timedelta
    ids: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str:
        """`Type/id` on the server of a resource by its name in the case."""
        return self.ids[self.names[name]]

    def caller(self, name: str) -> str:
        """The client of a caller: people with apps are the record's own."""
        return f"{self.prefix}{name}" if name.endswith("_app") else name

    async def write(self, by: str, resources: dict[str, Json]) -> None:
        """Write resources, named as in the case, in one transaction of an agency."""
        urns = {
            f"{r['resourceType']}/{r['id']}": f"urn:uuid:00000000-0000-4000-8000-{n:012}"
            for n, r in enumerate(resources.values(), start=1)
        }
        text = json.dumps(list(resources.values()))
        for local, name in {**self.ids, **urns}.items():
            text = text.replace(f'"{local}"', f'"{name}"')
        entries = []
        for local, resource in zip(urns, json.loads(text), strict=True):
            resource.pop("id")
            type_ = resource["resourceType"]
            entries.append(
                {
                    "fullUrl": urns[local],
                    "resource": resource,
                    "request": {"method": "POST", "url": type_},
                }
            )
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        answer = await (await self.stage.as_(by)).post("", bundle)
        assert answer.status_code == 200, answer.text
        for name, local, entry in zip(resources, urns, answer.json()["entry"], strict=True):
            type_, id_ = entry["response"]["location"].split("/_history/")[0].split("/")[-2:]
            self.ids[local] = f"{type_}/{id_}"
            self.names[name] = local

    async def rid(self, name: str) -> int:
        """The rid of a resource, as an administrator would look it up."""
        owner = self.stage.service.database
        type_, id_ = self.of(name).split("/")
        found: int = await owner.pool.fetchval(
            "SELECT tl.occupied((SELECT code FROM tl.resource_type WHERE name = $1), $2)",
            type_,
            id_,
        )
        return found


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def moved(resource: Any, shift: timedelta) -> Any:
    """The resource with the dates of every `period` of a provision moved; clinical times stay."""
    if isinstance(resource, list):
        return [moved(each, shift) for each in resource]
    if not isinstance(resource, dict):
        return resource
    return {
        key: {bound: _moved(text, shift) for bound, text in value.items()}
        if key == "period" and isinstance(value, dict)
        else moved(value, shift)
        for key, value in resource.items()
    }


def _moved(text: str, shift: timedelta) -> str:
    if _DAY.fullmatch(text):
        days = timedelta(days=round(shift / timedelta(days=1)))
        return (datetime.fromisoformat(text) + days).date().isoformat()
    return (datetime.fromisoformat(text) + shift).astimezone(UTC).isoformat()


RecordFactory = Callable[[], Record]

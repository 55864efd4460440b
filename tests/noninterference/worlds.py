"""Two worlds, equal but for what is hidden from the caller: the same service over two databases.

Both tell the same story over HTTP. The fuller one holds beside it what the caller may not see: entries of the
same patient under a withheld label or class, another patient, other agencies' Consents, lists, documents,
closed directory entries. What is shown holds in both worlds elements that are withheld and differ: labelled
ones, the other grantees of a Consent, a version from before a label. Ids are made alike in both worlds, so that
answers can be compared byte for byte.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
from fastapi import FastAPI

from app.consent.redaction import INLINE_LABEL
from app.ids import LogicalId
from app.interactions import write_references, writing
from app.main import create_app
from app.security import clients
from app.settings import Settings
from app.storage.database import Caller, base_closure
from tests.conftest import Database
from tests.noninterference.direct import Answer, Ready, ask, ready
from tests.spine.conftest import ACT_CODE, ACT_REASON, actor, consent, observation

Json = dict[str, Any]
AGENCIES = ("river-clinic", "harbor-psychiatry", "bridge-legal-aid")
RIVER, HARBOR, BRIDGE = AGENCIES
_SPACE = uuid.UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8")
MH = {"system": ACT_CODE, "code": "MH"}
VEIL = {"extension": [{"url": INLINE_LABEL, "valueCoding": MH}]}
CLOSED_VEIL = {
    "extension": [{"url": INLINE_LABEL, "valueCoding": {"system": ACT_CODE, "code": "LOCIS"}}]
}
SECRET = {"meta": {"security": [MH]}}
TYPES = "http://hl7.org/fhir/resource-types"


def known_id(name: str) -> str:
    """The id that a resource of this name has in every world."""
    return str(uuid.UUID(bytes=uuid.uuid5(_SPACE, name).bytes, version=4))


_making: ContextVar[Iterator[str]] = ContextVar("names of the ids that are made next")


@contextmanager
def ids(prefix: str) -> Iterator[None]:
    """Ids that this task makes in the block follow from `prefix` and their number."""
    token = _making.set(f"{prefix}{number}" for number in itertools.count())
    try:
        yield
    finally:
        _making.reset(token)


def _next_id() -> LogicalId:
    return LogicalId(known_id(next(_making.get())))


@dataclass
class World:
    """One of the two. callers: bearer header by agency."""

    application: FastAPI
    callers: dict[str, bytes] = field(default_factory=dict)
    told: dict[str, Json] = field(default_factory=dict)
    """What was told last, by name."""

    async def ask(self, caller: str, request: Ready) -> Answer:
        """Ask as this caller, whose token must not have run out: two refusals are alike."""
        answer = await ask(self.application, request, self.callers[caller])
        assert answer.status != 401, answer.text
        return answer

    async def send(self, caller: str, method: str, path: str, body: Any = None) -> Answer:
        return await self.ask(caller, ready(method, path, body))

    async def tell(self, name: str, resource: Json, by: str = RIVER) -> None:
        """Create one resource under the id of its name."""
        with ids(name):
            answer = await self.send(by, "POST", f"/{resource['resourceType']}", resource)
        assert answer.status == 201, answer.text
        self.told[name] = resource

    async def act(self, what: str) -> None:
        """River withdraws the permit, or gives it again; nothing where it was never told."""
        permit = self.told.get("permit")
        if permit is not None:
            status = {"withdraw": "inactive", "restore": "active"}[what]
            await self.retell("permit", permit | {"status": status})

    async def retell(self, name: str, resource: Json, by: str = RIVER) -> None:
        """A further version of it."""
        type_, id_ = resource["resourceType"], id_of(name)
        answer = await self.send(by, "PUT", f"/{type_}/{id_}", resource | {"id": id_})
        assert answer.status == 200, answer.text


def ref(type_: str, name: str) -> dict[str, str]:
    """A reference to a resource by its name in the story."""
    return {"reference": f"{type_}/{known_id(name + '0')}"}


def id_of(name: str) -> str:
    """The id of a resource of the story."""
    return known_id(name + "0")


ANA = ref("Patient", "ana")
VISIBLE = (
    ("Observation", "seen1"),
    ("Observation", "seen2"),
    ("Observation", "seen3"),
    ("Encounter", "visit"),
    ("DocumentReference", "letter"),
    ("ServiceRequest", "request"),
    ("Task", "task"),
    ("Provenance", "origin"),
    ("Patient", "ana"),
    ("Observation", "labelled"),
    ("Observation", "relabelled"),
    ("Consent", "permit"),
    ("Organization", "hall"),
)
HIDDEN = (
    ("Observation", "veiled1"),
    ("Observation", "veiled2"),
    ("Observation", "joint"),
    ("Condition", "illness"),
    ("Patient", "bo"),
    ("Observation", "bos"),
    ("Consent", "for-bridge"),
    ("Provenance", "trace"),
    ("List", "list"),
    ("Binary", "binary"),
    ("DocumentReference", "note"),
    ("Task", "secret-task"),
    ("QuestionnaireResponse", "answers"),
    ("RelatedPerson", "aunt"),
    ("Location", "house"),
    ("Organization", "refuge"),
    ("AuditEvent", "event"),
    ("Communication", "message"),
)


def _identified(value: str) -> list[dict[str, str]]:
    return [{"system": "urn:mrn", "value": value}]


def directory(*, fuller: bool) -> list[tuple[str, Json]]:
    """A directory entry that is open but for its address, which differs; a form, and a measure."""
    cities = ("Ulm", "Bonn") if fuller else ("Rome",)
    return [
        (
            "hall",
            {
                "resourceType": "Organization",
                "name": "Hall",
                "telecom": [{"system": "phone", "value": "555-0100"}],
                "address": [{"city": city} | CLOSED_VEIL for city in cities],
            },
        ),
        ("form", form()),
        ("measure", measure()),
    ]


def form() -> Json:
    """A Questionnaire that is filled in from what is known, labelled elements among it."""
    asked = ("%patient.name.family", "%patient.birthDate.toString()", "%patient.gender")
    initial = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-initialExpression"
    launch = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-launchContext"
    system = "http://hl7.org/fhir/uv/sdc/CodeSystem/launchContext"
    return {
        "resourceType": "Questionnaire",
        "status": "active",
        "extension": [
            {
                "url": launch,
                "extension": [
                    {"url": "name", "valueCoding": {"system": system, "code": "patient"}},
                    {"url": "type", "valueCode": "Patient"},
                ],
            }
        ],
        "item": [
            {
                "linkId": str(number),
                "type": "string",
                "repeats": True,
                "extension": [
                    {
                        "url": initial,
                        "valueExpression": {"language": "text/fhirpath", "expression": text},
                    }
                ],
            }
            for number, text in enumerate(asked)
        ],
    }


def measure() -> Json:
    """A Measure that counts Observations, by codes that only labelled elements have, too."""
    strata = ("status=final", "component-code=8867-4", "identifier=secret")

    def counted(query: str) -> Json:
        return {"criteria": {"language": "application/x-fhir-query", "expression": query}}

    return {
        "resourceType": "Measure",
        "status": "active",
        "group": [
            {
                "population": [counted("Observation?status=final,amended")],
                "stratifier": [
                    {
                        "component": [
                            counted(f"Observation?{each}") | {"code": {"text": each}}
                            for each in strata
                        ]
                    }
                ],
            }
        ],
    }


def labelled(*, fuller: bool) -> Json:
    """An Observation whose labelled elements differ in number, place and kind."""
    if fuller:
        hidden: Json = {
            "identifier": [*_identified("4"), _identified("secret")[0] | VEIL],
            "encounter": ref("Encounter", "visit") | VEIL,
            "valueQuantity": {"value": 7, "unit": "kg"} | VEIL,
            "note": [{"text": "openword"}, {"text": "veiledword"} | VEIL],
            "component": [
                {
                    "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
                    "valueQuantity": {"value": 77},
                }
                | VEIL
            ],
        }
    else:
        hidden = {
            "identifier": [_identified("1")[0] | VEIL, *_identified("4")],
            "derivedFrom": [ref("Observation", "seen1") | VEIL],
            "note": [{"text": "other"} | VEIL, {"text": "openword"}, {"text": "more"} | VEIL],
        }
    return observation(id_of("ana"), effectiveDateTime="2026-03-04", **hidden)


def relabelled(*, fuller: bool) -> tuple[Json, Json]:
    """Two versions: what the first says in the open, the second labels."""
    word = "loudword" if fuller else "quietword"
    return tuple(  # type: ignore[return-value]
        observation(id_of("ana"), effectiveDateTime="2026-03-05", note=[{"text": word} | label])
        for label in ({}, VEIL)
    )


def shown(*, fuller: bool) -> list[tuple[str, Json]]:
    """The story that the caller knows, with elements that the caller does not."""
    patient = id_of("ana")
    names = (
        [{"family": "Sample"}, {"family": "Veiled"} | VEIL]
        if fuller
        else [{"given": ["V"]} | VEIL, {"family": "Sample"}]
    )
    permit = consent(
        patient,
        type="permit",
        actor=actor(HARBOR) + (actor(BRIDGE) if fuller else []),
        action=[
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/consentaction", "code": c}
                ]
            }
            for c in ("access", "correct")
        ],
        purpose=[{"system": ACT_REASON, "code": "TREAT"}],
        provision=[
            {"type": "deny", "securityLabel": [MH]},
            {
                "type": "deny",
                "class": [{"system": TYPES, "code": c} for c in ("Condition", "List")],
            },
            {
                "type": "deny",
                "class": [{"system": TYPES, "code": "Observation"}],
                "dataPeriod": {"end": "2020-12-31"},
            },
        ],
    )
    # Without a time of its own the last deny would keep it from those to whom it speaks.
    permit["dateTime"] = "2026-03-01"
    when = {"effectiveDateTime": "2026-03-02"}
    return [
        (
            "ana",
            {
                "resourceType": "Patient",
                "name": names,
                "gender": "female",
                "birthDate": "1990-05-05" if fuller else "1980-01-01",
                "_birthDate": VEIL,
            },
        ),
        ("permit", permit),
        ("seen1", observation(patient, identifier=_identified("1"))),
        ("seen2", observation(patient, **when, identifier=_identified("2"))),
        ("seen3", observation(patient, status="amended", effectiveDateTime="2026-03-03")),
        (
            "visit",
            {
                "resourceType": "Encounter",
                "status": "finished",
                "class": {"system": ACT_CODE, "code": "AMB"},
                "subject": ANA,
                "period": {"start": "2026-03-01", "end": "2026-03-01"},
            },
        ),
        (
            "letter",
            {
                "resourceType": "DocumentReference",
                "status": "current",
                "subject": ANA,
                "date": "2026-03-01T10:00:00Z",
                "content": [{"attachment": {"contentType": "text/plain", "data": "QQ=="}}],
            },
        ),
        (
            "request",
            {
                "resourceType": "ServiceRequest",
                "status": "active",
                "intent": "order",
                "subject": ANA,
                "authoredOn": "2026-03-01",
            },
        ),
        (
            "task",
            {
                "resourceType": "Task",
                "status": "draft",
                "intent": "order",
                "focus": ref("ServiceRequest", "request"),
                "for": ANA,
                "authoredOn": "2026-03-01",
            },
        ),
        (
            "origin",
            {
                "resourceType": "Provenance",
                "target": [ref("Observation", "seen1")],
                "recorded": "2026-03-01T10:00:00Z",
                "agent": [{"who": {"display": "River"}}],
            },
        ),
    ]


def veiled() -> list[tuple[str, Json]]:
    """What the fuller world holds beside it, all of it hidden from the caller."""
    ana, bo = id_of("ana"), id_of("bo")
    return [
        (
            "veiled1",
            observation(
                ana,
                **SECRET,
                identifier=_identified("secret"),
                derivedFrom=[ref("Observation", "seen1")],
                encounter=ref("Encounter", "visit"),
            ),
        ),
        ("veiled2", observation(ana, effectiveDateTime="2019-05-05", identifier=_identified("1"))),
        (
            "illness",
            {
                "resourceType": "Condition",
                "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
                "subject": ANA,
                "encounter": ref("Encounter", "visit"),
            },
        ),
        ("bo", {"resourceType": "Patient", "name": [{"family": "Sample"}], "gender": "female"}),
        ("bos", observation(bo, identifier=_identified("2"))),
        ("joint", observation(ana, focus=[ref("Patient", "bo")])),
        (
            "for-bridge",
            consent(
                ana,
                type="permit",
                actor=actor(BRIDGE),
                purpose=[{"system": ACT_REASON, "code": "COC"}],
            )
            | SECRET,
        ),
        (
            "trace",
            {
                "resourceType": "Provenance",
                "target": [ref("Observation", "seen1"), ref("Observation", "veiled1")],
                "recorded": "2026-03-01T10:00:00Z",
                "agent": [{"who": {"display": "River"}}],
            }
            | SECRET,
        ),
        (
            "list",
            {
                "resourceType": "List",
                "status": "current",
                "mode": "working",
                "subject": ANA,
                "entry": [{"item": ref("Observation", "seen1")}],
            },
        ),
        (
            "binary",
            {
                "resourceType": "Binary",
                "contentType": "text/plain",
                "data": "QQ==",
                "securityContext": ref("Observation", "veiled1"),
            }
            | SECRET,
        ),
        (
            "note",
            {
                "resourceType": "DocumentReference",
                "status": "current",
                "subject": ANA,
                "date": "2026-03-01T10:00:00Z",
                "content": [{"attachment": {"contentType": "text/plain", "data": "QQ=="}}],
                "relatesTo": [{"code": "appends", "target": ref("DocumentReference", "letter")}],
            }
            | SECRET,
        ),
        (
            "secret-task",
            {
                "resourceType": "Task",
                "status": "draft",
                "intent": "order",
                "focus": ref("ServiceRequest", "request"),
                "for": ANA,
            }
            | SECRET,
        ),
        (
            "answers",
            {"resourceType": "QuestionnaireResponse", "status": "completed", "subject": ANA}
            | SECRET,
        ),
        ("aunt", {"resourceType": "RelatedPerson", "patient": ANA} | SECRET),
        (
            "house",
            {
                "resourceType": "Location",
                "name": "House",
                "meta": {"security": [{"system": ACT_CODE, "code": "LOCIS"}]},
            },
        ),
        (
            "refuge",
            {
                "resourceType": "Organization",
                "name": "Refuge",
                "meta": {
                    "security": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
                            "code": "V",
                        }
                    ]
                },
            },
        ),
        (
            "message",
            {
                "resourceType": "Communication",
                "status": "completed",
                "subject": ANA,
                "about": [ref("Observation", "seen2")],
            }
            | SECRET,
        ),
    ]


@asynccontextmanager
async def twins(
    database: Callable[[], Database], folder: Path, *, caller: str
) -> AsyncIterator[tuple[World, World]]:
    """(fuller, plainer). To Harbor the plainer lacks what is veiled; to Bridge, all but the directory."""
    async with served(database(), folder) as fuller, served(database(), folder) as plainer:
        await asyncio.gather(
            *(_tell(world, caller, full=world is fuller) for world in (fuller, plainer))
        )
        yield fuller, plainer


async def _tell(world: World, caller: str, *, full: bool) -> None:
    await _admit(world)
    for name, resource in directory(fuller=full):
        await world.tell(name, resource)
    # To Bridge the permit would open what the plainer world has not.
    if full or caller == HARBOR:
        for name, resource in shown(fuller=full and caller == HARBOR):
            await world.tell(name, resource)
        first, second = relabelled(fuller=full)
        await world.tell("labelled", labelled(fuller=full))
        await world.tell("relabelled", first)
        await world.retell("relabelled", second)
    if full:
        for name, resource in veiled():
            await world.tell(name, resource)


async def _admit(world: World) -> None:
    """Write the agencies, and give each its client and token."""
    database = world.application.state.service.database
    transport = httpx.ASGITransport(app=world.application)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        for name in AGENCIES:
            rid = await database.pool.fetchval("SELECT nextval('tl.rid')")
            epoch = await database.pool.fetchval("SELECT epoch FROM tl.directory_epoch")
            closure = base_closure((rid,), has_organization=True, emergency=False)
            organization = {"resourceType": "Organization", "id": name, "name": name}
            (written,) = await writing.write(
                database,
                Caller(closure, (rid,), 0, rid, epoch),
                [writing.Operation("Organization", name, organization)],
                writing.WriteRules((), allow_client_ids=True),
            )
            secret = await clients.add_client(
                database.pool,
                client_id=name,
                organization=written.rid,
                scope="system/*.cruds",
                purposes_of_use=("TREAT", "COC"),
            )
            form = {"grant_type": "client_credentials", "client_id": name, "client_secret": secret}
            answer = await http.post("/oauth/token", data=form)
            assert answer.status_code == 200, answer.text
            world.callers[name] = f"Bearer {answer.json()['access_token']}".encode()


@asynccontextmanager
async def served(made: Database, folder: Path) -> AsyncIterator[World]:
    """The service over a database as it stands, with nobody admitted by this process yet.

    Tokens outlive a run, and no statement is too slow: both worlds would be refused, or one of them by chance.
    """
    settings = Settings(
        state_dir=folder,
        max_bundle_entries=50,
        pool_max=4,
        answer_beat_ms=0,
        token_lifetime_seconds=30 * 24 * 3600,
        statement_timeout_ms=120_000,
        request_timeout_ms=240_000,
    )
    application = create_app(settings, made.service_url)
    with mock.patch.object(write_references, "new_logical_id", _next_id):
        async with application.router.lifespan_context(application):
            yield World(application)

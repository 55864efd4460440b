"""The people of the matrix: three records and everybody who may knock, with real clients and tokens.

Ana consents to Harbor (TREAT), except psychotherapy notes; Bo consents to nothing. River wrote both records.
Every resource carries a marker that tells its relation, so that a leak shows wherever it comes out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import httpx

from app.security import clients, tokens
from app.security.keys import load_keys
from app.security.sealing import Seal
from app.storage.clients import find_client, revoke_client
from tests.authz import people
from tests.security.provider import Provider
from tests.spine.conftest import ACT_CODE, AGENCIES, World, actor, consent, observation

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES

RELATIONS: Final = ("shared", "excepted", "unshared", "missing")
"""shared: Ana's, permitted to Harbor. excepted: Ana's, a psychotherapy note that her permit leaves out.
unshared: Bo's, who permitted nothing. missing: there is no such thing."""

MARKERS: Final = {
    "shared": "zqsharedzq",
    "excepted": "zqexceptedzq",
    "unshared": "zqunsharedzq",
}

MISSING_ID: Final = "00000000-0000-4000-8000-00000000dead"

ACTORS: Final = (
    "custodian",
    "consented",
    "other purpose",
    "unconsented",
    "emergency",
    "survivor's app",
    "another's app",
    "clinician",
    "survivor",
    "privacy officer",
    "narrow scope",
    "revoked client",
    "expired token",
    "altered token",
    "no token",
)
"""The clinician (of Harbor) and the survivor (Ana) sign in at an OpenID provider (`tests.authz.people`); the
others are clients with tokens of our own."""


@dataclass
class House:
    """The running service with its actors' headers, and the survivors' ids by relation."""

    world: World
    patients: dict[str, str] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    made: dict[tuple[str, str], str] = field(default_factory=dict)
    tells: dict[str, str] = field(default_factory=dict)
    """By relation, what betrays a record in an answer that does not hold its content."""

    async def subject(self, type_: str, relation: str, *, fresh: bool = False) -> str:
        """The id of a resource of the type in this relation; made where there is none, or `fresh`."""
        if relation == "missing":
            return MISSING_ID
        if type_ == "AuditEvent":
            return await self._audit_event(relation)
        if type_ == "Patient" and not fresh:
            return self.patients[relation]
        if fresh or (type_, relation) not in self.made:
            build = BUILDERS[type_]
            answer = await self.world[RIVER].post(f"/{type_}", await build(self, relation))
            assert answer.status_code == 201, answer.text
            id_ = answer.json()["id"]
            if fresh:
                return str(id_)
            self.made[type_, relation] = id_
        return self.made[type_, relation]

    async def _audit_event(self, relation: str) -> str:
        """The id of the entry that tells of a read of a record in this relation."""
        read = await self.subject("Observation", relation)
        self.tells[relation] = f"Observation/{read}"
        await self.world[RIVER].get(f"/Observation/{read}")
        owner = await asyncpg.connect(self.world.database.admin_url)
        await owner.execute("SELECT tl.index_audit(100000)")
        id_ = await owner.fetchval(
            "SELECT id::text FROM tl.audit_entry WHERE interaction = 'read' AND $1 = ANY (entities)",
            self.tells[relation],
        )
        await owner.close()
        return str(id_)

    def marked(self, resource: dict[str, Any], relation: str) -> dict[str, Any]:
        """The resource with the marker and the labels of its relation."""
        if relation == "excepted":
            label = {"system": ACT_CODE, "code": "PSYTHPN"}
            resource = resource | {"meta": {"security": [label]}}
        return resource


async def _patient(house: House, relation: str) -> dict[str, Any]:
    resource = {"resourceType": "Patient", "name": [{"family": MARKERS[relation]}]}
    return house.marked(resource, relation)


async def _observation(house: House, relation: str) -> dict[str, Any]:
    patient = house.patients.get(relation, MISSING_ID)
    note = [{"text": MARKERS.get(relation, "")}] if relation in MARKERS else [{"text": "-"}]
    return house.marked(observation(patient, note=note), relation)


async def _task(house: House, relation: str) -> dict[str, Any]:
    patient = house.patients.get(relation, MISSING_ID)
    resource = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "description": MARKERS.get(relation, "-"),
        "for": {"reference": f"Patient/{patient}"},
    }
    return house.marked(resource, relation)


async def _measure(house: House, relation: str) -> dict[str, Any]:
    query = {"language": "application/x-fhir-query", "expression": "Observation?status=final"}
    # About somebody, so that the matrix has somebody to hide.
    about = {"reference": f"Patient/{house.patients.get(relation, MISSING_ID)}"}
    resource = {
        "resourceType": "Measure",
        "status": "active",
        "extension": [{"url": "https://example.org/about", "valueReference": about}],
        "group": [{"population": [{"criteria": query}]}],
    }
    return house.marked(resource, relation)


async def _plan_definition(house: House, relation: str) -> dict[str, Any]:
    return {"resourceType": "PlanDefinition", "status": "active", "title": "Pathway"}


async def _questionnaire(house: House, relation: str) -> dict[str, Any]:
    item = {"linkId": "a", "type": "string", "code": [{"code": "said"}]}
    extract = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-observationExtract"
    return {
        "resourceType": "Questionnaire",
        "status": "active",
        "extension": [{"url": extract, "valueBoolean": True}],
        "item": [item],
    }


async def _questionnaire_response(house: House, relation: str) -> dict[str, Any]:
    patient = house.patients.get(relation, MISSING_ID)
    resource = {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        "contained": [await _questionnaire(house, relation) | {"id": "asked"}],
        "questionnaire": "#asked",
        "subject": {"reference": f"Patient/{patient}"},
        "item": [{"linkId": "a", "answer": [{"valueString": MARKERS.get(relation, "-")}]}],
    }
    return house.marked(resource, relation)


async def _consent(house: House, relation: str) -> dict[str, Any]:
    # Inactive: it stands in the record and changes nothing.
    patient = house.patients.get(relation, MISSING_ID)
    resource = consent(patient, type="deny") | {"status": "inactive"}
    return house.marked(
        resource | {"identifier": [{"value": MARKERS.get(relation, "-")}]}, relation
    )


def _own(resource: dict[str, Any], relation: str) -> dict[str, Any]:
    """A directory resource under R: its custodian's alone, whatever a survivor consents to."""
    restricted = {
        "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
        "code": "R",
    }
    named = {"title": MARKERS.get(relation, "-"), "meta": {"security": [restricted]}}
    return resource | named


async def _value_set(_house: House, relation: str) -> dict[str, Any]:
    include = [{"system": "http://example.org/a", "concept": [{"code": "a"}]}]
    resource = {"resourceType": "ValueSet", "status": "active", "compose": {"include": include}}
    return _own(resource, relation)


async def _code_system(_house: House, relation: str) -> dict[str, Any]:
    resource = {
        "resourceType": "CodeSystem",
        "url": f"http://example.org/{relation}",
        "status": "active",
        "content": "complete",
        "concept": [{"code": "a"}],
    }
    return _own(resource, relation)


BUILDERS: Final[dict[str, Callable[[House, str], Awaitable[dict[str, Any]]]]] = {
    "Patient": _patient,
    "Observation": _observation,
    "Task": _task,
    "Consent": _consent,
    "ValueSet": _value_set,
    "CodeSystem": _code_system,
    "Measure": _measure,
    "PlanDefinition": _plan_definition,
    "Questionnaire": _questionnaire,
    "QuestionnaireResponse": _questionnaire_response,
}
"""How a resource of a type is made in a relation; a route about another type needs a builder here."""


async def build(world: World, provider: Provider) -> House:
    """Write the records, register the actors. provider: the one that the service takes people's tokens of."""
    house = House(world)
    river = world[RIVER]
    for name, relation in (("shared", "shared"), ("unshared", "unshared")):
        answer = await river.post("/Patient", await _patient(house, relation))
        house.patients[name] = answer.json()["id"]
    house.patients["excepted"] = house.patients["shared"]
    purpose = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}]
    note = [{"system": ACT_CODE, "code": "PSYTHPN"}]
    given = consent(
        house.patients["shared"],
        type="permit",
        actor=actor(HARBOR),
        purpose=purpose,
        provision=[{"type": "deny", "securityLabel": note}],
    )
    assert (await river.post("/Consent", given)).status_code == 201
    await _actors(house)
    house.headers |= await people.sign_in(world, provider, house.patients)
    return house


async def _actors(house: House) -> None:
    world = house.world
    pool = world.service.database.pool
    rids = {name: await _rid(world, house.patients[name]) for name in ("shared", "unshared")}
    legal = world.organizations[LEGAL]
    for client_id, organization, options in (
        ("ana-app", legal, {"patient": rids["shared"], "purposes_of_use": ("PATRQT",)}),
        ("bo-app", legal, {"patient": rids["unshared"], "purposes_of_use": ("PATRQT",)}),
        ("night-room", legal, {"emergency": True, "purposes_of_use": ("ETREAT",)}),
        ("officer", legal, {"privacy_officer": True, "purposes_of_use": ("HCOMPL",)}),
        ("leaver", world.organizations[HARBOR], {"purposes_of_use": ("TREAT",)}),
    ):
        secret = await clients.add_client(
            pool,
            client_id=client_id,
            organization=organization,
            scope="system/*.cruds",
            **options,
        )
        world.secrets[client_id] = secret or ""
    reason = {"purpose_of_use": "ETREAT", "emergency_reason": "found unconscious"}
    house.headers = {
        "custodian": await _bearer(world, RIVER),
        "consented": await _bearer(world, HARBOR),
        "other purpose": await _bearer(world, HARBOR, purpose_of_use="CAREMGT"),
        "unconsented": await _bearer(world, LEGAL),
        "emergency": await _bearer(world, "night-room", **reason),
        "survivor's app": await _bearer(world, "ana-app"),
        "another's app": await _bearer(world, "bo-app"),
        "privacy officer": await _bearer(world, "officer"),
        "narrow scope": await _bearer(world, RIVER, scope="system/Questionnaire.cruds"),
        "revoked client": await _bearer(world, "leaver"),
        "expired token": await _expired(world),
        "no token": {},
    }
    whole = house.headers["consented"]["Authorization"]
    house.headers["altered token"] = {"Authorization": f"{whole[:-9]}{whole[-1:-10:-1]}"}
    await revoke_client(pool, "leaver")
    for _ in range(100):  # a second at most: the notice is on its way
        answer = await world.http.get("/fhir/Patient", headers=house.headers["revoked client"])
        if answer.status_code == 401:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("a revoked client's token is still good")


async def _rid(world: World, id_: str) -> int:
    owner = await asyncpg.connect(world.database.admin_url)
    rid: int = await owner.fetchval("SELECT rid FROM tl.resource WHERE id = $1", id_)
    await owner.close()
    return rid


async def _bearer(world: World, name: str, **form: str) -> dict[str, str]:
    answer = await world.token(name, **form)
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def _expired(world: World) -> dict[str, str]:
    pool = world.service.database.pool
    client = await find_client(pool, RIVER)
    assert client is not None
    token = tokens.mint(
        await load_keys(pool, Seal(world.service.settings)),
        client,
        issuer=world.service.settings.fhir_base.removesuffix("/fhir"),
        purpose="TREAT",
        scope="system/*.cruds",
        lifetime=-60,
    )
    return {"Authorization": f"Bearer {token}"}


def outcome(house: House, answer: httpx.Response) -> str:
    """A cell: the status, and the first letters of the relations whose marker is in the answer."""
    text = answer.text + str(dict(answer.headers))
    seen = "".join(
        name[0]
        for name, marker in MARKERS.items()
        if marker in text or house.tells.get(name, marker) in text
    )
    return f"{answer.status_code}{':' if seen else ''}{seen}"

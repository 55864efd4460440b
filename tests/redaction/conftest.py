"""One record with labelled elements: River writes all of it, Harbor may see it but for what is labelled SDV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.consent.redaction import INLINE_LABEL
from tests.enrolled import Enrolled
from tests.spine.conftest import (
    ACT_CODE,
    ACT_REASON,
    AGENCIES,
    Agency,
    World,
    actor,
    consent,
    observation,
    open_world,
)

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES
TREAT = [{"system": ACT_REASON, "code": "TREAT"}]
ACTIONS = "http://terminology.hl7.org/CodeSystem/consentaction"
LOINC = "http://loinc.org"
SECRET_CODE = {"coding": [{"system": LOINC, "code": "8867-4"}]}
Json = dict[str, Any]


def label(code: str = "SDV") -> list[Json]:
    """The extension that labels an element."""
    return [{"url": INLINE_LABEL, "valueCoding": {"system": ACT_CODE, "code": code}}]


def actions(*codes: str) -> list[Json]:
    return [{"coding": [{"system": ACTIONS, "code": code}]} for code in codes]


@dataclass
class Record:
    """The world with the record; ids by name."""

    world: World
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def river(self) -> Agency:
        return self.world[RIVER]

    @property
    def harbor(self) -> Agency:
        return self.world[HARBOR]

    async def write(self, name: str, resource: Json) -> str:
        answer = await self.river.post(f"/{resource['resourceType']}", resource)
        assert answer.status_code == 201, answer.text
        self.ids[name] = str(answer.json()["id"])
        return self.ids[name]

    async def found(self, agency: Agency, path: str) -> set[str]:
        """Names of what a search shows."""
        answer = await agency.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        names = {id_: name for name, id_ in self.ids.items()}
        return {
            names.get(e["resource"]["id"], e["resource"]["id"])
            for e in answer.json().get("entry", ())
        }

    async def patch(self, agency: Agency, path: str, patch: Any) -> httpx.Response:
        return await agency.http.patch(
            f"/fhir{path}",
            headers=agency.headers | {"content-type": "application/json-patch+json"},
            json=patch,
        )


def patient() -> Json:
    return {
        "resourceType": "Patient",
        "name": [{"family": "Sample"}, {"family": "Concealed", "extension": label()}],
        "gender": "female",
        "birthDate": "1990-05-05",
        "_birthDate": {"extension": label()},
        "address": [{"city": "Hiddentown", "extension": label()}, {"city": "Opentown"}],
    }


def measured(subject: str, visit: str) -> Json:
    """An Observation most of whose search parameters come from labelled elements."""
    return observation(
        subject,
        text={
            "status": "generated",
            "div": '<div xmlns="http://www.w3.org/1999/xhtml">concealednarrative</div>',
        },
        identifier=[
            {"system": "urn:x", "value": "shown"},
            {"system": "urn:x", "value": "concealed", "extension": label()},
        ],
        encounter={"reference": f"Encounter/{visit}", "extension": label()},
        valueQuantity={"value": 0.40, "unit": "kg", "extension": label()},
        note=[{"text": "open remark"}, {"text": "concealedword", "extension": label()}],
        component=[
            {"code": SECRET_CODE, "valueQuantity": {"value": 77}, "extension": label()},
            {
                "code": {"coding": [{"system": LOINC, "code": "8480-6"}]},
                "valueQuantity": {"value": 120},
            },
        ],
    )


@pytest.fixture
async def record(enrolled: Callable[[], Enrolled], tmp_path: Path) -> AsyncIterator[Record]:
    async with open_world(enrolled(), tmp_path) as world:
        made = Record(world)
        ana = await made.write("ana", patient())
        await made.write(
            "permit",
            consent(
                ana,
                type="permit",
                actor=actor(HARBOR),
                purpose=TREAT,
                action=actions("access", "correct"),
                provision=[
                    {"type": "deny", "securityLabel": [{"system": ACT_CODE, "code": "SDV"}]}
                ],
            ),
        )
        visit = await made.write(
            "visit",
            {
                "resourceType": "Encounter",
                "status": "finished",
                "class": {"system": ACT_CODE, "code": "AMB"},
                "subject": {"reference": f"Patient/{ana}"},
                "period": {"start": "2026-03-01", "end": "2026-03-01"},
            },
        )
        await made.write("measured", measured(ana, visit))
        yield made

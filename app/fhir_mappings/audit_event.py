"""An audit entry as an R4 AuditEvent on the patterns of IHE BALP (Basic Audit Log Patterns).

Pinned: hl7.org/fhir/R4/auditevent.html, profiles.ihe.net/ITI/BALP 1.1 (content). For reads the client is the
destination and the server the source; for queries and writes it is the other way round, as BALP has it.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

Json = dict[str, Any]

_BALP: Final = "https://profiles.ihe.net/ITI/BALP"
_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_INTERACTION: Final = "http://hl7.org/fhir/restful-interaction"
_OWN: Final = "urn:throughline:audit"
_ENTITY: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
_DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_PARTICIPATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_PATTERNS: Final = {
    "create": "Create",
    "read": "Read",
    "vread": "Read",
    "update": "Update",
    "patch": "Update",
    "delete": "Delete",
}
_MASKED: Final = {
    "extension": [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
            "valueCode": "masked",
        }
    ]
}
_REST: Final = frozenset(
    {
        *("read", "vread", "update", "patch", "delete", "create", "capabilities", "operation"),
        *("history", "history-instance", "history-type", "history-system"),
        *("search", "search-type", "search-system", "transaction", "batch"),
    }
)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One event, as far as it is about one survivor (survivor set) or about the service itself.

    organization, practitioner, survivor, entities: literal references. about: what was asked for, `Type` or
    `Type/id`, where no record of a survivor came of it. outcome: 0, 4, 8 or 12.
    """

    id: UUID
    recorded: datetime
    action: str
    interaction: str
    outcome: int
    client_id: str | None
    organization: str | None
    practitioner: str | None
    purpose: str | None
    emergency_reason: str | None
    about: str | None
    survivor: str | None
    entities: tuple[str, ...]
    query: str | None
    request_id: UUID


def audit_event(entry: AuditEntry, base_url: str) -> Json:
    """The resource. base_url: the FHIR base, which names this server as the observer."""
    rest = entry.interaction in _REST or entry.interaction.startswith("search")
    told: Json = {
        "resourceType": "AuditEvent",
        "id": str(entry.id),
        "meta": {"lastUpdated": _instant(entry.recorded)},
        "type": {"system": _TYPE, "code": "rest", "display": "RESTful Operation"}
        if rest
        else {"system": _DICOM, "code": "110112" if entry.action == "R" else "110114"},
        "subtype": [_subtype(entry.interaction)],
        "action": entry.action,
        "recorded": _instant(entry.recorded),
        "outcome": str(entry.outcome),
        "agent": _agents(entry, base_url),
        "source": {
            "observer": {"display": base_url},
            "type": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/security-source-type",
                    "code": "4",
                    "display": "Application Server",
                }
            ],
        },
        "entity": _entities(entry),
    }
    pattern = _pattern(entry)
    if pattern is not None:
        told["meta"]["profile"] = [f"{_BALP}/StructureDefinition/IHE.BasicAudit.{pattern}"]
    if entry.purpose is not None:
        told["purposeOfEvent"] = [{"coding": [{"system": _REASON, "code": entry.purpose}]}]
    if entry.emergency_reason is not None:
        told["outcomeDesc"] = f"Emergency access: {entry.emergency_reason}"
    return told


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _pattern(entry: AuditEntry) -> str | None:
    """The pattern that the entry meets; none for tokens and operations, nor where nothing was found to name."""
    who = "Patient" if entry.survivor else ""
    if entry.interaction.startswith("search"):
        return f"{who}Query" if entry.survivor or entry.query is not None else None
    pattern = _PATTERNS.get(entry.interaction)
    return f"{who}{pattern}" if pattern is not None and len(entry.entities) == 1 else None


def _subtype(interaction: str) -> Json:
    # Operations and tokens have no code of FHIR's own.
    known = interaction in _REST
    return {"system": _INTERACTION if known else _OWN, "code": interaction}


def _agents(entry: AuditEntry, base_url: str) -> list[Json]:
    source = {"coding": [{"system": _DICOM, "code": "110153", "display": "Source Role ID"}]}
    destination = {
        "coding": [{"system": _DICOM, "code": "110152", "display": "Destination Role ID"}]
    }
    reads = entry.action == "R"
    client: Json = {
        "type": destination if reads else source,
        "who": {"identifier": {"value": entry.client_id or "unknown"}},
        "requestor": entry.practitioner is None,
    }
    if entry.client_id is not None:
        client["altId"] = entry.client_id
    server: Json = {
        "type": source if reads else destination,
        "who": {"display": base_url},
        "requestor": False,
    }
    agents = [client, server]
    for reference, code, requests in (
        (entry.organization, "CST", False),
        (entry.practitioner, "IRCP", True),
    ):
        if reference is not None:
            agents.append(
                {
                    "type": {"coding": [{"system": _PARTICIPATION, "code": code}]},
                    "who": {"reference": reference},
                    "requestor": requests,
                }
            )
    return agents


def _entities(entry: AuditEntry) -> list[Json]:
    system_object = {"system": _ENTITY, "code": "2", "display": "System Object"}
    found: list[Json] = []
    if entry.survivor is not None:
        found.append(
            {
                "what": {"reference": entry.survivor},
                "type": {"system": _ENTITY, "code": "1", "display": "Person"},
                "role": {"system": _ROLE, "code": "1", "display": "Patient"},
            }
        )
    found += [
        {
            "what": {"reference": reference},
            "type": system_object,
            "role": {"system": _ROLE, "code": "4", "display": "Domain Resource"},
        }
        for reference in entry.entities
    ]
    if entry.survivor is not None and entry.interaction.startswith("search"):
        # What was searched for may name others: whom it is about is told that there was a search.
        found.append(
            {
                "type": system_object,
                "role": {"system": _ROLE, "code": "24", "display": "Query"},
                "_query": _MASKED,
            }
        )
    if entry.query is not None or entry.about is not None:
        asked: Json = {"type": system_object}
        asked["role"] = {"system": _ROLE, "code": "24", "display": "Query"}
        asked["description"] = entry.about or "the service"
        if entry.query is not None:
            asked["query"] = base64.b64encode(entry.query.encode()).decode()
        found.append(asked)
    found.append(
        {
            "what": {"identifier": {"value": str(entry.request_id)}},
            "type": {"system": f"{_BALP}/CodeSystem/BasicAuditEntityType", "code": "XrequestId"},
        }
    )
    return found

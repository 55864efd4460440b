"""What the application serves, read from its routes: the CapabilityStatement claims that and nothing else.

A route's summary is the name of its interaction. Pinned: hl7.org/fhir/R4/capabilitystatement.html. Neighbours:
`app.routers.registered_operations`, `app.fhir_mappings.capability` renders it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI

from app.fhir_mappings.json_text import JsonObject
from app.routers.negotiation import OFFERED

_PREFIX: Final = "/fhir"
_TYPE_CODES: Final = (
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)
_SYSTEM_CODES: Final = ("transaction", "batch", "search-system", "history-system")


@dataclass(frozen=True, slots=True)
class Registered:
    """names: the summaries of all FHIR routes, one by one."""

    names: frozenset[str]

    @property
    def type_interactions(self) -> tuple[str, ...]:
        """The codes of CapabilityStatement.rest.resource.interaction."""
        return tuple(code for code in _TYPE_CODES if code in self.names)

    @property
    def system_interactions(self) -> tuple[str, ...]:
        """The codes of CapabilityStatement.rest.interaction."""
        return tuple(code for code in _SYSTEM_CODES if code in self.names)

    def tell(self, statement: JsonObject) -> None:
        """Put what concerns the whole system into a statement: interactions, compartments, formats."""
        rest = statement["rest"][0]
        rest["interaction"] = [{"code": code} for code in self.system_interactions]
        if "search-compartment" in self.names:
            rest["compartment"] = ["http://hl7.org/fhir/CompartmentDefinition/patient"]
        statement["format"] = list(OFFERED)


def registered(application: FastAPI) -> Registered:
    """Read the routes of an application."""
    return Registered(
        frozenset(name for summary in _summaries(application) for name in summary.split(", "))
    )


def _summaries(application: FastAPI) -> list[str]:
    """Of every FHIR route, whichever router it is on."""
    found = []
    for route in application.routes:
        # Included routers are one route each, which knows those within it.
        contexts = getattr(route, "effective_route_contexts", None)
        for each in contexts() if contexts else [route]:
            path, summary = getattr(each, "path", None), getattr(each, "summary", None)
            if path and summary and path.startswith(_PREFIX):
                found.append(summary)
    return found

"""What is known of a write on its way, and what became of it: types only.

Neighbours: `app.interactions.operation` (what is to be written), `app.interactions.writing` (the
pipeline) and its steps `write_lock`, `write_references`, `write_rows`.
Pinned: hl7.org/fhir/R4/http.html#create, #update, #patch, #delete, #transaction.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from app.fhir_mappings import links
from app.interactions.guards import Guard
from app.interactions.operation import Operation
from app.storage.resources import Current, Target

Json: TypeAlias = dict[str, Any]

Targets: TypeAlias = dict[tuple[str, str], Target]
"""(type name, id) to what a reference to it hands on."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of an operation. status: 200, 201 or 204; content empty where deleted.

    also: rids of what guards wrote beside it; told with the first of a transaction's operations.
    """

    type: str
    id: str
    rid: int
    version: int
    last_updated: datetime
    status: int
    content: bytes
    also: tuple[int, ...] = ()

    @property
    def rids(self) -> tuple[int, ...]:
        """All that was written, for the audit row."""
        return (self.rid, *self.also)


@dataclass(slots=True)
class Plan:
    """An operation on its way. resource: the new content, None where it deletes.

    program: the program bits of the writer (`app.consent.labelling`). rests_on: (type, id) of what it
    refers to by canonical address, which counts like a reference from which labels climb. security: the
    Codings of its meta.security, and labels: the mask that they mean.
    """

    operation: Operation
    current: Current | None
    rid: int = 0
    id: str = ""
    resource: Json | None = None
    found: list[links.LinkRef] = field(default_factory=list)
    subjects: tuple[int, ...] = ()
    labels: int = 0
    security: list[Json] = field(default_factory=list)
    program: int = 0
    rests_on: list[tuple[str, str]] = field(default_factory=list)
    unchanged: bool = False


@dataclass(frozen=True, slots=True)
class WriteRules:
    """Settings that writing depends on.

    guards: see `app.interactions.guards`, in their order. conditional_delete_limit: how many resources
    a conditional delete may take away at once.
    """

    base_urls: tuple[str, ...]
    allow_client_ids: bool = False
    guards: tuple[Guard, ...] = ()
    conditional_delete_limit: int = 1

"""Typed identifiers, so that the type checker catches one id passed for another.

`Rid` is the database's own key of a resource (bigint, never shown outside). Everything that a
grant compares (patient, custodian, grantee) is a Rid: exact, narrow, and no identifier of a
person is copied into an index. `LogicalId` is FHIR's `Resource.id`
(hl7.org/fhir/R4/datatypes.html#id: 1 to 64 of `A-Z a-z 0-9 - .`).
"""

from __future__ import annotations

import re
import uuid
from typing import NewType

Rid = NewType("Rid", int)
LogicalId = NewType("LogicalId", str)

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def is_logical_id(text: str) -> bool:
    """True where `text` is a legal FHIR id (whole string)."""
    return _ID.fullmatch(text) is not None


def new_logical_id() -> LogicalId:
    """A random id: version 4, so that it tells nothing about when or after whom it was made."""
    return LogicalId(str(uuid.uuid4()))

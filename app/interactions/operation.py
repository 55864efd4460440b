"""One thing to write, as every interaction, Bundle entry and guard hands it to `app.interactions.writing`.

Pinned: hl7.org/fhir/R4/http.html#create, #update, #patch, #delete, #transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Operation:
    """One thing to write.

    id None creates. resource None deletes, unless `change` is given: it makes the new content from
    the present one (patch) and raises FhirError where it cannot. full_url: the entry's, to which other
    entries may refer. where: the FHIRPath of its resource in a Bundle, empty outside of one.
    """

    type: str
    id: str | None = None
    resource: dict[str, Any] | None = None
    if_match: int | None = None
    full_url: str | None = None
    where: str = ""
    change: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    on_behalf_of: int | None = None

    @property
    def deletes(self) -> bool:
        """Whether it takes the resource away."""
        return self.resource is None and self.change is None

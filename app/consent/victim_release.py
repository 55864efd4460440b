"""What a victim-service provider's release must say (34 USC 12291(b)(2), 28 CFR 94.115, 45 CFR 1370.4).

Written, informed, reasonably time-limited, never blanket: every permit of a Consent that such a provider
manages names its recipients, a purpose and an end. A permit inside another inherits its periods only
(docs/decisions/0001-the-spine.md). Neighbours: `app.interactions.consent_rules` refuses with these faults;
`app.consent.statutes` keeps the provider's records from permits that fall short.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from app.consent.criteria import reference_of
from app.consent.provision import ROOT
from app.consent.reading import Json, many, one, text

RECIPIENT: Final = (
    "A victim-service provider's release must name who receives the records: "
    "add an actor with a reference."
)
PURPOSE: Final = "A victim-service provider's release must say what for: add a purpose."
END: Final = (
    "A victim-service provider's release must be limited in time: add a period with an end."
)


class Fault(NamedTuple):
    """What is missing, and the FHIRPath of the element that should be there."""

    expression: str
    diagnostics: str


def faults(consent: Json) -> list[Fault]:
    """What an active Consent of a victim-service provider lacks; [] for one that is not active."""
    root = one(consent, "provision")
    if text(consent, "status") != "active" or root is None:
        return []
    return list(_faults(root, ROOT, ends=False))


def _faults(provision: Json, path: str, *, ends: bool) -> Iterator[Fault]:
    ends = ends or text(one(provision, "period") or {}, "end") is not None
    if text(provision, "type") == "permit":
        actors = [reference_of(one(each, "reference") or {}) for each in many(provision, "actor")]
        if not actors or not all(actors):
            yield Fault(f"{path}.actor", RECIPIENT)
        if not many(provision, "purpose"):
            yield Fault(f"{path}.purpose", PURPOSE)
        if not ends:
            yield Fault(f"{path}.period", END)
    for position, child in enumerate(many(provision, "provision")):
        yield from _faults(child, f"{path}.provision[{position}]", ends=ends)

"""A Consent's provisions as typed trees, hoisted so that children are exceptions.

A child of its parent's type is a grant (or a deny) of its own and inherits only the periods on the
way; it becomes its parent's sibling. After hoisting, every child is of the opposite type, an
exception inside its parent. A provision without a type counts for nothing but its periods: what
stands in it is read as if it stood in its place (docs/decisions/0001-the-spine.md, "From a Consent
to grants"). Pinned: hl7.org/fhir/R4/consent.html#Consent.provision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from app.consent import criteria
from app.consent import purposes as purposes_of_use
from app.consent.criteria import Resolve, Scope
from app.consent.model import Clause, Terms
from app.consent.periods import Span, period
from app.consent.reading import Json, many, one, text
from app.consent.reasons import Reason, ReasonCode, reason
from app.ids import Rid

ROOT: Final = "Consent.provision"
"""FHIRPath of the root provision."""


@dataclass(frozen=True, slots=True)
class Provision:
    """One provision of a hoisted tree.

    path: its FHIRPath. permits: whether it is a permit. clauses: its own criteria by its own
        reading, and every period on the way; all must hold. wide: the same without the criteria
        that could not be recognised, for a permit around a deny (never approximated to permit).
    actors: the known actors, None where it names none. named: it names a person, role, organization
        or device, not only a Group or CareTeam. emergency: it lists ETREAT or BTG literally.
    relatives: its actors that are a Patient or a RelatedPerson; groups: that are a Group or CareTeam.
    label_codes: the sensitivity codes that it names itself.
    exceptions: provisions of the other type inside it.
    """

    path: str
    permits: bool
    clauses: tuple[Clause, ...]
    wide: tuple[Clause, ...]
    actors: tuple[Rid, ...] | None
    named: bool
    emergency: bool
    relatives: frozenset[Rid]
    groups: frozenset[Rid]
    label_codes: frozenset[str]
    exceptions: tuple[Provision, ...]


@dataclass(frozen=True, slots=True)
class Provisions:
    """The trees of one Consent, and what in them could not be read as written."""

    roots: tuple[Provision, ...]
    faults: tuple[Reason, ...]
    root_permits: bool | None
    root_span: Span
    paths: tuple[tuple[Provision, ...], ...]
    """Every provision as the path that leads to it, from a root to itself."""


def _paths(path: tuple[Provision, ...]) -> Iterator[tuple[Provision, ...]]:
    yield path
    for exception in path[-1].exceptions:
        yield from _paths((*path, exception))


@dataclass(slots=True)
class _Node:
    path: str
    permits: bool
    clauses: tuple[Clause, ...]
    wide: tuple[Clause, ...]
    actors: tuple[Rid, ...] | None
    named: bool
    emergency: bool
    relatives: frozenset[Rid]
    groups: frozenset[Rid]
    label_codes: frozenset[str]
    holder: _Node | None
    inside: list[_Node] = field(default_factory=list)

    def frozen(self) -> Provision:
        return Provision(
            self.path,
            self.permits,
            self.clauses,
            self.wide,
            self.actors,
            self.named,
            self.emergency,
            self.relatives,
            self.groups,
            self.label_codes,
            tuple(node.frozen() for node in self.inside),
        )


class _Reader:
    def __init__(self, resolve: Resolve, terms: Terms) -> None:
        self.resolve = resolve
        self.terms = terms
        self.roots: list[_Node] = []
        self.faults: list[Reason] = []

    def read(
        self, element: Json, path: str, holder: _Node | None, periods: tuple[Clause, ...]
    ) -> None:
        """Read a provision and what is inside it; `holder` is the provision around it."""
        if "modifierExtension" in element:
            self.faults.append(reason(ReasonCode.UNKNOWN_MODIFIER, path))
        own = one(element, "period")
        if own is not None:
            span, unreadable = period(own)
            periods += criteria.valid(span)
            if unreadable:
                self.faults.append(reason(ReasonCode.UNREADABLE_PERIOD, f"{path}.period"))
        permits = _permits(element)
        if permits is None:
            self.faults.append(reason(ReasonCode.UNTYPED_PROVISION, path))
            around = holder
        else:
            if holder is not None and holder.permits == permits:
                holder = holder.holder
            around = self._node(element, path, holder, periods, permits=permits)
            (self.roots if holder is None else holder.inside).append(around)
        for position, child in enumerate(many(element, "provision")):
            self.read(child, f"{path}.provision[{position}]", around, periods)

    def _node(
        self,
        element: Json,
        path: str,
        holder: _Node | None,
        periods: tuple[Clause, ...],
        *,
        permits: bool,
    ) -> _Node:
        scope = Scope(permits, path, self.resolve, self.terms)
        actors = criteria.actors(element, scope)
        self.faults += actors.faults
        for name in ("actor", "data"):
            for position, item in enumerate(many(element, name)):
                if "modifierExtension" in item:
                    where = f"{path}.{name}[{position}]"
                    self.faults.append(reason(ReasonCode.UNKNOWN_MODIFIER, where))
        clauses = periods
        if actors.rids is not None:
            clauses += (criteria.actor_clause(actors.rids, permits=permits),)
        wide = clauses
        for read in criteria.CRITERIA:
            criterion = read(element, scope)
            self.faults += criterion.faults
            clauses += criterion.clauses
            wide += () if criterion.unrecognised else criterion.clauses
        listed = {criteria.purpose_code(coding) for coding in many(element, "purpose")}
        emergency = any(
            code is not None and purposes_of_use.purpose_bit(code) & purposes_of_use.EMERGENCY
            for code in listed
        )
        return _Node(
            path,
            permits,
            clauses,
            wide,
            actors.rids,
            actors.named,
            emergency,
            actors.relatives,
            actors.groups,
            criteria.label_codes(element),
            holder,
        )


def _permits(element: Json) -> bool | None:
    return {"permit": True, "deny": False}.get(text(element, "type") or "")


def parse(consent: Json, resolve: Resolve, terms: Terms) -> Provisions:
    """The provisions of a Consent, structurally valid R4, as hoisted trees.

    resolve: Rids by literal reference; what is missing counts as not known here. Whether the
    Consent may be enforced at all is `app.consent.enforceable`.
    """
    reader = _Reader(resolve, terms)
    root = one(consent, "provision")
    if root is not None:
        reader.read(root, ROOT, None, ())
    root = root or {}
    roots = tuple(node.frozen() for node in reader.roots)
    return Provisions(
        roots,
        tuple(reader.faults),
        _permits(root),
        period(one(root, "period") or {}).span,
        tuple(path for each in roots for path in _paths((each,))),
    )

"""An independent judge: walks the Consent itself, as the house's consent text says it, every time.

It shares no code with `app.consent` and never sees a grant, a mask or a Rid: actors are references,
labels are codings, times are datetimes. Slow and plain on purpose. The property test holds the
compiled grants against it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

Json = Mapping[str, Any]
Coded = tuple[str, str]

_LABELS = json.loads(
    (Path(__file__).parents[2] / "app/consent/data/security-labels.json").read_text("utf-8")
)
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
PROGRAM = "https://throughline.example/fhir/CodeSystem/program"
LADDER = "ULMNRV"
_EVER = datetime.min.replace(tzinfo=UTC)
_NEVER = datetime.max.replace(tzinfo=UTC)
NAMING = {"Practitioner", "PractitionerRole", "Organization", "Device", "Patient", "RelatedPerson"}


def _parents(group: str) -> dict[str, list[str]]:
    return {c["code"]: c["parents"] for c in _LABELS[group]["concepts"]}


SENSITIVITY = _parents("sensitivity")
PURPOSES = _parents("purposeOfUse")
SILENT = {*_parents("obligation"), *_parents("refrain"), "HIPAASelfPay"} - {"NOPAT"}
"""ActCode security labels that say nothing about sensitivity (as far as the tests use them)."""


def is_a(code: str, ancestor: str, parents: Mapping[str, list[str]]) -> bool:
    return code == ancestor or any(is_a(p, ancestor, parents) for p in parents.get(code, ()))


class Caller(NamedTuple):
    """Who asks. wider: organizations above the caller's own (partOf), which widen denies only."""

    identities: frozenset[str]
    purpose: str
    wider: frozenset[str] = frozenset()
    emergency: bool = False

    @property
    def organization(self) -> str | None:
        """The one organization that the token names; of several drawn, the first by name."""
        return min((i for i in self.identities if i.startswith("Organization/")), default=None)


class Thing(NamedTuple):
    """A resource as the outside sees it. clinical: first and last instant, both inclusive."""

    reference: str
    type: str
    custodian: str
    security: tuple[Coded, ...] = ()
    clinical: tuple[datetime, datetime] | None = None
    codes: frozenset[Coded] = frozenset()
    profiles: frozenset[str] = frozenset()
    references: frozenset[str] = frozenset()
    referenced_by: frozenset[str] = frozenset()
    authors: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Given:
    """A Consent as given: recorded by whom, and releasing whose records (None: all)."""

    resource: Json
    recorder: str
    releases: str | None = None


def _every(provision: Json) -> Iterator[Json]:
    yield provision
    for child in provision.get("provision", ()):
        yield from _every(child)


@dataclass
class Node:
    """A typed provision: around is the nearest one of the other type that it stands in."""

    raw: Json
    type: str
    periods: list[Json]
    around: Node | None
    inside: list[Node] = field(default_factory=list)


def place(root: Json) -> list[Node]:
    """Every typed provision of a Consent; the first of an outermost kind have nothing around."""
    nodes: list[Node] = []

    def visit(raw: Json, ancestors: list[Node], periods: list[Json]) -> None:
        periods = periods + ([raw["period"]] if "period" in raw else [])
        if raw.get("type") in {"permit", "deny"}:
            others = [a for a in ancestors if a.type != raw["type"]]
            node = Node(raw, raw["type"], periods, others[-1] if others else None)
            if node.around:
                node.around.inside.append(node)
            nodes.append(node)
            ancestors = [*ancestors, node]
        for child in raw.get("provision", ()):
            visit(child, ancestors, periods)

    visit(root, [], [])
    return nodes


def _placed(consent: Json) -> list[Node]:
    root = consent.get("provision")
    return place(root) if root else []


def chain(node: Node) -> list[Node]:
    """The node and all that it stands in, the outermost first."""
    return [*(chain(node.around) if node.around else []), node]


@cache
def meaning(coding: Coded) -> str | None:
    """The one label a coding means; None where it is no label that can be told from others."""
    system, code = coding
    if system == CONFIDENTIALITY and code in {*LADDER, "ETH", "HIV", "PSY", "SDV"}:
        return code
    if system == ACT_CODE and (code in SENSITIVITY or code in {"NOPAT", "42CFRPart2"}):
        return code
    if (system, code) == (PROGRAM, "victim-service"):
        return code
    return None


def silent(coding: Coded) -> bool:
    """A security coding that is known to say nothing about sensitivity."""
    system, code = coding
    return system == ACT_REASON or (system == ACT_CODE and code in SILENT)


@dataclass(frozen=True)
class Active:
    """An active Consent, its provisions in their places, and whether its permits count."""

    given: Given
    nodes: list[Node]
    enforceable: bool


@dataclass(frozen=True)
class Judge:
    """Decides for one survivor; `known` are the references that lead somewhere."""

    patient: str
    given: Sequence[Given]
    known: frozenset[str]
    types: frozenset[str]
    ceilings: Sequence[Json] = ()

    def permits(self, caller: Caller, thing: Thing, action: str, now: datetime) -> bool:
        """Step by step as "Decision for one resource, one caller, at one instant"."""
        ask = Ask(self, caller, thing, action, now)
        if any(ask.denying(policy, trusted=True) for policy in self.policies):
            return False
        denies = [
            deny
            for each in self.active
            for deny in ask.denying(each.nodes, trusted=each.enforceable)
        ]
        if any(_names_someone(deny) for deny in denies):
            return False
        if thing.custodian == caller.organization:
            return True
        if self.patient in caller.identities and action == "access":
            kept_back = {"PSYTHPN", "NOPAT"}
            if not kept_back & {meaning(coding) for coding in thing.security}:
                return True
        if caller.emergency and caller.purpose in {"ETREAT", "BTG"} and action == "access":
            named = [d for d in denies if d.get("actor") or _lists_emergency(d)]
            if not named:
                return True
        if denies:
            return False
        return any(
            ask.permitted(each.nodes)
            for each in self.active
            if each.enforceable
            and (
                each.given.recorder == self.patient
                or each.given.recorder not in caller.identities | caller.wider
            )
            and each.given.releases in {None, thing.custodian}
        )

    @cached_property
    def policies(self) -> list[list[Node]]:
        """The provisions of the ceilings."""
        return [_placed(policy) for policy in self.ceilings]

    @cached_property
    def active(self) -> list[Active]:
        """The active Consents: what of them does not hang on the question is found once."""
        return [
            Active(given, _placed(given.resource), self.enforceable(given.resource))
            for given in self.given
            if _active(given.resource)
        ]

    @cached_property
    def shut_out(self) -> set[str]:
        """Relatives whom a counting deny names: they cannot consent."""
        return {
            a["reference"]["reference"]
            for given in self.given
            if _active(given.resource)
            for node in _placed(given.resource)
            if node.type == "deny"
            for a in node.raw.get("actor", ())
            if a["reference"].get("reference", "").split("/")[0] in {"Patient", "RelatedPerson"}
            and a["reference"]["reference"] in self.known - {self.patient}
        }

    def enforceable(self, consent: Json) -> bool:
        """The rules of "A Consent is in force when", as far as time is not among them."""
        root = consent.get("provision")
        if any(p.get("reference") in self.shut_out for p in consent.get("performer", ())):
            return False
        if not root or not consent.get("patient", {}).get("reference"):
            return False
        if any(v["verified"] is False for v in consent.get("verification", ())):
            return False
        base = {c["code"] for c in consent.get("policyRule", {}).get("coding", ())}
        if root.get("type") == "permit" and base & {"OPTOUT", "OPTOUTE", "NOCONSENT"}:
            return False
        if root.get("type") == "deny" and base & {"OPTIN", "OPTINR"}:
            return False
        return not any(self._fault(provision) for provision in _every(root))

    def _fault(self, provision: Json) -> bool:
        return (
            provision.get("type") not in {"permit", "deny"}
            or "modifierExtension" in provision
            or any(reversed_(provision[p]) for p in ("period", "dataPeriod") if p in provision)
            or any(not _actions_of(concept) for concept in provision.get("action", ()))
            or any(
                actor["reference"].get("reference") not in self.known
                for actor in provision.get("actor", ())
            )
            or any(d["reference"]["reference"] not in self.known for d in provision.get("data", ()))
            or any(c["code"] not in PURPOSES for c in provision.get("purpose", ()))
            or not self.class_readable(provision)
            or not code_readable(provision)
            or (provision["type"] == "permit" and not labels_readable(provision))
        )

    def class_readable(self, provision: Json) -> bool:
        return all(
            c["code"] in self.types
            if c["system"] == "http://hl7.org/fhir/resource-types"
            else c["system"] == "urn:ietf:rfc:3986"
            for c in provision.get("class", ())
        )


def code_readable(provision: Json) -> bool:
    return all(concept.get("coding") for concept in provision.get("code", ()))


def labels_readable(provision: Json) -> bool:
    return all(meaning((c["system"], c["code"])) for c in provision.get("securityLabel", ()))


def _active(consent: Json) -> bool:
    scopes = {c["code"] for c in consent["scope"]["coding"]}
    return bool(consent["status"] == "active" and "patient-privacy" in scopes)


def _actions_of(concept: Json) -> set[str]:
    known = {"collect", "access", "use", "disclose", "correct"}
    return {c["code"] for c in concept["coding"]} & known


def _names_someone(provision: Json) -> bool:
    references = [a["reference"].get("reference", "") for a in provision.get("actor", ())]
    return any(r.split("/")[0] in NAMING for r in references)


def _lists_emergency(provision: Json) -> bool:
    return any(c["code"] in {"ETREAT", "BTG"} for c in provision.get("purpose", ()))


class Ask:
    """One question, put to one Consent after another."""

    def __init__(
        self, judge: Judge, caller: Caller, thing: Thing, action: str, now: datetime
    ) -> None:
        self.judge, self.caller, self.thing = judge, caller, thing
        self.action, self.now = action, now
        self.wide = caller.identities | caller.wider
        meant = {meaning(coding) for coding in thing.security}
        stated = [LADDER.index(m) for m in meant if m and m in LADDER]
        self.stated = max(stated) if stated else None
        self.concrete = {m for m in meant if m in SENSITIVITY and not m.startswith("_")}
        self.marks = {m for m in meant if m in {"NOPAT", "42CFRPart2", "victim-service"}}
        # An abstract code, or one we do not know, is a label all the same, of an unknown kind.
        self.unknown = any(
            (meaning(coding) or "_").startswith("_") and not silent(coding)
            for coding in thing.security
        )
        self.silent = any(silent(coding) for coding in thing.security)

    def permitted(self, nodes: list[Node]) -> bool:
        """Whether a provision with nothing around says permit."""
        if not any(self.result(n) == "permit" for n in nodes if not n.around):
            return False
        permits = [n for n in nodes if n.type == "permit"]
        return any(
            self._lawful(node, permits)
            for node in permits
            if all(self.match(each, trusted=True) for each in chain(node))
        )

    def _lawful(self, node: Node, permits: list[Node]) -> bool:
        """ "What the law asks" of a permit, for what the resource is labelled with."""
        if self.action == "correct" and self.thing.type == "Consent":
            return False
        on_the_way = [each for each in chain(node) if each.type == "permit"]
        if "PSYTHPN" in self.concrete and not all(
            any(c["code"] == "PSYTHPN" for c in n.raw.get("securityLabel", ())) for n in permits
        ):
            return False
        named = any("actor" in n.raw for n in on_the_way)
        listed = [{c["code"] for c in n.raw["purpose"]} for n in on_the_way if "purpose" in n.raw]
        ends = any("end" in period for n in on_the_way for period in n.periods)
        complete = named and bool(listed)
        if "victim-service" in self.marks and not (complete and ends):
            return False
        if "42CFRPart2" in self.marks:
            shared = set.intersection(*listed) if listed else set()
            routine = listed and all(
                any(is_a(code, top, PURPOSES) for top in ("TREAT", "HPAYMT", "HOPERAT"))
                for code in shared
            )
            if not complete or not (ends or routine):
                return False
            legal_only = all(
                n.raw.get("purpose") and all(c["code"] == "HLEGAL" for c in n.raw["purpose"])
                for n in permits
            )
            if self.caller.purpose == "HLEGAL" and not legal_only:
                return False
        return "NOPAT" not in self.marks or self._not_family(on_the_way)

    def _not_family(self, on_the_way: list[Node]) -> bool:
        """Whether one who is neither the patient nor a relative is permitted."""
        naming = [n.raw["actor"] for n in on_the_way if "actor" in n.raw]
        if not naming:
            return self.judge.patient not in self.caller.identities | self.caller.wider
        relatives = {
            a["reference"]["reference"]
            for actors in naming
            for a in actors
            if a["reference"].get("reference", "").startswith(("Patient/", "RelatedPerson/"))
        }
        for actor in naming[-1]:
            who = actor["reference"].get("reference", "")
            if who not in self.caller.identities or who in relatives:
                continue
            if who.split("/")[0] in NAMING or self.judge.patient not in (
                self.caller.identities | self.caller.wider
            ):
                return True
        return False

    def result(self, node: Node) -> str | None:
        """None where it does not match; else the deepest match decides, deny among siblings."""
        if not self.match(node, trusted=True):
            return None
        inside = [self.result(child) for child in node.inside]
        return "deny" if "deny" in inside else "permit" if "permit" in inside else node.type

    def denying(self, nodes: list[Node], *, trusted: bool) -> list[Json]:
        """The deny provisions that decide; in a Consent not to be trusted, permits do not count."""
        tops = [node for node in nodes if not node.around]
        return [raw for node in tops for raw in self._denying(node, trusted=trusted)]

    def _denying(self, node: Node, *, trusted: bool) -> list[Json]:
        if not self.match(node, trusted=trusted):
            return []
        found = [raw for child in node.inside for raw in self._denying(child, trusted=trusted)]
        excepted = trusted and any(self.match(child, trusted=True) for child in node.inside)
        if node.type == "deny" and not excepted:
            found.append(node.raw)
        return found

    def match(self, node: Node, *, trusted: bool) -> bool:
        """All given criteria must match; an absent criterion matches all."""
        raw, permit = node.raw, node.type == "permit"
        wide = not trusted
        return (
            all(within(self.now, p) for p in node.periods)
            and self._actor(raw, permit=permit)
            and self._action(raw, permit=permit)
            and self._purpose(raw, permit=permit)
            and (self._label(raw, permit=permit) or (wide and not labels_readable(raw) and permit))
            and (self._class(raw) or self._unread(permit, wide, self.judge.class_readable(raw)))
            and (self._code(raw) or self._unread(permit, wide, code_readable(raw)))
            and self._data_period(raw, permit=permit)
            and self._data(raw)
        )

    @staticmethod
    def _unread(permit: bool, wide: bool, readable: bool) -> bool:
        return not readable and (wide or not permit)

    def _actor(self, raw: Json, *, permit: bool) -> bool:
        if "actor" not in raw:
            return True
        who = self.caller.identities if permit else self.wide
        return any(a["reference"].get("reference") in who for a in raw["actor"])

    def _action(self, raw: Json, *, permit: bool) -> bool:
        if "action" not in raw:
            return self.action == "access" or not permit
        named = [{c["code"] for c in concept["coding"]} for concept in raw["action"]]
        if permit:
            return any(self.action in codes for codes in named)
        return any(codes != {"correct"} or self.action == "correct" for codes in named)

    def _purpose(self, raw: Json, *, permit: bool) -> bool:
        if "purpose" not in raw:
            return True
        codes = [c["code"] for c in raw["purpose"]]
        if permit:
            return self.caller.purpose in codes
        return any(is_a(self.caller.purpose, code, PURPOSES) for code in codes)

    def _label(self, raw: Json, *, permit: bool) -> bool:
        if "securityLabel" not in raw:
            return True
        codings = [(c["system"], c["code"]) for c in raw["securityLabel"]]
        named = [m for m in map(meaning, codings) if m]
        ladder = [LADDER.index(m) for m in named if m in LADDER]
        kinds = [m for m in named if m not in LADDER]
        covered = {
            label
            for label in self.concrete | self.marks
            if any(is_a(label, kind, SENSITIVITY) for kind in kinds)
        }
        level = self.stated if self.stated is not None else LADDER.index("N")
        if not permit:
            strange = any(meaning(c) is None and not silent(c) for c in codings)
            abstract = any(m.startswith("_") for m in named)
            return (
                bool(covered)
                or (bool(ladder) and level >= min(ladder))
                or (self.unknown and (strange or abstract))
                or (self.silent and any(silent(c) for c in codings))
            )
        if self.unknown or not self.concrete <= covered or (ladder and level > max(ladder)):
            return False
        return bool(covered) or (bool(ladder) and self.stated is not None)

    def _class(self, raw: Json) -> bool:
        if "class" not in raw:
            return True
        return any(c["code"] in {self.thing.type} | self.thing.profiles for c in raw["class"])

    def _code(self, raw: Json) -> bool:
        if "code" not in raw:
            return True
        return any(
            (c["system"], c["code"]) in self.thing.codes
            for concept in raw["code"]
            for c in concept.get("coding", ())
        )

    def _data_period(self, raw: Json, *, permit: bool) -> bool:
        if "dataPeriod" not in raw:
            return True
        if self.thing.clinical is None:
            return not permit
        first, last = self.thing.clinical
        start, end = bounds(raw["dataPeriod"])
        if permit:
            return start <= first and last < end
        return start <= last and first < end

    def _data(self, raw: Json) -> bool:
        if "data" not in raw:
            return True
        return any(self._datum(d["meaning"], d["reference"]["reference"]) for d in raw["data"])

    def _datum(self, how: str, target: str) -> bool:
        if target not in self.judge.known:
            return False
        thing = self.thing
        if how == "authoredby":
            return target in thing.authors
        return (
            target == thing.reference
            or (how == "related" and target in thing.referenced_by)
            or (how == "dependents" and target in thing.references)
        )


def reversed_(period: Json) -> bool:
    start, end = bounds(period)
    return end <= start


def within(now: datetime, period: Json) -> bool:
    start, end = bounds(period)
    return start <= now < end


def bounds(period: Json) -> tuple[datetime, datetime]:
    """First instant of the period and first instant after it, by the precision written."""
    start = _moment(period["start"]) if "start" in period else _EVER
    return start, _after(period["end"]) if "end" in period else _NEVER


@cache
def _after(end: str) -> datetime:
    moment = _moment(end)
    if len(end) == 4:
        return moment.replace(year=moment.year + 1)
    if len(end) == 7:
        later = moment + timedelta(days=31)
        return later.replace(day=1)
    if len(end) == 10:
        return moment + timedelta(days=1)
    return moment + timedelta(seconds=1)


@cache
def _moment(value: str) -> datetime:
    padded = value + "-01" * ((10 - len(value)) // 3) if len(value) < 10 else value
    moment = datetime.fromisoformat(padded)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

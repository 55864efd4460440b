"""`PlanDefinition/$apply`: a pathway for one person, as CarePlan, RequestGroup, requests, Tasks and Goals.

Each action whose conditions hold becomes an action of the RequestGroup; one with an ActivityDefinition a
request of its kind, and where a performer is named (our extension, on the action or the definition) a
referral's Task to it. What cannot be carried out exactly (another language of conditions, dynamic values,
other kinds) is refused, never skipped. Pure; neighbour: `operations`.
Pinned: hl7.org/fhir/R4/plandefinition-operation-apply.html, hl7.org/fhir/R4/plandefinition.html#12.18.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from app.care.questionnaires.items import extension
from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings import json_text
from app.fhir_mappings.fhirpath.compiler import compile_fhirpath
from app.fhir_mappings.fhirpath.environment import environment_of
from app.fhir_mappings.fhirpath.syntax import FhirPathError

Json = dict[str, Any]

PERFORMER: Final = "https://throughline.example/fhir/StructureDefinition/performer"
"""On an action or an ActivityDefinition: the organization that will carry it out."""

_FULFILL: Final = {
    "coding": [{"system": "http://hl7.org/fhir/CodeSystem/task-code", "code": "fulfill"}]
}
_KINDS: Final = frozenset({"ServiceRequest", "CommunicationRequest", "Task"})
_EVERYTHING: Final = frozenset({"any", "all", "all-or-none", "one-or-more"})
"""Selection behaviours under which doing all of a group is right."""

_MIRRORED: Final = (
    *("prefix", "title", "description", "textEquivalent", "priority", "code", "documentation"),
    *("groupingBehavior", "selectionBehavior", "requiredBehavior", "precheckBehavior"),
    *("cardinalityBehavior", "relatedAction", "id"),
)
"""Elements that PlanDefinition.action and RequestGroup.action share."""


@dataclass(slots=True)
class Pathway:
    """A PlanDefinition at work on one person.

    definitions: ActivityDefinition by canonical, contained ones by "#id". made: (fullUrl, resource).
    """

    plan: Mapping[str, Any]
    canonical: str
    patient: Mapping[str, Any]
    organization: str
    definitions: Mapping[str, Mapping[str, Any]]
    now: datetime
    made: list[tuple[str, Json]] = field(default_factory=list)

    @property
    def subject(self) -> Json:
        """The person, as a Reference."""
        return {"reference": f"Patient/{self.patient['id']}"}


def definitions_of(plan: Mapping[str, Any]) -> list[str]:
    """The canonicals of all definitions that a plan's actions name, contained ones left out."""
    found: list[str] = []

    def walk(actions: Sequence[Mapping[str, Any]]) -> None:
        for action in actions:
            canonical = action.get("definitionCanonical")
            if isinstance(canonical, str) and not canonical.startswith("#"):
                found.append(canonical)
            walk(action.get("action", ()))

    walk(plan.get("action", ()))
    return list(dict.fromkeys(found))


def applied(pathway: Pathway) -> list[tuple[str, Json]]:
    """(fullUrl, resource) of everything that a pathway opens, the CarePlan first.

    FhirError 422 where it cannot be carried out exactly.
    """
    plan = pathway.plan
    if plan.get("status") == "retired":
        raise _refused("The plan is retired; apply its successor.", "PlanDefinition.status")
    care_plan_url, group_url = _urn(), _urn()
    goals = [(_urn(), _goal(pathway, each)) for each in plan.get("goal", ())]
    actions = _actions(
        pathway, plan.get("action", ()), care_plan_url, "PlanDefinition", proposed=False
    )
    group: Json = {
        "resourceType": "RequestGroup",
        "instantiatesCanonical": [pathway.canonical],
        "status": "active",
        "intent": "plan",
        "subject": pathway.subject,
        "authoredOn": json_text.instant(pathway.now),
    } | ({"action": actions} if actions else {})
    care_plan: Json = {
        "resourceType": "CarePlan",
        "instantiatesCanonical": [pathway.canonical],
        "status": "active",
        "intent": "plan",
        "subject": pathway.subject,
        "period": {"start": json_text.instant(pathway.now)},
        "created": json_text.instant(pathway.now),
        "author": {"reference": pathway.organization},
    }
    if plan.get("title"):
        care_plan["title"] = plan["title"]
    if goals:
        care_plan["goal"] = [{"reference": url} for url, _ in goals]
    requests = [
        {"reference": {"reference": url}}
        for url, each in pathway.made
        if each["resourceType"] != "Task" or "focus" not in each
    ]
    care_plan["activity"] = [{"reference": {"reference": group_url}}, *requests]
    return [(care_plan_url, care_plan), *goals, *pathway.made, (group_url, group)]


def _actions(
    pathway: Pathway,
    actions: Sequence[Mapping[str, Any]],
    care_plan: str,
    where: str,
    *,
    proposed: bool,
) -> list[Json]:
    mirrored = []
    for position, action in enumerate(actions):
        place = f"{where}.action[{position}]"
        if not _applies(pathway, action, place):
            continue
        if action.get("dynamicValue"):
            raise _refused("Dynamic values are not carried out here.", f"{place}.dynamicValue")
        made: Json = {name: action[name] for name in _MIRRORED if name in action}
        if made.get("code"):
            made["code"] = list(made["code"])
        made |= {n: v for n, v in action.items() if n.startswith("timing")}
        some = action.get("selectionBehavior", "all") not in _EVERYTHING
        inner = _actions(
            pathway, action.get("action", ()), care_plan, place, proposed=proposed or some
        )
        if inner:
            made["action"] = inner
        definition = _definition(pathway, action, place)
        if definition is not None:
            url = _request(pathway, action, definition, care_plan, place, proposed=proposed)
            if not inner:
                made["resource"] = {"reference": url}
        mirrored.append(made)
    return mirrored


def _applies(pathway: Pathway, action: Mapping[str, Any], place: str) -> bool:
    """True where every applicability condition holds; one that cannot be evaluated is refused."""
    for number, condition in enumerate(action.get("condition", ())):
        expression = condition.get("expression", {})
        if condition.get("kind") != "applicability":
            continue
        where = f"{place}.condition[{number}].expression"
        if expression.get("language") != "text/fhirpath" or "expression" not in expression:
            raise _refused("Conditions are evaluated in text/fhirpath only.", where)
        try:
            compiled = compile_fhirpath(expression["expression"])
            holds = compiled.holds(environment_of(dict(pathway.patient)))
        except FhirPathError as error:
            raise _refused("The condition cannot be evaluated here.", where) from error
        if holds is not True:
            return False
    return True


def _definition(
    pathway: Pathway, action: Mapping[str, Any], place: str
) -> Mapping[str, Any] | None:
    canonical = action.get("definitionCanonical")
    if canonical is None and "definitionUri" not in action:
        return None
    found = pathway.definitions.get(str(canonical))
    if found is None or found["resourceType"] != "ActivityDefinition":
        raise _refused(
            "The action's definition is no ActivityDefinition known here; store it first.",
            f"{place}.definition",
        )
    if found.get("dynamicValue"):
        raise _refused("Dynamic values are not carried out here.", f"{place}.definition")
    if found.get("kind", "ServiceRequest") not in _KINDS:
        raise _refused(
            f"Of activities, {', '.join(sorted(_KINDS))} are carried out here.",
            f"{place}.definition",
        )
    return found


def _request(
    pathway: Pathway,
    action: Mapping[str, Any],
    definition: Mapping[str, Any],
    care_plan: str,
    place: str,
    *,
    proposed: bool,
) -> str:
    """Make the request of an action, and the Task to its performer; its fullUrl."""
    kind = definition.get("kind", "ServiceRequest")
    performer = extension(action, PERFORMER) or extension(definition, PERFORMER)
    priority = action.get("priority") or definition.get("priority")
    url = _urn()
    made: Json = {"resourceType": kind, "status": "draft" if proposed else _open(kind)}
    if kind != "CommunicationRequest":
        made["intent"] = "proposal" if proposed else "order"
    made["for" if kind == "Task" else "subject"] = pathway.subject
    made["basedOn"] = [{"reference": care_plan}]
    made["authoredOn"] = json_text.instant(pathway.now)
    made["requester"] = {"reference": pathway.organization}
    made |= {"priority": priority} if priority else {}
    code = definition.get("code") or ({"text": action["title"]} if "title" in action else None)
    match kind:
        case "ServiceRequest":
            made["instantiatesCanonical"] = [_canonical(pathway, definition)]
            made |= {"category": action["code"]} if action.get("code") else {}
            made |= {"code": code} if code else {}
            made |= {"performer": [performer]} if performer else {}
        case "Task":
            made["owner"] = performer or {"reference": pathway.organization}
            made |= {"code": code} if code else {}
        case _:
            made |= {"recipient": [performer]} if performer else {}
    text = action.get("description") or definition.get("description")
    if text:
        made |= {"description": text} if kind == "Task" else {"note": [{"text": text}]}
    pathway.made.append((url, made))
    if kind == "ServiceRequest" and performer and not proposed:
        task: Json = {
            "resourceType": "Task",
            "status": "requested",
            "intent": "order",
            "code": _FULFILL,
            "focus": {"reference": url},
            "for": pathway.subject,
            "basedOn": [{"reference": care_plan}],
            "authoredOn": json_text.instant(pathway.now),
            "requester": {"reference": pathway.organization},
            "owner": performer,
        } | ({"priority": priority} if priority else {})
        pathway.made.append((_urn(), task))
    return url


def _open(kind: str) -> str:
    return "requested" if kind == "Task" else "active"


def _canonical(pathway: Pathway, definition: Mapping[str, Any]) -> str:
    url, version = definition.get("url"), definition.get("version")
    if url:
        return f"{url}|{version}" if version else str(url)
    contained = any(e.get("id") == definition.get("id") for e in pathway.plan.get("contained", ()))
    # A contained definition has no address of its own: the plan that contains it has.
    return pathway.canonical if contained else f"ActivityDefinition/{definition['id']}"


def _goal(pathway: Pathway, goal: Mapping[str, Any]) -> Json:
    made: Json = {
        "resourceType": "Goal",
        "lifecycleStatus": "proposed",
        "description": goal["description"],
        "subject": pathway.subject,
    }
    made |= {n: goal[n] for n in ("priority",) if n in goal}
    made |= {"category": [goal["category"]]} if "category" in goal else {}
    targets = [_target(each) for each in goal.get("target", ())]
    return made | ({"target": targets} if targets else {})


def _target(target: Mapping[str, Any]) -> Json:
    kept = {n: v for n, v in target.items() if n == "measure" or n.startswith("detail")}
    return kept | ({"dueDuration": target["due"]} if "due" in target else {})


def _urn() -> str:
    return f"urn:uuid:{uuid.uuid4()}"


def _refused(diagnostics: str, where: str) -> FhirError:
    return fhir_error(IssueCode.PROCESSING, diagnostics, where)

"""The terminology operations as pure functions: $expand, $validate-code, $lookup, $subsumes.

They take what the request says and a `Terminology`, and give the resource to answer with. HTTP is
in `app.routers.terminology`; what is stored is brought by `app.interactions.conformance`.

Pinned: hl7.org/fhir/R4/valueset-operation-expand.html,
hl7.org/fhir/R4/valueset-operation-validate-code.html,
hl7.org/fhir/R4/codesystem-operation-lookup.html,
hl7.org/fhir/R4/codesystem-operation-subsumes.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NoReturn

from app.errors import IssueCode, fhir_error
from app.fhir_mappings.json_text import JsonObject, instant
from app.fhir_mappings.terminology.code_system import CodeSystem, Concept
from app.fhir_mappings.terminology.terminology import (
    MAX_CODES,
    Key,
    Terminology,
    TooManyCodesError,
)
from app.fhir_mappings.terminology.value_set import Member, UnknownContentError

_HEAD: Final = ("url", "version", "name", "title", "status", "experimental", "publisher")


@dataclass(frozen=True, slots=True)
class Expand:
    """What $expand is asked. filter: text that displays or codes hold, whatever the case."""

    filter: str = ""
    offset: int = 0
    count: int | None = None
    designations: bool = False
    active_only: bool = False
    exclude_not_for_ui: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A code to be looked at. display: compared only where given."""

    code: str
    system: str | None = None
    display: str | None = None


def expand(
    terminology: Terminology, source: str | Mapping[str, Any], ask: Expand, now: datetime
) -> JsonObject:
    """The ValueSet with its expansion.

    source: a canonical URL, or the ValueSet itself. FhirError: 404 for a URL not known, 422 where a
    code system that it needs is not here, too-costly beyond the limit.
    """
    members = _members(terminology, source)
    resource = (
        (terminology.value_set(source) or {"url": source, "status": "active"})
        if isinstance(source, str)
        else source
    )
    found = [each for each in members.values() if _is_asked(each, ask)]
    page = found[ask.offset :] if ask.count is None else found[ask.offset :][: ask.count]
    parameters: list[JsonObject] = []
    if ask.filter:
        parameters.append({"name": "filter", "valueString": ask.filter})
    if ask.offset or ask.count is not None:
        parameters.append({"name": "offset", "valueInteger": ask.offset})
    if ask.count is not None:
        parameters.append({"name": "count", "valueInteger": ask.count})
    expansion: JsonObject = {"timestamp": instant(now), "total": len(found), "offset": ask.offset}
    if parameters:
        expansion["parameter"] = parameters
    if page:
        expansion["contains"] = [_contains(each, ask) for each in page]
    head = {name: resource[name] for name in _HEAD if name in resource}
    return {"resourceType": "ValueSet", **head, "expansion": expansion}


def validate_code(
    terminology: Terminology, source: str | Mapping[str, Any], asked: Iterable[Asked]
) -> JsonObject:
    """Parameters: whether one of the codes is in the value set, and how it is displayed.

    asked: one code or Coding, or all Codings of a CodeableConcept. Errors as `expand`.
    """
    everything = list(asked)
    members: Mapping[Key, Member] | None = None
    try:
        members = _members(terminology, source)
    except Exception:
        if not isinstance(source, str) or not terminology.knows_value_set(source):
            raise
    for each in everything:
        member = _find(members, each) if members is not None else None
        holds = member is not None
        if members is None and isinstance(source, str):
            known = terminology.contains(source, each.system, each.code)
            if known is None:
                _unknown("a code system that the value set needs is not known here")
            holds = known
            if known:
                member = Member(each.system or "", each.code)
        if not holds or member is None:
            continue
        display = member.display
        if each.display is not None and display is not None and not _same(each.display, display):
            return parameters(
                result=False,
                message="The code is in the value set, but its display is another one.",
                display=display,
            )
        return parameters(result=True, display=display)
    return parameters(result=False, message="The value set does not have the code.")


def validate_in_system(terminology: Terminology, url: str, asked: Asked) -> JsonObject:
    """Parameters: whether a code system has a code. 404 for a system that is not known."""
    system = _system(terminology, url)
    concept = system.concept(asked.code)
    if concept is None:
        if not system.complete:
            _unknown("of the code system only a part is known here")
        return parameters(result=False, message="The code system does not have the code.")
    if asked.display and concept.display and not _same(asked.display, concept.display):
        return parameters(
            result=False,
            message="The code system has the code, but its display is another one.",
            display=concept.display,
        )
    return parameters(result=True, display=concept.display)


def lookup(terminology: Terminology, url: str, code: str) -> JsonObject:
    """Parameters: what is known of a concept. 404 for an unknown system or code."""
    system = _system(terminology, url)
    concept = system.concept(code)
    if concept is None:
        raise fhir_error(
            IssueCode.NOT_FOUND, "The code system has no such code here.", "Parameters.parameter"
        )
    result = parameters(
        name=system.name or system.url,
        version=system.version,
        display=concept.display or concept.code,
        definition=concept.definition,
    )
    result["parameter"] += [_designation(each) for each in concept.designations]
    result["parameter"] += list(_properties(concept))
    return result


def subsumes(terminology: Terminology, url: str, code_a: str, code_b: str) -> JsonObject:
    """Parameters: the outcome of A against B. 404 for a system or code that is not known."""
    system = _system(terminology, url)
    first, second = system.concept(code_a), system.concept(code_b)
    if first is None or second is None:
        raise fhir_error(IssueCode.NOT_FOUND, "The code system has no such code here.")
    if first.code == second.code:
        outcome = "equivalent"
    elif system.subsumes(first.code, second.code):
        outcome = "subsumes"
    elif system.subsumes(second.code, first.code):
        outcome = "subsumed-by"
    else:
        outcome = "not-subsumed"
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "outcome", "valueCode": outcome}],
    }


def parameters(*, result: bool | None = None, **texts: str | None) -> JsonObject:
    """Parameters of a boolean result and strings; those that are None are left out."""
    found: list[JsonObject] = []
    if result is not None:
        found.append({"name": "result", "valueBoolean": result})
    found += [{"name": name, "valueString": text} for name, text in texts.items() if text]
    return {"resourceType": "Parameters", "parameter": found}


def _members(terminology: Terminology, source: str | Mapping[str, Any]) -> dict[Key, Member]:
    try:
        if isinstance(source, str):
            return terminology.expansion(source)
        return terminology.compose(source)
    except KeyError:
        raise fhir_error(
            IssueCode.NOT_FOUND,
            "No such value set is known here, or none that this caller may see.",
        ) from None
    except UnknownContentError as error:
        _unknown(str(error))
    except TooManyCodesError:
        raise fhir_error(
            IssueCode.TOO_COSTLY,
            f"The expansion has more than {MAX_CODES} codes: ask for a narrower value set.",
        ) from None


def _unknown(what: str) -> NoReturn:
    raise fhir_error(IssueCode.PROCESSING, f"This cannot be told: {what}. Load it, then ask again.")


def _system(terminology: Terminology, url: str) -> CodeSystem:
    found = terminology.code_system(url)
    if found is None:
        raise fhir_error(
            IssueCode.NOT_FOUND,
            "No such code system is known here, or none that this caller may see.",
        )
    return found


def _find(members: Mapping[Key, Member], asked: Asked) -> Member | None:
    if asked.system is not None:
        return members.get((asked.system, asked.code))
    return next((each for (_, code), each in members.items() if code == asked.code), None)


def _is_asked(member: Member, ask: Expand) -> bool:
    if (ask.active_only and member.inactive) or (ask.exclude_not_for_ui and member.abstract):
        return False
    if not ask.filter:
        return True
    text = f"{member.code} {member.display or ''}".casefold()
    return all(word in text for word in ask.filter.casefold().split())


def _contains(member: Member, ask: Expand) -> JsonObject:
    result: JsonObject = {"system": member.system} if member.system else {}
    if member.abstract:
        result["abstract"] = True
    if member.inactive:
        result["inactive"] = True
    result["code"] = member.code
    if member.display:
        result["display"] = member.display
    if ask.designations and member.designations:
        result["designation"] = list(member.designations)
    return result


def _same(text: str, other: str) -> bool:
    return " ".join(text.casefold().split()) == " ".join(other.casefold().split())


def _designation(source: Mapping[str, Any]) -> JsonObject:
    part = []
    if "language" in source:
        part.append({"name": "language", "valueCode": source["language"]})
    if "use" in source:
        part.append({"name": "use", "valueCoding": source["use"]})
    part.append({"name": "value", "valueString": source["value"]})
    return {"name": "designation", "part": part}


def _properties(concept: Concept) -> Iterable[JsonObject]:
    for name, codes in (("parent", concept.parents), ("child", concept.children)):
        for code in codes:
            yield _property(name, {"valueCode": code})
    for each in concept.properties:
        if each.get("code") not in ("parent", "child"):
            yield _property(each["code"], {k: v for k, v in each.items() if k.startswith("value")})


def _property(name: str, value: JsonObject) -> JsonObject:
    return {
        "name": "property",
        "part": [{"name": "code", "valueCode": name}, {"name": "value", **value}],
    }

"""The references of a resource: found at any depth for the link table, replaced in a transaction.

A link is a *literal* reference: `Reference.reference`; or, where it has the form of a resource's
address here, `Attachment.url` or the canonical `QuestionnaireResponse.questionnaire`. Logical
references (`Reference.identifier`) are search tokens, not links. The syntax is checked by
`app.fhir_mappings.references`; text that passes none of its forms is skipped.

Two facts are recorded beside a link:

- *author*: the target answers for the content (Consent's `authoredby`). By element name, or by
  `actor`, `who`, `party` below such an element, and only where the target can be an author: a
  Consent's `sourceReference` names a document, not a source who spoke.
- *climbs*: the sensitivity of the target is told by the source, so its labels rise into it: what
  the source is for (`addresses`, `reasonReference`, `diagnosis.condition`), rests on
  (`evidence.detail`, `derivedFrom`) or sums up (`questionnaire`, `result`,
  `finding.itemReference`, `section.entry`, `problem`).
  Context does not climb (`encounter`, `basedOn`, `partOf`, `focus`, `Provenance.target`): it would
  label the whole record after its most sensitive entry.

Pinned: hl7.org/fhir/R4/references.html#literal, hl7.org/fhir/R4/bundle.html#references,
hl7.org/fhir/R4/http.html#trules (replacing ids in a transaction).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape, unescape
from typing import Any, Final, Literal

from app.fhir_mappings.reference_value import ReferenceKind, parse_reference
from app.fhir_mappings.registry import is_resource_type
from app.fhir_mappings.structure import TypeDefinition, definition

LinkKind = Literal["local", "contained", "absolute", "urn"]

AUTHOR_ELEMENTS: Final = frozenset(
    {
        "agent",
        "asserter",
        "attester",
        "authenticator",
        "author",
        "creator",
        "enterer",
        "informationSource",
        "orderer",
        "performer",
        "prescriber",
        "recorder",
        "requester",
        "resultsInterpreter",
        "sender",
        "source",
    }
)
"""Elements, by name without type suffix, whose target answers for the content."""

AUTHOR_TYPES: Final = frozenset(
    {
        "CareTeam",
        "Device",
        "Organization",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
    }
)

CLIMBING_ELEMENTS: Final = frozenset(
    {
        "addresses",
        "derivedFrom",
        "diagnosis.condition",
        "entry.item",
        "evidence.detail",
        "finding.itemReference",
        "hasMember",
        "investigation.item",
        "medication",
        "problem",
        "questionnaire",
        "reaction.detail",
        "reasonReference",
        "result",
        "resultingCondition",
        "section.entry",
        "suspectEntity.instance",
    }
)
"""Elements (`name` or `parent.name`) through which the target's labels rise into the source."""

_AUTHOR_PARTS: Final = frozenset({"actor", "party"})
_WHO: Final = "who"  # Provenance.agent, AuditEvent.agent, Signature: always who answers

_KINDS: Final[Mapping[ReferenceKind, LinkKind]] = {
    ReferenceKind.CONTAINED: "contained",
    ReferenceKind.ABSOLUTE: "absolute",
    ReferenceKind.URN: "urn",
}

_SRC: Final = re.compile(
    r"""(?P<start><[^<>]*?\s(?:href|src)\s*=\s*)(?P<quote>["'])(?P<text>[^<>]*?)(?P=quote)"""
)

# Types whose whole value may be an address; xhtml is treated apart, string and markdown never.
_ADDRESS_TYPES: Final = frozenset({"uri", "url", "oid", "uuid", "canonical"})


@dataclass(frozen=True, slots=True)
class LinkRef:
    """One literal reference.

    kind: `local` (type and id are those of a resource here), `contained` (id is that of the
    contained resource, type is ""), `absolute` (another server's; type and id "") or `urn`. text:
    as it was sent. expression: FHIRPath of the Reference or of the url. author, climbs: see above.
    """

    kind: LinkKind
    type: str
    id: str
    text: str
    expression: str
    author: bool = False
    climbs: bool = False


def literal_references(
    resource: Mapping[str, Any], base_urls: tuple[str, ...] = ()
) -> list[LinkRef]:
    """Every literal reference of a resource in document order.

    Contained resources, extensions (those of primitives too) and the entries of a stored Bundle
    are included; a relative reference in an entry is read as local whatever its fullUrl says, as
    the record that it names, if there is one, must count. base_urls: this service's addresses; an
    absolute url under one of them is local. A version in a reference is dropped.
    """
    bases = tuple(base.rstrip("/") for base in base_urls)
    name = str(resource["resourceType"])
    return [
        link
        for text, path, names, is_reference in _texts(resource, definition(name), name, ())
        if (link := _link(text, path, names, is_reference, bases)) is not None
    ]


def conditional_references(resource: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The references `Type?search` of a resource of a transaction, as (text, FHIRPath of the Reference)."""
    name = str(resource["resourceType"])
    return [
        (text, path)
        for text, path, _, is_reference in _texts(resource, definition(name), name, ())
        if is_reference and "?" in text and parse_reference(text).kind is ReferenceKind.CONDITIONAL
    ]


def inner_addresses(resource: Mapping[str, Any]) -> frozenset[str]:
    """The fullUrls of a stored Bundle's entries, inner Bundles' too: what its references may name.

    Pinned: hl7.org/fhir/R4/bundle.html#references.
    """
    if resource.get("resourceType") != "Bundle":
        return frozenset()
    found: set[str] = set()
    for entry in resource.get("entry", ()):
        found.add(entry.get("fullUrl", ""))
        found |= inner_addresses(entry.get("resource", {}))
    return frozenset(found - {""})


_Found = tuple[str, str, tuple[str, ...], bool]


def _texts(
    node: Mapping[str, Any], shape: TypeDefinition, path: str, names: tuple[str, ...]
) -> Iterator[_Found]:
    """Texts that may be links, with their path, the element names on the way, and Reference or not.

    The names start anew in a contained resource or an entry: its elements are its own.
    """
    if shape.name == "Reference" and type(text := node.get("reference")) is str:
        yield text, path, names, True
    elif shape.name == "Attachment" and type(text := node.get("url")) is str:
        yield text, f"{path}.url", names, False
    elif shape.name == "QuestionnaireResponse" and type(text := node.get("questionnaire")) is str:
        yield text.partition("|")[0], f"{path}.questionnaire", ("questionnaire",), False
    for key, value in node.items():
        slot = shape.slots.get(key.removeprefix("_"))
        if slot is None or type(value) not in (dict, list):
            continue
        # `_birthDate` holds the extensions of the primitive `birthDate`.
        type_name = "Element" if key.startswith("_") else slot.type
        many = type(value) is list
        for position, each in enumerate(value if many else (value,)):
            if type(each) is not dict:
                continue
            where = f"{path}.{slot.element}[{position}]" if many else f"{path}.{slot.element}"
            if type_name == "Resource":
                inner = str(each.get("resourceType", ""))
                if is_resource_type(inner):
                    yield from _texts(each, definition(inner), where, ())
            else:
                yield from _texts(each, definition(type_name), where, (*names, slot.element))


def _link(
    text: str, path: str, names: tuple[str, ...], is_reference: bool, bases: tuple[str, ...]
) -> LinkRef | None:
    target = parse_reference(text, bases)
    author, climbs = is_reference and _is_author(names), _climbs(names)
    if target.kind is ReferenceKind.LOCAL and target.type and target.id:
        author = author and target.type in AUTHOR_TYPES
        return LinkRef("local", target.type, target.id, text, path, author, climbs)
    kind = _KINDS.get(target.kind) if is_reference else None
    if kind is None:
        return None
    # A contained author (a PractitionerRole, say) leads on to a person by its own links.
    local_id = target.id or "" if kind == "contained" else ""
    return LinkRef(kind, "", local_id, text, path, author, climbs)


def _is_author(names: tuple[str, ...]) -> bool:
    if not names or "extension" in names:
        return False
    last = names[-1]
    if last in AUTHOR_ELEMENTS or last == _WHO:
        return True
    return last in _AUTHOR_PARTS and len(names) > 1 and names[-2] in AUTHOR_ELEMENTS


def _climbs(names: tuple[str, ...]) -> bool:
    return bool(names) and (
        names[-1] in CLIMBING_ELEMENTS or ".".join(names[-2:]) in CLIMBING_ELEMENTS
    )


def replace_references(resource: Mapping[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """The resource with every address that is a key of `mapping` replaced: a new object.

    mapping: fullUrl or urn:uuid to the new `Type/id`. Replaced are `Reference.reference`, the
    elements of type uri, url, oid, uuid and canonical that equal a key (a fragment, `key#part`, is
    kept), and `href` and `src` in a narrative. Strings and markdown are left as they were sent.
    """
    return _replace(resource, definition(str(resource["resourceType"])), mapping)


def _replace(
    node: Mapping[str, Any], shape: TypeDefinition, mapping: Mapping[str, str]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in node.items():
        slot = shape.slots.get(key.removeprefix("_"))
        if slot is None:
            result[key] = value
            continue
        type_name = "Element" if key.startswith("_") else slot.type
        if shape.name == "Reference" and key == "reference":
            type_name = "uri"
        if type(value) is list:
            result[key] = [_value(each, type_name, mapping) for each in value]
        else:
            result[key] = _value(value, type_name, mapping)
    return result


def _value(value: object, type_name: str, mapping: Mapping[str, str]) -> object:
    if type(value) is str:
        if type_name in _ADDRESS_TYPES:
            return _address(value, mapping)
        return _narrative(value, mapping) if type_name == "xhtml" else value
    if type(value) is not dict:
        return value
    if type_name == "Resource":
        type_name = str(value.get("resourceType", ""))
        if not is_resource_type(type_name):
            return value
    return _replace(value, definition(type_name), mapping)


def _address(text: str, mapping: Mapping[str, str]) -> str:
    if text in mapping:
        return mapping[text]
    head, mark, fragment = text.partition("#")
    return mapping[head] + mark + fragment if mark and head in mapping else text


def _narrative(text: str, mapping: Mapping[str, str]) -> str:
    def attribute(match: re.Match[str]) -> str:
        old = unescape(match["text"])
        new = _address(old, mapping)
        return (
            match[0]
            if new == old
            else f"{match['start']}{match['quote']}{escape(new)}{match['quote']}"
        )

    return _SRC.sub(attribute, text)

"""Values of reference parameters: ids, `Type/id`, versions, addresses elsewhere, identifiers, hierarchies.

Pinned: hl7.org/fhir/R4/search.html#reference, #recursive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from app.errors import IssueCode
from app.fhir_mappings.reference_value import ReferenceKind, parse_reference
from app.fhir_mappings.registry import is_resource_type, type_code
from app.fhir_mappings.search_clauses import (
    AnyOf,
    ChainClause,
    Clause,
    HierarchyClause,
    IdClause,
    Not,
    TokenClause,
)
from app.fhir_mappings.search_keys import (
    identifier_parameter,
    parameter_key,
    reference_key,
    token_key,
    token_system_key,
    token_value_key,
    uri_key,
)
from app.fhir_mappings.search_parameters import SearchParameter, parameter
from app.fhir_mappings.search_values import ID, alternatives, refuse, split, unescape

_ABOVE: Final = ("partof", "part-of", "parent")


def targets_of(of: SearchParameter, modifier: str, told: str) -> tuple[str, ...]:
    """Types that the parameter may point at, narrowed by a `:[type]` modifier; () for any.

    FhirError where the modifier is no type that it points at.
    """
    targets = tuple(each for each in of.targets if is_resource_type(each))
    if not modifier:
        return targets
    if not is_resource_type(modifier):
        refuse(IssueCode.NOT_SUPPORTED, "Here only a resource type may follow the colon.", told)
    if targets and modifier not in targets:
        refuse(IssueCode.INVALID, "This parameter does not point at that type.", told)
    return (modifier,)


def reference_clause(
    type_: str,
    code: str,
    of: SearchParameter,
    modifier: str,
    text: str,
    base_urls: tuple[str, ...],
    told: str,
) -> Clause:
    """The clause of a reference parameter. code: the name under which rows are filed."""
    if modifier == "identifier":
        return TokenClause(_identifiers(type_, identifier_parameter(code), text, told))
    if modifier in ("above", "below"):
        return _hierarchy(type_, code, of, modifier, text, base_urls, told)
    negated = modifier == "not"
    asked = modifier if is_resource_type(modifier) else ""
    targets = targets_of(of, "" if negated else modifier, told)
    keys: dict[int, None] = {}
    patient = True
    for each in alternatives(text, told):
        value = unescape(each)
        found = list(_keys(type_, code, value, targets, asked, base_urls, told))
        keys.update((key, None) for _, key in found)
        # A bare id may be that of a Patient or of something else, whose keys have next to no rows.
        patient = patient and any(kind == "Patient" for kind, _ in found)
    clause = TokenClause(tuple(keys), negated, patient=patient and not negated)
    return with_own_entries(type_, code, clause, _literals(text, targets, base_urls, told))


_GRANTEES: Final = ("Consent", "actor")


def with_own_entries(
    type_: str, code: str, clause: TokenClause, named: list[tuple[tuple[str, ...], str]] | None
) -> Clause:
    """The clause, and for the grantees of a Consent besides: that the caller is one of those named.

    What a Consent says of its grantees has search rows for its custodian and its patient alone; a grantee may
    follow the link to itself (`app.consent.redaction`). named: (types, id) of literal references, None for any.
    """
    if (type_, code) != _GRANTEES:
        return clause
    key = (parameter_key(type_, code),)
    own = [
        ChainClause(key, tuple(map(type_code, types)), (IdClause((id_,)),))
        for types, id_ in named or ()
    ]
    if named is None:
        own = [ChainClause(key, (), ())]
    either = AnyOf((replace(clause, negated=False, patient=False), *own))
    return Not(either) if clause.negated else either


def _literals(
    text: str, targets: tuple[str, ...], base_urls: tuple[str, ...], told: str
) -> list[tuple[tuple[str, ...], str]]:
    """The values that name a resource here: the types it may have, and its id."""
    found: list[tuple[tuple[str, ...], str]] = []
    for each in alternatives(text, told):
        value = unescape(each)
        if ID.fullmatch(value):
            found.append((targets, value))
            continue
        target = parse_reference(value, base_urls)
        if target.kind is ReferenceKind.LOCAL and target.type and target.id and not target.version:
            found.append(((target.type,), target.id))
    return found


def _keys(
    type_: str,
    code: str,
    text: str,
    targets: tuple[str, ...],
    asked: str,
    base_urls: tuple[str, ...],
    told: str,
) -> Iterator[tuple[str, int]]:
    """Type and key of one value: `id` (over the targets), `Type/id`, with a version, or a URL."""
    if ID.fullmatch(text):
        if not targets:
            refuse(IssueCode.INVALID, "Give the type before the id: Type/id.", told)
        for each in targets:
            yield each, reference_key(type_, code, each, text)
        return
    target = parse_reference(text, base_urls)
    if asked and target.type != asked:
        refuse(IssueCode.INVALID, "Give a reference of the type that the modifier names.", told)
    if target.kind is ReferenceKind.LOCAL and target.type and target.id:
        id_ = target.id if target.version is None else f"{target.id}/_history/{target.version}"
        yield target.type, reference_key(type_, code, target.type, id_)
    elif target.kind is ReferenceKind.ABSOLUTE or text.startswith("urn:"):
        yield "", uri_key(type_, code, text)
    else:
        refuse(IssueCode.INVALID, "Give an id, Type/id or an absolute URL.", told)


def _identifiers(type_: str, code: str, text: str, told: str) -> tuple[int, ...]:
    keys: dict[int, None] = {}
    for each in alternatives(text, told):
        parts = [unescape(part) for part in split(each, "|")]
        if len(parts) > 2 or not any(parts):
            refuse(IssueCode.INVALID, "Give value, system|value, |value or system|.", told)
        if len(parts) == 1:
            keys[token_value_key(type_, code, parts[0])] = None
        elif not parts[1]:
            keys[token_system_key(type_, code, parts[0])] = None
        else:
            keys[token_key(type_, code, *parts)] = None
    return tuple(keys)


def _hierarchy(
    type_: str,
    code: str,
    of: SearchParameter,
    modifier: str,
    text: str,
    base_urls: tuple[str, ...],
    told: str,
) -> Clause:
    found: list[Clause] = []
    for each in alternatives(text, told):
        value = unescape(each)
        targets = tuple(t for t in of.targets if _climbs(t))
        if ID.fullmatch(value) and len(targets) == 1:
            target_type, id_ = targets[0], value
        else:
            target = parse_reference(value, base_urls)
            if target.kind is not ReferenceKind.LOCAL or not target.type or not target.id:
                refuse(IssueCode.INVALID, "Give Type/id of a resource on this server.", told)
            target_type, id_ = target.type, target.id
        climb = _climbs(target_type)
        if climb is None or (of.targets and target_type not in of.targets):
            refuse(IssueCode.NOT_SUPPORTED, "That type has no hierarchy to follow here.", told)
        found.append(
            HierarchyClause(
                (parameter_key(type_, code),),
                (parameter_key(target_type, climb),),
                type_code(target_type),
                id_,
                modifier == "below",
            )
        )
    return found[0] if len(found) == 1 else AnyOf(tuple(found))


def _climbs(type_: str) -> str | None:
    """The parameter by which a type names what is above it, a resource of the same type."""
    for code in _ABOVE:
        of = parameter(type_, code) if is_resource_type(type_) else None
        if of is not None and of.type == "reference" and type_ in of.targets:
            return code
    return None

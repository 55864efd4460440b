"""The CapabilityStatement, derived from what is registered: it claims nothing that is not served.

`app.routers` collects a `TypeCapability` for each resource type from the interactions and
search parameters that it has mounted, and asks for the statement once a start.

Pinned: hl7.org/fhir/R4/capabilitystatement.html, hl7.org/fhir/R4/http.html#capabilities,
hl7.org/fhir/smart-app-launch/STU1/conformance (the oauth-uris extension).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.fhir_mappings.json_text import JsonObject, instant

_OAUTH_URIS: Final = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_SECURITY_SERVICE: Final = "http://terminology.hl7.org/CodeSystem/restful-security-service"


@dataclass(frozen=True, slots=True)
class SearchParameterCapability:
    """A search parameter served. type: number, date, string, token …; definition: canonical URL."""

    name: str
    type: str
    definition: str | None = None
    documentation: str | None = None


@dataclass(frozen=True, slots=True)
class OperationCapability:
    """An operation served. name: without the $; definition: canonical of an OperationDefinition."""

    name: str
    definition: str
    documentation: str | None = None


@dataclass(frozen=True, slots=True)
class TypeCapability:
    """What is served for one resource type, in the words of CapabilityStatement.rest.resource.

    interactions: codes such as `read`, `search-type`. versioning: no-version, versioned,
    versioned-update. conditional_read: not-supported, modified-since, not-match, full-support.
    conditional_delete: not-supported, single, multiple.
    """

    interactions: Sequence[str]
    search_parameters: Sequence[SearchParameterCapability] = ()
    search_include: Sequence[str] = ()
    search_rev_include: Sequence[str] = ()
    operations: Sequence[OperationCapability] = ()
    supported_profiles: Sequence[str] = ()
    reference_policy: Sequence[str] = ()
    versioning: str = "versioned"
    read_history: bool = False
    update_create: bool = False
    conditional_create: bool = False
    conditional_read: str = "not-supported"
    conditional_update: bool = False
    conditional_delete: str = "not-supported"
    documentation: str | None = None


@dataclass(frozen=True, slots=True)
class SecurityCapability:
    """How a caller gets in: absolute URLs, in the names of the SMART oauth-uris extension."""

    token_endpoint: str
    authorization_endpoint: str | None = None
    registration_endpoint: str | None = None
    introspection_endpoint: str | None = None
    revocation_endpoint: str | None = None
    cors: bool = False
    description: str = (
        "SMART backend services: OAuth 2.0 client credentials with a signed assertion. Every "
        "answer is limited by the consent of the survivors whom it tells of."
    )


def capability_statement(
    *,
    base_url: str,
    software_version: str,
    date: datetime,
    types: Mapping[str, TypeCapability],
    security: SecurityCapability | None = None,
    system_interactions: Sequence[str] = (),
    system_operations: Sequence[OperationCapability] = (),
    formats: Sequence[str] = ("application/fhir+json", "json"),
    patch_formats: Sequence[str] = (),
) -> JsonObject:
    """The statement of a running service (kind `instance`).

    base_url: the service's absolute base, without a slash at its end. date: with a zone; of the
    last change of what is served. types: by resource type. system_interactions: `transaction`,
    `batch`, `search-system`, `history-system`. ValueError where a type has a search parameter
    twice (cpb-12). The codes are not checked here: `app.fhir_mappings.validate` does, in the tests.
    """
    rest: JsonObject = {"mode": "server"}
    if security is not None:
        rest["security"] = _security(security)
    if types:
        rest["resource"] = [_resource(name, types[name]) for name in sorted(types)]
    if system_interactions:
        rest["interaction"] = [{"code": code} for code in system_interactions]
    if system_operations:
        rest["operation"] = [_operation(each) for each in system_operations]
    statement: JsonObject = {
        "resourceType": "CapabilityStatement",
        "url": f"{base_url}/metadata",
        "version": software_version,
        "name": "Throughline",
        "title": "Throughline: consent-enforced FHIR R4 service",
        "status": "active",
        "date": instant(date),
        "kind": "instance",
        "software": {"name": "Throughline", "version": software_version},
        "implementation": {
            "description": "Care records of survivors, with consent enforced on every read",
            "url": base_url,
        },
        "fhirVersion": "4.0.1",
        "format": list(formats),
    }
    if patch_formats:
        statement["patchFormat"] = list(patch_formats)
    statement["rest"] = [rest]
    return statement


def _resource(name: str, capability: TypeCapability) -> JsonObject:
    names = [each.name for each in capability.search_parameters]
    if len(set(names)) != len(names):
        raise ValueError(f"{name} has a search parameter twice (cpb-12)")
    result: JsonObject = {
        "type": name,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{name}",
    }
    _put(result, "supportedProfile", capability.supported_profiles)
    if capability.documentation:
        result["documentation"] = capability.documentation
    if capability.interactions:
        result["interaction"] = [{"code": code} for code in capability.interactions]
    result |= {
        "versioning": capability.versioning,
        "readHistory": capability.read_history,
        "updateCreate": capability.update_create,
        "conditionalCreate": capability.conditional_create,
        "conditionalRead": capability.conditional_read,
        "conditionalUpdate": capability.conditional_update,
        "conditionalDelete": capability.conditional_delete,
    }
    _put(result, "referencePolicy", capability.reference_policy)
    _put(result, "searchInclude", capability.search_include)
    _put(result, "searchRevInclude", capability.search_rev_include)
    if names:
        result["searchParam"] = [_search_parameter(e) for e in capability.search_parameters]
    if capability.operations:
        result["operation"] = [_operation(each) for each in capability.operations]
    return result


def _put(target: JsonObject, name: str, values: Sequence[str]) -> None:
    if values:
        target[name] = list(values)


def _search_parameter(parameter: SearchParameterCapability) -> JsonObject:
    return _present(
        name=parameter.name,
        definition=parameter.definition,
        type=parameter.type,
        documentation=parameter.documentation,
    )


def _operation(operation: OperationCapability) -> JsonObject:
    return _present(
        name=operation.name,
        definition=operation.definition,
        documentation=operation.documentation,
    )


def _present(**members: str | None) -> JsonObject:
    return {name: value for name, value in members.items() if value is not None}


def _security(security: SecurityCapability) -> JsonObject:
    endpoints = {
        "token": security.token_endpoint,
        "authorize": security.authorization_endpoint,
        "register": security.registration_endpoint,
        "introspect": security.introspection_endpoint,
        "revoke": security.revocation_endpoint,
    }
    uris = [{"url": name, "valueUri": uri} for name, uri in endpoints.items() if uri is not None]
    return {
        "extension": [{"url": _OAUTH_URIS, "extension": uris}],
        "cors": security.cors,
        "service": [{"coding": [{"system": _SECURITY_SERVICE, "code": "SMART-on-FHIR"}]}],
        "description": security.description,
    }

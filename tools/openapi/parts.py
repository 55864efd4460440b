"""Components of the OpenAPI document that operations refer to: parameters, headers, error answers."""

from __future__ import annotations

from typing import Any, Final

from app.consent import notices
from app.fhir_mappings import registry

Json = dict[str, Any]

INTRODUCTION: Final = """\
Survivor care records as FHIR R4 (4.0.1) resources, with the survivor's consent enforced on every read.

**Hidden is missing.** What a caller may not see is answered exactly as what does not exist: the same status,
headers and body. A 404 therefore never tells whether there is something.

**Every token carries one purpose of use.** Consents permit purposes; with another one the same client sees
more or less.

**An unknown search parameter is an error**, because an ignored filter would share too much;
`Prefer: handling=lenient` asks for the other behaviour.

**Somebody else's protected records** of a Part 2 program or a victim-service provider come with the headers
`Redisclosure-Notice` and `Consent-Scope`, however they are read.

XML (`application/fhir+xml`) is taken and given wherever a resource is; the schemas show the JSON.

JSON is stored and served as it was sent, but for `id` and `meta`. Members beside a primitive (`_birthDate`)
are served though the schemas do not list them.
"""

XML: Final = "application/fhir+xml"

TAGS: Final = {
    "records": "Read, write and search resources of every R4 type.",
    "referrals": "Send somebody on, with what they released and nothing else.",
    "questionnaires": "Questionnaires, answers and scores.",
    "consent": "Who may see what, and why.",
    "terminology": "Codes: expanded, looked up, checked.",
    "care": "Plans, goals, summaries.",
    "administration": "Tokens, clients, audit.",
    "discovery": "What is served, and how to get in.",
    "operations": "For load balancers and orchestrators.",
}

_TEXT: Final[Json] = {"type": "string"}


def _parameter(name: str, where: str, description: str, schema: Json, **more: Any) -> Json:
    required = {"required": True} if where == "path" else {}
    return (
        {"name": name, "in": where, "description": description, "schema": schema} | required | more
    )


PARAMETERS: Final[dict[str, Json]] = {
    "type": _parameter(
        "type",
        "path",
        "A resource type of R4.",
        {"type": "string", "enum": sorted(registry.RESOURCE_TYPES)},
        example="Task",
    ),
    "id": _parameter(
        "id",
        "path",
        "The logical id.",
        {"type": "string", "pattern": r"^[A-Za-z0-9\-\.]{1,64}$"},
        example="survivor-a-housing-task",
    ),
    "version": _parameter(
        "version", "path", "The version, as in an ETag.", {"type": "string"}, example="1"
    ),
    "parameters": _parameter(
        "parameters",
        "query",
        "Search parameters of the type by name (hl7.org/fhir/R4/searchparameter-registry.html), such as "
        "`owner=Organization/open-door-shelter`. The CapabilityStatement lists those of each type.",
        {"type": "object", "additionalProperties": {"type": "string"}},
        style="form",
        explode=True,
        example={"owner": "Organization/open-door-shelter"},
    ),
    "organization": _parameter(
        "organization",
        "query",
        "Who would ask: a reference to an Organization.",
        _TEXT,
        example="Organization/river-clinic",
    ),
    "practitioner": _parameter(
        "practitioner", "query", "Who would ask: a reference to a Practitioner.", _TEXT
    ),
    "person": _parameter("person", "query", "Who would ask: a Patient or RelatedPerson.", _TEXT),
    "purpose": _parameter(
        "purpose", "query", "The purpose of use: a v3-ActReason code.", _TEXT, example="COC"
    ),
    "emergency": _parameter(
        "emergency",
        "query",
        "Whether emergency access is asked for.",
        {"type": "string", "enum": ["true", "false"]},
    ),
    "_id": _parameter("_id", "query", "Logical ids, comma-separated.", _TEXT),
    "_type": _parameter("_type", "query", "Resource types, comma-separated.", _TEXT),
    "_lastUpdated": _parameter(
        "_lastUpdated", "query", "When the version was written.", _TEXT, example="ge2026-03-01"
    ),
    "_count": _parameter(
        "_count", "query", "Entries of a page.", {"type": "integer", "minimum": 0}, example=20
    ),
    "_sort": _parameter(
        "_sort",
        "query",
        "Parameters to sort by; a minus sorts down.",
        _TEXT,
        example="-_lastUpdated",
    ),
    "_total": _parameter(
        "_total",
        "query",
        "Whether all matches are counted.",
        {"type": "string", "enum": ["none", "estimate", "accurate"]},
    ),
    "_include": _parameter(
        "_include",
        "query",
        "References to follow, as source:parameter.",
        _TEXT,
        example="Task:focus",
    ),
    "_revinclude": _parameter(
        "_revinclude", "query", "References from elsewhere to follow back.", _TEXT
    ),
    "_since": _parameter("_since", "query", "Only versions since this instant.", _TEXT),
    "_at": _parameter("_at", "query", "Only versions that were current at this time.", _TEXT),
    "If-Match": _parameter(
        "If-Match",
        "header",
        "The ETag of the version that is changed; another one is a 412.",
        _TEXT,
        example='W/"3"',
    ),
    "If-None-Match": _parameter(
        "If-None-Match", "header", "An ETag: 304 where it is current.", _TEXT
    ),
    "If-Modified-Since": _parameter(
        "If-Modified-Since", "header", "304 where nothing was written since.", _TEXT
    ),
    "If-None-Exist": _parameter(
        "If-None-Exist",
        "header",
        "A search: nothing is created where it finds one that the caller may see.",
        _TEXT,
        example="identifier=https://river-clinic.example/mrn|4711",
    ),
    "Prefer": _parameter(
        "Prefer",
        "header",
        "What is answered.",
        {
            "type": "string",
            "enum": ["return=minimal", "return=representation", "return=OperationOutcome"],
        },
    ),
    "Prefer-handling": _parameter(
        "Prefer",
        "header",
        "Whether an unknown parameter is an error.",
        {"type": "string", "enum": ["handling=strict", "handling=lenient"]},
    ),
}

HEADERS: Final[dict[str, Json]] = {
    "ETag": {"description": "The version.", "schema": _TEXT, "example": 'W/"1"'},
    "Last-Modified": {"description": "When it was written.", "schema": _TEXT},
    "Location": {"description": "The URL of the version.", "schema": _TEXT},
    "Redisclosure-Notice": {
        "description": "Where others' records of a 42 CFR Part 2 program or a victim-service provider are "
        "shown: what the law says of passing them on. See [consent.md](/docs/#/pages/consent.md).",
        "schema": _TEXT,
        "example": notices.PART2_NOTICE,
    },
    "Consent-Scope": {
        "description": "Where a Consent opened them: its purposes, end, kinds, labels (42 CFR 2.32(b)).",
        "schema": _TEXT,
        "example": "purpose=TREAT, COC; until=2027-01-01; class=Observation",
    },
    "WWW-Authenticate": {"description": "How to get in (RFC 6750).", "schema": _TEXT},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
}

_ERRORS: Final = {
    "400": ("The request is malformed.", "invalid", "The body is not JSON."),
    "401": (
        "The token is missing, expired or not ours.",
        "login",
        "The request needs a valid bearer token: none was sent.",
    ),
    "403": (
        "The token's scopes do not cover it.",
        "forbidden",
        "The access token lacks the scope system/Task.r.",
    ),
    "404": (
        "There is none, or none that the caller may see; the two are never told apart.",
        "not-found",
        "No such resource is known here, or none that this caller may see.",
    ),
    "405": (
        "Nobody writes this, or not under this id.",
        "not-supported",
        "No such resource is known here; this server chooses ids itself: use POST to create.",
    ),
    "406": (
        "Nothing of what is asked for is served.",
        "not-supported",
        "This server answers application/fhir+json.",
    ),
    "409": (
        "It contradicts what is stored.",
        "conflict",
        "The resource is referred to by another.",
    ),
    "410": ("It has been deleted.", "deleted", "The resource has been deleted."),
    "412": (
        "It was changed meanwhile, or the condition finds several.",
        "conflict",
        "The resource has another version now; read it again.",
    ),
    "413": ("The body is too long.", "too-long", "The body is longer than this server takes."),
    "415": (
        "The media type is not taken.",
        "not-supported",
        "Send the resource as application/fhir+json.",
    ),
    "422": (
        "The resource breaks R4 or a rule of care.",
        "required",
        "The element status is required.",
    ),
    "429": (
        "Too many requests of this client; Retry-After says when.",
        "throttled",
        "This client has made too many requests; try again in a moment.",
    ),
    "503": (
        "The record is changing, or the database does not answer; try again.",
        "transient",
        "The record is changing; try again in a moment.",
    ),
}


def error_answers() -> dict[str, Json]:
    """The error answers by name: OperationOutcomes, 304, and OAuth's own."""
    answers: dict[str, Json] = {
        f"Error{status}": {
            "description": description,
            "content": {
                "application/fhir+json": {
                    "schema": {"$ref": "#/components/schemas/OperationOutcome"},
                    "example": {
                        "resourceType": "OperationOutcome",
                        "issue": [{"severity": "error", "code": code, "diagnostics": diagnostics}],
                    },
                },
                XML: {"schema": {"$ref": "#/components/schemas/FhirXml"}},
            },
        }
        for status, (description, code, diagnostics) in _ERRORS.items()
    }
    answers["Error401"]["headers"] = {
        "WWW-Authenticate": {"$ref": "#/components/headers/WWW-Authenticate"}
    }
    for status in ("429", "503"):
        answers[f"Error{status}"]["headers"] = {
            "Retry-After": {"$ref": "#/components/headers/Retry-After"}
        }
    answers["Error304"] = {"description": "The client has this version already."}
    answers["ErrorOAuth"] = {
        "description": "The token is refused (RFC 6749, section 5.2).",
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/OAuthError"},
                "example": {
                    "error": "invalid_client",
                    "error_description": "the client could not be authenticated",
                },
            }
        },
    }
    return answers


OWN_SCHEMAS: Final[dict[str, Json]] = {
    "FhirXml": {
        "type": "string",
        "description": "The same resource in XML (hl7.org/fhir/R4/xml.html).",
    },
    "AccessToken": {
        "type": "object",
        "required": ["access_token", "token_type", "expires_in", "scope"],
        "properties": {
            "access_token": _TEXT,
            "token_type": {"type": "string", "const": "bearer"},
            "expires_in": {"type": "integer", "description": "Seconds."},
            "scope": _TEXT,
        },
    },
    "OAuthError": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": _TEXT, "error_description": _TEXT},
    },
}

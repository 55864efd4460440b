"""What is known of an operation beyond its route: answers, bodies, parameters, examples, its page in R4.

Keyed by the route's summary. An operation that is not here is one of `operations`, or is described by its
route alone: path parameters, the errors that every FHIR route may give, a resource as the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

R4: Final = "https://hl7.org/fhir/R4/"


@dataclass(frozen=True)
class Described:
    """More about one operation.

    answers: status → (description, name of the schema or "", names of examples). body: as one answer.
    form: properties of a form body. query: names in `parameters.QUERY`. headers: names in
    `parameters.HEADERS`, sent. told: names of headers in the first answer. page: beneath R4. own:
    parameters of its own in the URL, each with its meaning. discloses: whether it may show others' records.
    """

    title: str
    answers: dict[str, tuple[str, str, tuple[str, ...]]]
    body: tuple[str, tuple[str, ...]] | None = None
    body_media: tuple[str, ...] = ("application/fhir+json",)
    form: dict[str, Any] | None = None
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    page: str = ""
    errors: tuple[str, ...] = ("401", "403")
    open: bool = False
    own: tuple[tuple[str, str], ...] = ()
    discloses: bool = True
    media: str = "application/fhir+json"


_VERSION: Final = ("ETag", "Last-Modified")
SEARCH: Final = (
    "parameters", "_id", "_lastUpdated", "_count", "_sort", "_total", "_include", "_revinclude",
)  # fmt: skip
_PATCH_MEDIA: Final = ("application/json-patch+json", "application/fhir+json")
_ANY: Final = "AnyResource"
_CLIENT: Final[dict[str, Any]] = {
    "client_id": {"type": "string", "description": "With client_secret, or as Basic."},
    "client_secret": {"type": "string", "format": "password"},
    "client_assertion_type": {
        "type": "string",
        "enum": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
    },
    "client_assertion": {
        "type": "string",
        "description": "A JWT signed with the client's key, RS384 or ES384.",
    },
}
"""How a client proves who it is."""

DESCRIBED: Final[dict[str, Described]] = {
    "read": Described(
        "Read a resource",
        {"200": ("The present version.", _ANY, ("Task", "Patient", "Consent"))},
        headers=("If-None-Match", "If-Modified-Since"),
        told=_VERSION,
        page="http.html#read",
        errors=("304", "401", "403", "404", "410"),
    ),
    "vread": Described(
        "Read one version",
        {"200": ("That version.", _ANY, ("Task",))},
        told=_VERSION,
        page="http.html#vread",
        errors=("401", "403", "404", "410"),
    ),
    "history-instance": Described(
        "List the versions of a resource",
        {"200": ("A history Bundle, newest first.", "Bundle", ("history",))},
        query=("_count", "_since", "_at"),
        page="http.html#history",
        errors=("400", "401", "403", "404"),
    ),
    "history-type": Described(
        "List the versions of all resources of a type",
        {"200": ("A history Bundle, newest first.", "Bundle", ("history",))},
        query=("_count", "_since", "_at"),
        page="http.html#history",
        errors=("400", "401", "403"),
    ),
    "history-system": Described(
        "List the versions of all resources",
        {"200": ("A history Bundle, newest first.", "Bundle", ("history",))},
        query=("_count", "_since", "_at"),
        page="http.html#history",
        errors=("400", "401", "403"),
    ),
    "update": Described(
        "Replace a resource",
        {
            "200": ("The new version.", _ANY, ("Task",)),
            "201": ("Created, where the server allows an update to do so.", _ANY, ("Task",)),
        },
        body=(_ANY, ("Task", "Consent")),
        headers=("If-Match", "Prefer"),
        told=_VERSION,
        page="http.html#update",
        errors=("400", "401", "403", "404", "409", "412", "413", "415", "422"),
    ),
    "conditional update": Described(
        "Replace the resource that a search finds",
        {
            "200": ("The new version.", _ANY, ("Patient",)),
            "201": ("Created: none was found.", _ANY, ("Patient",)),
        },
        body=(_ANY, ("Patient",)),
        query=("parameters",),
        headers=("If-Match", "Prefer"),
        told=_VERSION,
        page="http.html#cond-update",
        errors=("400", "401", "403", "404", "409", "412", "413", "415", "422"),
    ),
    "patch": Described(
        "Change a resource by a patch",
        {"200": ("The new version.", _ANY, ("Task",))},
        body=("", ("json-patch",)),
        body_media=_PATCH_MEDIA,
        headers=("If-Match", "Prefer"),
        told=_VERSION,
        page="http.html#patch",
        errors=("400", "401", "403", "404", "409", "412", "413", "415", "422"),
    ),
    "conditional patch": Described(
        "Change the resource that a search finds, by a patch",
        {"200": ("The new version.", _ANY, ("Task",))},
        body=("", ("json-patch",)),
        body_media=_PATCH_MEDIA,
        query=("parameters",),
        headers=("If-Match", "Prefer"),
        page="http.html#patch",
        errors=("400", "401", "403", "404", "409", "412", "413", "415", "422"),
    ),
    "delete": Described(
        "Delete a resource",
        {"204": ("Gone; so it is where there was none that the caller may see.", "", ())},
        headers=("If-Match",),
        page="http.html#delete",
        errors=("400", "401", "403", "404", "409", "412", "422"),
    ),
    "conditional delete": Described(
        "Delete what a search finds",
        {"204": ("Gone; so it is where none was found.", "", ())},
        query=("parameters",),
        page="http.html#3.1.0.7.1",
        errors=("400", "401", "403", "404", "409", "412", "422"),
    ),
    "create": Described(
        "Create a resource",
        {
            "201": ("Created; the server chose the id.", _ANY, ("Patient",)),
            "200": ("There is one already that If-None-Exist finds.", _ANY, ("Patient",)),
        },
        body=(_ANY, ("Patient", "Consent", "ServiceRequest", "Task", "QuestionnaireResponse")),
        headers=("If-None-Exist", "Prefer"),
        told=("Location", *_VERSION),
        page="http.html#create",
        errors=("400", "401", "403", "412", "413", "415", "422"),
    ),
    "search-type": Described(
        "Search a type",
        {"200": ("A searchset Bundle; `link` holds the next page.", "Bundle", ("searchset",))},
        query=SEARCH,
        headers=("Prefer-handling",),
        page="search.html",
        errors=("400", "401", "403"),
    ),
    "search-type by POST": Described(
        "Search a type by a form",
        {"200": ("A searchset Bundle; `link` holds the next page.", "Bundle", ("searchset",))},
        form={},
        headers=("Prefer-handling",),
        page="http.html#search",
        errors=("400", "401", "403", "413", "415"),
    ),
    "search-system by POST": Described(
        "Search several types by a form",
        {"200": ("A searchset Bundle.", "Bundle", ("searchset",))},
        form={},
        headers=("Prefer-handling",),
        page="http.html#search",
        errors=("400", "401", "403", "413", "415"),
    ),
    "search-compartment by POST": Described(
        "Search a patient's compartment by a form",
        {"200": ("A searchset Bundle.", "Bundle", ("searchset",))},
        form={},
        headers=("Prefer-handling",),
        page="http.html#vsearch",
        errors=("400", "401", "403", "404", "413", "415"),
    ),
    "search the audit by POST": Described(
        "Search the audit by a form",
        {"200": ("A searchset Bundle.", "Bundle", ())},
        form={},
        page="http.html#search",
        errors=("400", "401", "403", "413", "415"),
        discloses=False,
    ),
    "introspect": Described(
        "Ask whether a token is active",
        {"200": ("RFC 7662: active, or not.", "", ())},
        form={**_CLIENT, "token": {"type": "string"}},
        errors=("oauth",),
        open=True,
        media="application/json",
    ),
    "revoke": Described(
        "End a token",
        {"200": ("It is no longer good (RFC 7009); nor was a token that is not known.", "", ())},
        form={**_CLIENT, "token": {"type": "string"}},
        errors=("oauth",),
        open=True,
        media="application/json",
    ),
    "search-system": Described(
        "Search several types",
        {"200": ("A searchset Bundle.", "Bundle", ("searchset",))},
        query=("_type", *SEARCH),
        headers=("Prefer-handling",),
        page="http.html#search",
        errors=("400", "401", "403"),
    ),
    "batch, transaction": Described(
        "Carry out a batch, or a transaction: all or nothing",
        {"200": ("One answer for each entry, in their order.", "Bundle", ())},
        body=("Bundle", ("transaction",)),
        headers=("Prefer",),
        page="http.html#transaction",
        errors=("400", "401", "403", "404", "409", "412", "413", "415", "422"),
    ),
    "capabilities": Described(
        "Tell what is served",
        {"200": ("The CapabilityStatement.", "Resource", ())},
        page="http.html#capabilities",
        errors=(),
        open=True,
    ),
    "preview-access": Described(
        "Preview what somebody would see of a record",
        {"200": ("Parameters: counts by type, and the list.", "Resource", ())},
        query=("organization", "practitioner", "person", "purpose", "emergency"),
        page="operations.html",
        errors=("401", "403", "404", "422"),
    ),
    "explain-access": Described(
        "Explain why somebody would see a resource, or not",
        {"200": ("Parameters: the decision, and each provision on the way.", "Resource", ())},
        query=("organization", "practitioner", "person", "purpose", "emergency"),
        page="operations.html",
        errors=("401", "403", "404", "422"),
    ),
    "referral-package": Described(
        "Pull a referral package",
        {
            "200": (
                "All of the referral that the caller may see, the person in minimal form.",
                "Bundle",
                ("package",),
            )
        },
        page="operations.html",
        errors=("401", "403", "404"),
    ),
    "token": Described(
        "Get an access token",
        {"200": ("A bearer token.", "AccessToken", ())},
        form={
            "grant_type": {"type": "string", "enum": ["client_credentials"]},
            **_CLIENT,
            "scope": {
                "type": "string",
                "description": "SMART v2 scopes; by default all that the client is registered for.",
                "examples": ["system/Task.rs system/ServiceRequest.rs"],
            },
            "purpose_of_use": {
                "type": "string",
                "description": "A v3-ActReason code; by default the client's first.",
                "examples": ["COC"],
            },
            "emergency_reason": {"type": "string", "description": "Needed for ETREAT and BTG."},
        },
        errors=("oauth",),
        open=True,
        media="application/json",
    ),
    "SMART configuration": Described(
        "Tell how to get a token",
        {"200": ("Endpoints, scopes and capabilities.", "", ())},
        errors=(),
        open=True,
        media="application/json",
    ),
    "public keys": Described(
        "Give the keys that tokens are signed with",
        {"200": ("A JWK Set.", "", ())},
        errors=(),
        open=True,
        media="application/json",
    ),
    "The process lives": Described(
        "Tell that the process lives",
        {"200": ("It does.", "", ())},
        errors=(),
        open=True,
        media="application/json",
    ),
    "The service can serve": Described(
        "Tell that requests can be served",
        {"200": ("They can.", "", ()), "503": ("The database does not answer.", "", ())},
        errors=(),
        open=True,
        media="application/json",
    ),
}

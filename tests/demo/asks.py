"""What the demo is asked for the examples of the OpenAPI document, one request for each operation.

The requests are asked in this order, each by an agency of the demo: those that change something come last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.demo.bodies import KINDS, MARA, SYSTEM, TRANSACTION, VALUE_SET, parameters, patch

Json = dict[str, Any]

FORM: Final = "application/x-www-form-urlencoded"
FHIR: Final = "application/fhir+json"
_RELEASE: Final = "0.0.0"
"""In the place of the release, which is another one every time."""


@dataclass(frozen=True)
class Ask:
    """One request.

    operation: method and path template of the document; a request without one prepares, and is not shown.
    path: with `<name>` where what an earlier request made is named. client, purpose: whose token goes with it;
    none where client is "". body: of JSON, or of the fields of a form. keep: takes from the answer what is
    shown. made: the name under which later requests find the id, or the token, that is answered.
    """

    operation: str
    path: str
    client: str = "river-clinic"
    purpose: str = "TREAT"
    body: Json | None = None
    media: str = FHIR
    keep: Callable[[Json], Json] = lambda answer: answer
    made: str = ""


def _first(key: str, number: int) -> Callable[[Json], Json]:
    return lambda answer: answer | {key: answer[key][:number]}


def _capabilities(answer: Json) -> Json:
    """With two types of resource, two parameters each: every type has its own."""
    (rest,) = answer["rest"]
    kept = [each for each in rest["resource"] if each["type"] in ("Patient", "Task")]
    for each in kept:
        for name in ("searchParam", "searchInclude", "searchRevInclude", "operation"):
            if name in each:
                each[name] = each[name][:2]
    rest = rest | {"resource": kept}
    for name in ("searchParam", "operation", "compartment"):
        if name in rest:
            rest[name] = rest[name][:2]
    software = answer["software"] | {"version": _RELEASE}
    return answer | {"version": _RELEASE, "software": software, "rest": [rest]}


def _document(answer: Json) -> Json:
    """With the first sections of the Composition, and an entry for each that they name."""
    composition = answer["entry"][0]["resource"]
    composition["section"] = composition["section"][:3]
    named = {each["reference"] for part in composition["section"] for each in part.get("entry", ())}
    named.add(composition["subject"]["reference"])
    entries = answer["entry"][1:]
    kept = [each for each in entries if each["fullUrl"] in named or _name(each) in named]
    return answer | {"entry": [answer["entry"][0], *kept]}


def _name(entry: Json) -> str:
    resource = entry["resource"]
    return f"{resource['resourceType']}/{resource.get('id', '')}"


_STATUS: Final = "http://hl7.org/fhir/task-status"
_STATUSES: Final = "http://hl7.org/fhir/ValueSet/task-status"
_ROLES: Final = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
_HOUSING: Final = "/fhir/Task/survivor-b-housing-task"
_ABOUT: Final = "organization=Organization/open-door-shelter&purpose=COC"
_CLIENT: Final = {"client_id": "demo-kiosk", "client_secret": "<secret>"}
_TAG: Final = {"tag": [{"system": "https://river-clinic.example/tags", "code": "follow-up"}]}
_CONCEPTS: Final = (
    Ask("", "/fhir/CodeSystem", body=SYSTEM, made="system"),
    Ask("", "/fhir/ValueSet", body=VALUE_SET, made="set"),
    Ask(
        "get /fhir/CodeSystem/$lookup",
        f"/fhir/CodeSystem/$lookup?system={_STATUS}&code=in-progress",
    ),
    Ask(
        "post /fhir/CodeSystem/$lookup",
        "/fhir/CodeSystem/$lookup",
        body=parameters(coding__Coding={"system": _STATUS, "code": "in-progress"}),
    ),
    Ask("get /fhir/CodeSystem/{id}/$lookup", "/fhir/CodeSystem/<system>/$lookup?code=night"),
    Ask(
        "post /fhir/CodeSystem/{id}/$lookup",
        "/fhir/CodeSystem/<system>/$lookup",
        body=parameters(code__Code="night"),
    ),
    Ask(
        "get /fhir/CodeSystem/$subsumes",
        f"/fhir/CodeSystem/$subsumes?system={_ROLES}&codeA=FAMMEMB&codeB=MTH",
    ),
    Ask(
        "post /fhir/CodeSystem/$subsumes",
        "/fhir/CodeSystem/$subsumes",
        body=parameters(system__Uri=_ROLES, codeA__Code="FAMMEMB", codeB__Code="MTH"),
    ),
    Ask(
        "get /fhir/CodeSystem/{id}/$subsumes",
        "/fhir/CodeSystem/<system>/$subsumes?codeA=shelter&codeB=night",
    ),
    Ask(
        "post /fhir/CodeSystem/{id}/$subsumes",
        "/fhir/CodeSystem/<system>/$subsumes",
        body=parameters(codeA__Code="shelter", codeB__Code="night"),
    ),
    Ask(
        "get /fhir/CodeSystem/$validate-code",
        f"/fhir/CodeSystem/$validate-code?url={_STATUS}&code=accepted",
    ),
    Ask(
        "post /fhir/CodeSystem/$validate-code",
        "/fhir/CodeSystem/$validate-code",
        body=parameters(url__Uri=_STATUS, code__Code="agreed"),
    ),
    Ask(
        "get /fhir/CodeSystem/{id}/$validate-code",
        "/fhir/CodeSystem/<system>/$validate-code?code=weeks",
    ),
    Ask(
        "post /fhir/CodeSystem/{id}/$validate-code",
        "/fhir/CodeSystem/<system>/$validate-code",
        body=parameters(code__Code="years"),
    ),
    Ask("get /fhir/ValueSet/$expand", f"/fhir/ValueSet/$expand?url={_STATUSES}&filter=pro"),
    Ask(
        "post /fhir/ValueSet/$expand",
        "/fhir/ValueSet/$expand",
        body=parameters(url__Uri=_STATUSES, filter__String="pro"),
    ),
    Ask("get /fhir/ValueSet/{id}/$expand", "/fhir/ValueSet/<set>/$expand"),
    Ask(
        "post /fhir/ValueSet/{id}/$expand",
        "/fhir/ValueSet/<set>/$expand",
        body=parameters(count__Integer=2),
    ),
    Ask(
        "get /fhir/ValueSet/$validate-code",
        f"/fhir/ValueSet/$validate-code?url={_STATUSES}&system={_STATUS}&code=accepted",
    ),
    Ask(
        "post /fhir/ValueSet/$validate-code",
        "/fhir/ValueSet/$validate-code",
        body=parameters(url__Uri=_STATUSES, coding__Coding={"system": _STATUS, "code": "agreed"}),
    ),
    Ask(
        "get /fhir/ValueSet/{id}/$validate-code",
        f"/fhir/ValueSet/<set>/$validate-code?system={KINDS}&code=weeks",
    ),
    Ask(
        "post /fhir/ValueSet/{id}/$validate-code",
        "/fhir/ValueSet/<set>/$validate-code",
        body=parameters(coding__Coding={"system": KINDS, "code": "years"}),
    ),
)

_CARE: Final = (
    Ask(
        "get /fhir/Consent/{id}/$enforcement",
        "/fhir/Consent/survivor-a-consent-open-door/$enforcement",
    ),
    Ask(
        "get /fhir/Measure/{id}/$evaluate-measure",
        "/fhir/Measure/referrals-closed/$evaluate-measure?periodStart=2025-01-01&periodEnd=2025-12-31",
    ),
    Ask(
        "post /fhir/Patient/$match",
        "/fhir/Patient/$match",
        body=parameters(resource__resource=MARA, onlyCertainMatches__Boolean=False),
        keep=_first("entry", 1),
    ),
    Ask(
        "get /fhir/Patient/{id}/$outcomes",
        "/fhir/Patient/survivor-a/$outcomes",
        keep=_first("parameter", 2),
    ),
    Ask(
        "get /fhir/Patient/{id}/$preview-access",
        f"/fhir/Patient/survivor-b/$preview-access?{_ABOUT}",
    ),
    Ask(
        "get /fhir/{type}/{id}/$explain-access",
        "/fhir/Task/survivor-a-housing-task/$explain-access?"
        "organization=Organization/bridge-legal-aid&purpose=COC",
    ),
    Ask("get /fhir/Patient/{id}/$summary", "/fhir/Patient/survivor-b/$summary", keep=_document),
    Ask(
        "get /fhir/PlanDefinition/{id}/$apply",
        "/fhir/PlanDefinition/first-weeks/$apply?subject=Patient/survivor-b",
    ),
    Ask(
        "post /fhir/PlanDefinition/{id}/$apply",
        "/fhir/PlanDefinition/first-weeks/$apply",
        body=parameters(subject__String="Patient/survivor-b"),
    ),
    Ask(
        "get /fhir/Questionnaire/{id}/$populate",
        "/fhir/Questionnaire/how-life-goes/$populate?subject=Patient/survivor-a",
    ),
    Ask(
        "post /fhir/Questionnaire/{id}/$populate",
        "/fhir/Questionnaire/how-life-goes/$populate",
        body=parameters(subject__Reference={"reference": "Patient/survivor-a"}),
    ),
    Ask(
        "get /fhir/QuestionnaireResponse/{id}/$extract",
        "/fhir/QuestionnaireResponse/survivor-b-phq9/$extract",
    ),
    Ask(
        "post /fhir/QuestionnaireResponse/{id}/$extract",
        "/fhir/QuestionnaireResponse/survivor-b-phq9/$extract",
        body={"resourceType": "Parameters"},
    ),
    Ask(
        "post /fhir/{type}/$validate",
        "/fhir/Task/$validate",
        body={"resourceType": "Task", "status": "agreed", "intent": "order"},
    ),
    Ask(
        "post /fhir/{type}/{id}/$validate",
        f"{_HOUSING}/$validate?mode=update",
        body={
            "resourceType": "Task",
            "id": "survivor-b-housing-task",
            "status": "accepted",
            "intent": "order",
        },
    ),
    Ask("get /fhir/{type}/{id}/$meta", f"{_HOUSING}/$meta"),
    Ask("get /fhir/{type}/{id}/_history/{version}/$meta", f"{_HOUSING}/_history/1/$meta"),
    Ask(
        "post /fhir/{type}/_search",
        "/fhir/Task/_search",
        body={"owner": "Organization/open-door-shelter", "_include": "Task:focus"},
        media=FORM,
        keep=_first("entry", 1),
    ),
    Ask(
        "post /fhir/_search",
        "/fhir/_search",
        body={"_type": "Task,ServiceRequest", "_count": "1"},
        media=FORM,
    ),
    Ask(
        "post /fhir/Patient/{id}/{type}/_search",
        "/fhir/Patient/survivor-a/Goal/_search",
        body={"lifecycle-status": "active", "_count": "1"},
        media=FORM,
    ),
)

_WRITES: Final = (
    Ask(
        "post /fhir/{type}/{id}/$meta-add",
        f"{_HOUSING}/$meta-add",
        body=parameters(meta__Meta=_TAG),
    ),
    Ask(
        "post /fhir/{type}/{id}/$meta-delete",
        f"{_HOUSING}/$meta-delete",
        body=parameters(meta__Meta=_TAG),
    ),
    Ask("patch /fhir/{type}/{id}", _HOUSING, body=patch("urgent")),
    Ask("patch /fhir/{type}", "/fhir/Task?_id=survivor-b-housing-task", body=patch("asap")),
    Ask(
        "post /fhir",
        "/fhir",
        body=TRANSACTION,
    ),
    Ask("", "/fhir/Patient", body=MARA, made="twice"),
    Ask(
        "post /fhir/Patient/{id}/$link",
        "/fhir/Patient/<twice>/$link",
        body=parameters(other__Reference={"reference": "Patient/survivor-a"}),
    ),
    Ask(
        "post /fhir/Patient/{id}/$unlink",
        "/fhir/Patient/<twice>/$unlink",
        body=parameters(other__Reference={"reference": "Patient/survivor-a"}),
    ),
)

_AUDIT: Final = (
    Ask(
        "get /fhir/Patient/{id}/$accounting-of-disclosures",
        "/fhir/Patient/survivor-b/$accounting-of-disclosures",
        client="survivor-b-app",
        purpose="PATRQT",
        keep=_first("entry", 1),
    ),
    Ask(
        "get /fhir/AuditEvent",
        "/fhir/AuditEvent?patient=Patient/survivor-b&_count=1",
        client="privacy-officer",
        purpose="HCOMPL",
        made="event",
    ),
    Ask(
        "post /fhir/AuditEvent/_search",
        "/fhir/AuditEvent/_search",
        client="privacy-officer",
        purpose="HCOMPL",
        body={"patient": "Patient/survivor-b", "_count": "1"},
        media=FORM,
    ),
    Ask(
        "get /fhir/AuditEvent/{id}",
        "/fhir/AuditEvent/<event>",
        client="privacy-officer",
        purpose="HCOMPL",
    ),
)

_OPEN: Final = (
    Ask("get /fhir/metadata", "/fhir/metadata", client="", keep=_capabilities),
    Ask(
        "get /.well-known/smart-configuration",
        "/.well-known/smart-configuration",
        client="",
    ),
    Ask("get /oauth/jwks", "/oauth/jwks", client=""),
    Ask("get /healthz", "/healthz", client=""),
    Ask("get /readyz", "/readyz", client=""),
    Ask(
        "post /oauth/token",
        "/oauth/token",
        client="",
        body={"grant_type": "client_credentials", **_CLIENT, "purpose_of_use": "COC"},
        media=FORM,
        made="token",
    ),
    Ask(
        "post /oauth/introspect",
        "/oauth/introspect",
        client="",
        body=_CLIENT | {"token": "<token>"},
        media=FORM,
    ),
    Ask(
        "post /oauth/revoke",
        "/oauth/revoke",
        client="",
        body=_CLIENT | {"token": "<token>"},
        media=FORM,
    ),
)

ASKS: Final = (*_OPEN, *_CONCEPTS, *_CARE, *_WRITES, *_AUDIT)


def filled(text: str, known: dict[str, str]) -> str:
    """The text with what earlier requests made in the places of `<name>`."""
    for name, value in known.items():
        text = text.replace(f"<{name}>", value)
    return text

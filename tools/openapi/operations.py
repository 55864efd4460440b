"""What the operations with a `$`, and the audit, take and give: for the OpenAPI document.

Keyed by path template without `/fhir/` and `{id}`; an operation on the type and on an instance is one.
Neighbours: `interactions` (R4's interactions), `pages` (where each is told of). Pinned:
hl7.org/fhir/R4/operationslist.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Operated:
    """One operation.

    title: what it does. answer: what comes back, the name of its schema, names of examples. parameters: of the
    URL, name to meaning. page: beneath R4. discloses: whether it may show somebody else's records.
    posted: whether a POST takes the same parameters in its URL, not in its body alone.
    """

    title: str
    answer: tuple[str, str, tuple[str, ...]]
    parameters: dict[str, str] = field(default_factory=dict)
    page: str = "operations.html"
    discloses: bool = True
    posted: bool = False


_SUBJECT: Final = {"subject": "The Patient it is for: a reference."}
_STORE: Final = {
    "store": "`true` with a POST: what is made is written as well, in one transaction."
}
_CODED: Final = {"coding": "system|code, instead of the two.", "version": "Of the code system."}
_META: Final = ("Parameters with one Meta.", "Parameters", ())
_YES: Final = "Parameters: `result`, and a message where it is false."

OPERATIONS: Final[dict[str, Operated]] = {
    "AuditEvent": Operated(
        "Search the audit",
        ("A searchset Bundle.", "Bundle", ()),
        {
            "date": "When: prefixes as in every search.",
            "patient": "About whom.",
            "agent": "Who.",
            "entity": "What.",
            "altid": "The client's id.",
            "action": "C, R, U, D or E.",
            "outcome": "0, 4 or 8.",
            "subtype": "The interaction.",
        },
        page="auditevent.html",
        discloses=False,
    ),
    "AuditEvent/{id}": Operated(
        "Read an audit entry",
        ("The AuditEvent.", "Resource", ()),
        page="auditevent.html",
        discloses=False,
    ),
    "CodeSystem/$lookup": Operated(
        "Look a code up",
        ("Parameters: display, definition, designations, properties.", "Parameters", ()),
        {"system": "URL of the code system.", "code": "The code.", **_CODED},
        page="codesystem-operation-lookup.html",
        discloses=False,
    ),
    "CodeSystem/$subsumes": Operated(
        "Say how two codes stand to each other",
        ("Parameters: `outcome`, a concept-subsumption-outcome.", "Parameters", ()),
        {
            "system": "URL of the code system.",
            "codeA": "One code.",
            "codeB": "The other.",
            "version": "Of the code system.",
        },
        page="codesystem-operation-subsumes.html",
        discloses=False,
    ),
    "CodeSystem/$validate-code": Operated(
        "Say whether a code system has a code",
        (_YES, "Parameters", ()),
        {"url": "The code system.", "code": "The code.", "display": "Its display.", **_CODED},
        page="codesystem-operation-validate-code.html",
        discloses=False,
    ),
    "ValueSet/$expand": Operated(
        "List the codes of a value set",
        ("The ValueSet with its expansion.", "Resource", ()),
        {
            "url": "The value set.",
            "filter": "Words of the displays.",
            "offset": "Where the page begins.",
            "count": "How many codes.",
            "includeDesignations": "`true`: with their designations.",
            "activeOnly": "`true`: without inactive codes.",
        },
        page="valueset-operation-expand.html",
        discloses=False,
    ),
    "ValueSet/$validate-code": Operated(
        "Say whether a code is in a value set",
        (_YES, "Parameters", ()),
        {
            "url": "The value set.",
            "system": "URL of the code system.",
            "code": "The code.",
            "display": "Its display.",
            "coding": "system|code, instead of the two.",
        },
        page="valueset-operation-validate-code.html",
        discloses=False,
    ),
    "Consent/$enforcement": Operated(
        "Say whether a Consent is enforced, and why not",
        ("Parameters: in plain words.", "Parameters", ()),
    ),
    "Measure/$evaluate-measure": Operated(
        "Count, with small numbers withheld",
        ("A summary MeasureReport.", "Resource", ()),
        {"periodStart": "First day.", "periodEnd": "Last day."},
        page="measure-operation-evaluate-measure.html",
        discloses=False,
    ),
    "Patient/$match": Operated(
        "Ask whether a person is known",
        ("A searchset Bundle, each match with its score.", "Bundle", ()),
        page="patient-operation-match.html",
    ),
    "Patient/$accounting-of-disclosures": Operated(
        "Account for who saw what of a record",
        ("A Bundle of AuditEvents, or a table.", "Bundle", ()),
        {"since": "From this day on.", "_outputFormat": "json or csv."},
        discloses=False,
    ),
    "Patient/$everything": Operated(
        "Get a patient's whole record",
        ("A searchset Bundle; `link` holds the next page.", "Bundle", ("searchset",)),
        {
            "start": "Care from this day on.",
            "end": "Care up to this day.",
            "_since": "Last updated from this instant on.",
            "_type": "Resource types, comma-separated.",
            "_count": "Entries of a page.",
        },
        page="patient-operation-everything.html",
    ),
    "Patient/$link": Operated(
        "Say that two Patients are one person",
        ("A transaction-response Bundle: both Patients with their links.", "Bundle", ()),
        page="patient.html#links",
    ),
    "Patient/$unlink": Operated(
        "Take a link of Patients back",
        ("A transaction-response Bundle: both Patients without them.", "Bundle", ()),
        page="patient.html#links",
    ),
    "Patient/$outcomes": Operated(
        "Compare baseline and latest scores",
        ("Parameters: for each score its baseline, latest and change.", "Parameters", ()),
        {"date": "Narrows the scores; prefixes as in every search."},
    ),
    "Patient/$summary": Operated(
        "Get the International Patient Summary",
        ("A document Bundle.", "Bundle", ()),
    ),
    "Patient/{type}": Operated(
        "Search a patient's compartment",
        ("A searchset Bundle; `link` holds the next page.", "Bundle", ("searchset",)),
        page="http.html#vsearch",
    ),
    "PlanDefinition/$apply": Operated(
        "Make a plan from a pathway",
        ("The CarePlan, with what it asks for contained.", "AnyResource", ()),
        _SUBJECT | _STORE,
        page="plandefinition-operation-apply.html",
        posted=True,
    ),
    "Questionnaire/$populate": Operated(
        "Begin a response with what is known",
        ("A QuestionnaireResponse in progress.", "AnyResource", ()),
        _SUBJECT,
        page="questionnaire.html",
        posted=True,
    ),
    "QuestionnaireResponse/$extract": Operated(
        "Make Observations from a response",
        ("A transaction Bundle.", "Bundle", ()),
        _STORE,
        page="questionnaireresponse.html",
        posted=True,
    ),
    "{type}/$validate": Operated(
        "Judge a resource",
        ("An OperationOutcome, whatever it says.", "OperationOutcome", ()),
        {"profile": "URL of a profile.", "mode": "create, update, profile or delete."},
        page="resource-operation-validate.html",
        discloses=False,
        posted=True,
    ),
    "{type}/$meta": Operated(
        "Get profiles, tags and labels", _META, page="resource-operation-meta.html"
    ),
    "{type}/_history/{version}/$meta": Operated(
        "Get profiles, tags and labels of one version", _META, page="resource-operation-meta.html"
    ),
    "{type}/$meta-add": Operated(
        "Add profiles, tags and labels", _META, page="resource-operation-meta-add.html"
    ),
    "{type}/$meta-delete": Operated(
        "Take profiles, tags and labels away", _META, page="resource-operation-meta-delete.html"
    ),
}


def operated(path: str) -> Operated | None:
    """What is known of the operation at a path; None where it is none, or nothing is known."""
    if path in ("/fhir/AuditEvent/{id}", "/fhir/{type}/{id}"):
        return OPERATIONS.get(path.removeprefix("/fhir/"))
    return OPERATIONS.get(re.sub(r"/\{id\}", "", path).removeprefix("/fhir/"))

"""OperationOutcome: the faults of `app.errors` as FHIR.

Pinned: hl7.org/fhir/R4/operationoutcome.html.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.errors import Issue, IssueCode
from app.fhir_mappings.json_text import JsonObject, dump


def outcome(issues: Iterable[Issue]) -> JsonObject:
    """The OperationOutcome of at least one issue, in their order; ValueError for none.

    The diagnostics are passed on as they are: who makes an issue keeps values of resources out of
    it.
    """
    rendered = [_issue(each) for each in issues]
    if not rendered:
        raise ValueError("an OperationOutcome needs at least one issue")
    return {"resourceType": "OperationOutcome", "issue": rendered}


def render(issues: Iterable[Issue]) -> bytes:
    """The same as compact JSON."""
    return dump(outcome(issues))


def _issue(issue: Issue) -> JsonObject:
    result: JsonObject = {
        "severity": issue.severity,
        "code": issue.code.value,
        "diagnostics": issue.diagnostics,
    }
    if issue.expression:
        result["expression"] = list(issue.expression)
    return result


def placed(outcome: JsonObject, where: str) -> list[Issue]:
    """The issues of an OperationOutcome of ours, told of a place in a Bundle."""
    return [
        Issue(IssueCode(each["code"]), each["diagnostics"], (where,), each["severity"])
        for each in outcome["issue"]
    ]


_SUCCESS = {
    200: "The resource stands as it was sent.",
    201: "The resource has been created.",
    204: "There is no such resource now.",
}


def success(status: int) -> Issue:
    """What to say of a write that was done (Prefer: return=OperationOutcome)."""
    return Issue(IssueCode.INFORMATIONAL, _SUCCESS[status], (), "information")

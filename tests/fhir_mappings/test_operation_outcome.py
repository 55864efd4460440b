"""OperationOutcome: issues as FHIR."""

from __future__ import annotations

import pytest

from app.errors import Issue, IssueCode, not_found
from app.fhir_mappings.json_text import parse
from app.fhir_mappings.operation_outcome import outcome, render
from app.fhir_mappings.validate import validate


def test_an_outcome_holds_every_issue_in_order() -> None:
    issues = [
        Issue(IssueCode.REQUIRED, "Give it.", ("Patient.link[0].other",)),
        Issue(IssueCode.INFORMATIONAL, "So it is.", severity="information"),
    ]
    assert outcome(issues) == {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": "required",
                "diagnostics": "Give it.",
                "expression": ["Patient.link[0].other"],
            },
            {"severity": "information", "code": "informational", "diagnostics": "So it is."},
        ],
    }


@pytest.mark.parametrize("code", list(IssueCode))
def test_every_issue_code_makes_a_valid_outcome(code: IssueCode) -> None:
    for severity in ("fatal", "error", "warning", "information"):
        rendered = render([Issue(code, "Words.", severity=severity)])
        assert validate(parse(rendered, max_depth=9)) == []


def test_not_found_has_one_rendering_that_names_nothing() -> None:
    assert render(not_found().issues) == (
        b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found",'
        b'"diagnostics":"No such resource is known here, or none that this caller may see."}]}'
    )


def test_an_outcome_without_issue_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        render([])

"""Domain errors: each carries FHIR issues; one table turns an issue code into an HTTP status.

Pinned: hl7.org/fhir/R4/operationoutcome.html, hl7.org/fhir/R4/valueset-issue-type.html,
hl7.org/fhir/R4/http.html#Status-Codes. Rendering to JSON is
`app.fhir_mappings.operation_outcome`; nothing here knows HTTP beyond the number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class IssueCode(StrEnum):
    """The codes of hl7.org/fhir/R4/valueset-issue-type.html that this service uses."""

    INVALID = "invalid"
    STRUCTURE = "structure"
    REQUIRED = "required"
    VALUE = "value"
    INVARIANT = "invariant"
    CODE_INVALID = "code-invalid"
    EXTENSION = "extension"
    SECURITY = "security"
    LOGIN = "login"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    FORBIDDEN = "forbidden"
    SUPPRESSED = "suppressed"
    PROCESSING = "processing"
    NOT_SUPPORTED = "not-supported"
    DUPLICATE = "duplicate"
    MULTIPLE_MATCHES = "multiple-matches"
    NOT_FOUND = "not-found"
    DELETED = "deleted"
    TOO_LONG = "too-long"
    BUSINESS_RULE = "business-rule"
    CONFLICT = "conflict"
    TRANSIENT = "transient"
    TOO_COSTLY = "too-costly"
    TIMEOUT = "timeout"
    THROTTLED = "throttled"
    EXCEPTION = "exception"
    INFORMATIONAL = "informational"


STATUS_OF: Final = MappingProxyType(
    {
        IssueCode.INVALID: 400,
        IssueCode.STRUCTURE: 400,
        IssueCode.REQUIRED: 422,
        IssueCode.VALUE: 422,
        IssueCode.INVARIANT: 422,
        IssueCode.CODE_INVALID: 422,
        IssueCode.EXTENSION: 422,
        IssueCode.SECURITY: 403,
        IssueCode.LOGIN: 401,
        IssueCode.UNKNOWN: 401,
        IssueCode.EXPIRED: 401,
        IssueCode.FORBIDDEN: 403,
        IssueCode.SUPPRESSED: 403,
        IssueCode.PROCESSING: 422,
        IssueCode.NOT_SUPPORTED: 400,
        IssueCode.DUPLICATE: 422,
        IssueCode.MULTIPLE_MATCHES: 412,
        IssueCode.NOT_FOUND: 404,
        IssueCode.DELETED: 410,
        IssueCode.TOO_LONG: 413,
        IssueCode.BUSINESS_RULE: 422,
        IssueCode.CONFLICT: 412,
        IssueCode.TRANSIENT: 503,
        IssueCode.TOO_COSTLY: 403,
        IssueCode.TIMEOUT: 503,
        IssueCode.THROTTLED: 429,
        IssueCode.EXCEPTION: 500,
        IssueCode.INFORMATIONAL: 200,
    }
)


@dataclass(frozen=True, slots=True)
class Issue:
    """One fault: what is wrong, where, and what to do.

    `expression` holds FHIRPath locations such as `Patient.name[0].family`; empty where the
    fault is not in a resource. `diagnostics` is one sentence for the sender: it never repeats a
    value taken from the resource, because outcomes are logged by clients.
    """

    code: IssueCode
    diagnostics: str
    expression: tuple[str, ...] = ()
    severity: str = "error"


class FhirError(Exception):
    """A request that cannot be done, as FHIR issues.

    `status` is taken from the first issue's code by `STATUS_OF` unless given (405, 406, 409, 415
    have no issue code of their own). `headers` are added to the answer.
    """

    def __init__(
        self,
        issues: Issue | Iterable[Issue],
        *,
        status: int | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.issues: tuple[Issue, ...] = (issues,) if isinstance(issues, Issue) else tuple(issues)
        if not self.issues:
            raise ValueError("a FhirError needs at least one issue")
        self.status: int = status if status is not None else STATUS_OF[self.issues[0].code]
        self.headers: tuple[tuple[str, str], ...] = tuple(headers)
        super().__init__(self.issues[0].code.value)


def fhir_error(
    code: IssueCode,
    diagnostics: str,
    *expression: str,
    status: int | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> FhirError:
    """Shorthand for a `FhirError` with a single issue."""
    return FhirError(Issue(code, diagnostics, expression), status=status, headers=headers)


def not_found() -> FhirError:
    """The one answer for hidden and missing alike (42 CFR 2.13(c)); the words never vary."""
    return fhir_error(
        IssueCode.NOT_FOUND,
        "No such resource is known here, or none that this caller may see.",
    )

r"""The text of a search parameter taken apart: alternatives, escapes, prefixes, dates, numbers.

Escapes: `\,` `\|` `\$` and `\\` stand for the character; any other backslash for itself. An
empty alternative is refused: dropping it would widen the search. What is refused names the
parameter, never its value.

Pinned: hl7.org/fhir/R4/search.html#escaping, #prefix.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn

from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings.date_rows import date_range
from app.fhir_mappings.number_rows import Written, written
from app.fhir_mappings.search_clauses import DateRange, Prefix

MAX_ALTERNATIVES: Final = 1000
"""Values, separated by commas, that one parameter may have."""

ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")

_ESCAPED: Final = re.compile(r"\\([\\,|$])")
_PREFIXED: Final = re.compile(r"(eq|ne|gt|ge|lt|le|sa|eb|ap)?(.*)", re.DOTALL)
_PREFIXES: Final[dict[str, Prefix]] = {
    "eq": "eq",
    "ne": "ne",
    "gt": "gt",
    "ge": "ge",
    "lt": "lt",
    "le": "le",
    "sa": "sa",
    "eb": "eb",
    "ap": "ap",
}
_NAME: Final = re.compile(r"[A-Za-z0-9_:.\-]{1,300}")


def fault(code: IssueCode, diagnostics: str, name: str) -> FhirError:
    """The FhirError (400) of one parameter; its name is told unless it is no name at all."""
    expression = (name,) if _NAME.fullmatch(name) else ()
    return fhir_error(code, diagnostics, *expression, status=400)


def refuse(code: IssueCode, diagnostics: str, name: str) -> NoReturn:
    """Raise `fault`."""
    raise fault(code, diagnostics, name)


def split(text: str, separator: str) -> list[str]:
    """Parts between separators that no backslash escapes; the parts keep their escapes."""
    parts = [""]
    escaped = False
    for each in text:
        if each == separator and not escaped:
            parts.append("")
        else:
            parts[-1] += each
        escaped = each == "\\" and not escaped
    return parts


def unescape(text: str) -> str:
    """The text that a value with escapes stands for."""
    return _ESCAPED.sub(r"\1", text)


def alternatives(text: str, name: str) -> list[str]:
    """The values between commas, escapes kept; FhirError where one is empty or there are many."""
    parts = split(text, ",")
    if not all(parts):
        refuse(IssueCode.INVALID, "Give a value, and one on each side of a comma.", name)
    if len(parts) > MAX_ALTERNATIVES:
        refuse(IssueCode.INVALID, f"Give at most {MAX_ALTERNATIVES} alternatives.", name)
    return parts


def boolean(text: str, name: str) -> bool:
    """`true` or `false`; FhirError for any other text."""
    if text not in ("true", "false"):
        refuse(IssueCode.INVALID, "Give true or false.", name)
    return text == "true"


def logical_id(text: str, name: str) -> str:
    """A logical id; FhirError for any other text."""
    if not ID.fullmatch(text):
        refuse(IssueCode.INVALID, "Give ids: 1 to 64 letters, digits, hyphens and dots.", name)
    return text


def prefixed(text: str) -> tuple[Prefix, str]:
    """The prefix, `eq` where none is written, and what follows it."""
    match = _PREFIXED.fullmatch(text)
    prefix, rest = match.groups() if match else (None, text)
    return _PREFIXES[prefix or "eq"], rest


def date(text: str, name: str) -> DateRange:
    """A date with a prefix or none."""
    prefix, rest = prefixed(text)
    try:
        low, high = date_range(rest)
    except ValueError:
        refuse(
            IssueCode.INVALID,
            "Give dates as YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm[:ss][zone], with a "
            "prefix or none (a plus sign is sent as %2B).",
            name,
        )
    return DateRange(prefix, low, high)


def number(text: str, name: str) -> tuple[Prefix, Written]:
    """A number with a prefix or none."""
    prefix, rest = prefixed(text)
    try:
        return prefix, written(rest)
    except ValueError:
        refuse(
            IssueCode.INVALID,
            "Give a decimal number such as 5.40 or 1e2, with a prefix or none.",
            name,
        )

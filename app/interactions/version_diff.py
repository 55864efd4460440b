"""What has changed since the version that an editor worked from, said in places and not in contents.

Two people edit one care plan: the second one's If-Match is stale, and the refusal says which elements the
first one touched, so that a person can decide. Contents are left out: outcomes are logged by clients.
Pinned: hl7.org/fhir/R4/http.html#concurrency.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from app.errors import FhirError, Issue, IssueCode
from app.fhir_mappings import json_text

_MOST: Final = 40
_SENTENCE: Final = "The resource has changed since the version that If-Match names; read it again."
_IGNORED: Final = frozenset({"meta", "text"})


def stale(old: bytes | None, new: bytes) -> FhirError:
    """The 412 of a stale If-Match. old: the version it names, None where it is not to be seen."""
    issues = [Issue(IssueCode.CONFLICT, _SENTENCE)]
    if old and new:
        before, now = _parsed(old), _parsed(new)
        changes = list(differences(before, now, str(now["resourceType"])))
        issues += [
            Issue(IssueCode.INFORMATIONAL, f"{what} since that version.", (path,), "information")
            for path, what in changes[:_MOST]
        ]
    return FhirError(issues)


def _parsed(content: bytes) -> dict[str, Any]:
    return json_text.parse(content, max_depth=json_text.MAX_DEPTH_LIMIT)


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], path: str
) -> Iterator[tuple[str, str]]:
    """(FHIRPath, Added, Removed or Changed) of each element that differs, as deep as it can be told."""
    for name in dict.fromkeys((*old, *new)):
        if name in _IGNORED and "." not in path:
            continue
        where = f"{path}.{name.removeprefix('_')}"
        if name not in old:
            yield where, "Added"
        elif name not in new:
            yield where, "Removed"
        else:
            yield from _value(old[name], new[name], where)


def _value(old: Any, new: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from differences(old, new, where)
    elif isinstance(old, list) and isinstance(new, list):
        for position in range(max(len(old), len(new))):
            place = f"{where}[{position}]"
            if position >= len(old):
                yield place, "Added"
            elif position >= len(new):
                yield place, "Removed"
            else:
                yield from _value(old[position], new[position], place)
    elif old != new:
        yield where, "Changed"

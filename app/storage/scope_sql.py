"""What an access token's scopes leave of what its caller may see, inside every query.

Consent says what a caller may see; scopes say what this token may be used for, and can only narrow it. The
predicate leaves a mark at each place where it stands (`mark`); for a token that reads everything the mark is a
comment, for a narrower one it becomes a condition on the row's type and, for a scope with a search constraint
(`system/Observation.rs?category=laboratory`), on its index rows. So whatever finds rows is narrowed: reads,
versions, searches, counts, includes. Neighbours: `app.storage.predicate`, `app.security.scopes`.
Pinned: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html (finer-grained constraints).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

_MARK: Final = re.compile(r"/\*scope:(\w+)\*/")


@dataclass(frozen=True, slots=True)
class Constrained:
    """One type that is read only where the row has, of each group, at least one of the token keys."""

    type_code: int
    key_groups: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class ReadScope:
    """The types a token reads. whole: codes of those without a constraint. partly: the others."""

    whole: tuple[int, ...]
    partly: tuple[Constrained, ...]


def mark(row: str) -> str:
    """The place of the condition over table alias `row`; a comment until it is filled."""
    return f"/*scope:{row}*/"


def narrowed(
    text: str, scope: ReadScope | None, arguments: tuple[Any, ...]
) -> tuple[str, tuple[Any, ...]]:
    """The statement with its marks filled for this scope, and all its parameters.

    arguments: the statement's parameters, $1 first.
    """
    if scope is None:
        return text, arguments
    given = list(arguments)

    def parameter(value: Any, sql_type: str) -> str:
        given.append(value)
        return f"${len(given)}::{sql_type}"

    condition = _condition(scope, parameter)
    return _MARK.sub(lambda found: condition(found[1]), text), tuple(given)


def _condition(scope: ReadScope, parameter: Callable[[Any, str], str]) -> Callable[[str], str]:
    whole = parameter(list(scope.whole), "smallint[]")
    partly = [
        (
            parameter(each.type_code, "smallint"),
            [parameter(list(keys), "bigint[]") for keys in each.key_groups],
        )
        for each in scope.partly
    ]

    def over(row: str) -> str:
        alternatives = [f"{row}.type = ANY ({whole})"]
        for type_code, groups in partly:
            tests = [
                "EXISTS (SELECT FROM tl.index_token scoped "
                f"WHERE scoped.rid = {row}.rid AND scoped.hash = ANY ({keys}))"
                for keys in groups
            ]
            alternatives.append(" AND ".join([f"{row}.type = {type_code}", *tests]))
        return f" AND ({' OR '.join(alternatives)})"

    return over

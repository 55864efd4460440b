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

NOT_NARROWED: Final = " /*scopes apart*/"
"""Ends a statement that tells a caller nothing of any row: what rules are made of, not what is found."""


@dataclass(frozen=True, slots=True)
class Constrained:
    """One type that is read only where the row has, of each group, at least one of the token keys."""

    type_code: int
    key_groups: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class ReadScope:
    """What a token reads. whole: codes of the types without a constraint, None for all. partly: the others.

    patient: the rid of the survivor in whose context a `patient/` token stands: nothing is read that is
    about other people, also where those permitted it.
    """

    whole: tuple[int, ...] | None
    partly: tuple[Constrained, ...]
    patient: int | None = None


def mark(row: str) -> str:
    """The place of the condition over table alias `row`; a comment until it is filled."""
    return f"/*scope:{row}*/"


def narrowed(
    text: str, scope: ReadScope | None, arguments: tuple[Any, ...]
) -> tuple[str, tuple[Any, ...]]:
    """The statement with its marks filled for this scope, and all its parameters.

    arguments: the statement's parameters, $1 first. LookupError for a statement without a mark, unless it
    says that it needs none: it would tell a narrow token more than its scopes.
    """
    if scope is None or NOT_NARROWED in text:
        return text, arguments
    if _MARK.search(text) is None:
        raise LookupError("the statement has no place for the token's scopes")
    given = list(arguments)

    def parameter(value: Any, sql_type: str) -> str:
        given.append(value)
        return f"${len(given)}::{sql_type}"

    condition = _condition(scope, parameter)
    return _MARK.sub(lambda found: condition(found[1]), text), tuple(given)


def _condition(scope: ReadScope, parameter: Callable[[Any, str], str]) -> Callable[[str], str]:
    whole = None if scope.whole is None else parameter(list(scope.whole), "smallint[]")
    # The audit files what is about a survivor under minus the rid.
    context = (
        None if scope.patient is None else parameter([scope.patient, -scope.patient], "bigint[]")
    )
    partly = [
        (
            parameter(each.type_code, "smallint"),
            [parameter(list(keys), "bigint[]") for keys in each.key_groups],
        )
        for each in scope.partly
    ]

    def over(row: str) -> str:
        within = (
            ""
            if context is None
            else f" AND ({row}.patient IS NULL OR {row}.patient = ANY ({context})"
            f" OR {row}.co_subjects && {context})"
        )
        if whole is None:
            return within
        alternatives = [f"{row}.type = ANY ({whole})"]
        for type_code, groups in partly:
            tests = [
                "EXISTS (SELECT FROM tl.index_token scoped "
                f"WHERE scoped.rid = {row}.rid AND scoped.hash = ANY ({keys}))"
                for keys in groups
            ]
            alternatives.append(" AND ".join([f"{row}.type = {type_code}", *tests]))
        return f"{within} AND ({' OR '.join(alternatives)})"

    return over

"""SMART App Launch scopes, v2 (`system/Observation.rs?category=laboratory`) and v1 (`system/Observation.read`).

A search constraint narrows what is read and searched; `app.storage.scope_sql` puts it inside every query.
Supported are token, reference and uri parameters without modifiers, of a named type, for the letters r and s.
Pinned: hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import parse_qsl

from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings import registry
from app.fhir_mappings.search_clauses import TokenClause
from app.fhir_mappings.search_query import parse
from app.storage.scope_sql import Constrained, ReadScope

_SCOPE: Final = re.compile(
    r"(system|user|patient)/(\*|[A-Za-z]+)\.(read|write|\*|(?=[cruds])c?r?u?d?s?)(?:\?(\S+))?"
)
_V1: Final = {"read": "rs", "write": "cud", "*": "cruds"}
_NAMELESS: Final = frozenset(
    {"launch", "launch/patient", "openid", "fhirUser", "profile", "online_access", "offline_access"}
)


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope. level: system, user or patient. type: `*` for all. constraint: a query string, or ""."""

    level: str
    type: str
    letters: frozenset[str]
    constraint: str = ""


@dataclass(frozen=True, slots=True)
class Scopes:
    """What a token may be used for."""

    held: tuple[Scope, ...]

    @property
    def letters(self) -> tuple[tuple[str, frozenset[str]], ...]:
        """Interaction letters (c r u d s) by resource type, constraints left aside."""
        return tuple((each.type, each.letters) for each in self.held)

    @property
    def text(self) -> str:
        """The scopes as SMART v2 writes them."""
        return " ".join(
            f"{each.level}/{each.type}.{''.join(c for c in 'cruds' if c in each.letters)}"
            f"{'?' if each.constraint else ''}{each.constraint}"
            for each in self.held
        )

    def allow(self, resource_type: str, letter: str) -> bool:
        """True where any scope covers the interaction on the type, for some of its resources at least."""
        for each in self.held:  # noqa: SIM110 - a generator takes three times as long, at each request
            if each.type in ("*", resource_type) and letter in each.letters:
                return True
        return False

    def reading(self, patient: int | None = None) -> ReadScope | None:
        """What these scopes leave to be read or searched; None where that is everything.

        patient: rid of the survivor whose context narrows it. A type that one scope covers without a
        constraint is not constrained by another.
        """
        readable = [each for each in self.held if each.letters & {"r", "s"}]
        if any(each.type == "*" and not each.constraint for each in readable):
            return None if patient is None else ReadScope(None, (), patient)
        whole = {each.type for each in readable if not each.constraint}
        return ReadScope(
            tuple(sorted(registry.type_code(name) for name in whole)),
            tuple(
                Constrained(registry.type_code(each.type), _key_groups(each.type, each.constraint))
                for each in readable
                if each.constraint and each.type not in whole
            ),
            patient,
        )


@lru_cache(maxsize=1024)
def _key_groups(type_: str, constraint: str) -> tuple[tuple[int, ...], ...]:
    """The token keys of each parameter of a constraint; ValueError for one that cannot be enforced."""
    parameters = parse_qsl(constraint, keep_blank_values=True, strict_parsing=True)
    try:
        query = parse(type_, parameters, strict=True, base_urls=(), max_count=1, default_count=1)
    except FhirError as error:
        raise ValueError("the constraint is no search of the type") from error
    groups = []
    for clause in query.clauses:
        if not isinstance(clause, TokenClause) or clause.negated:
            raise ValueError("a constraint takes token, reference and uri parameters only")
        groups.append(clause.keys)
    if len(groups) != len(parameters):
        raise ValueError("a constraint takes search parameters only")
    return tuple(groups)


def _scope(word: str) -> Scope | None:
    match = _SCOPE.fullmatch(word)
    if match is None:
        return None
    level, type_, text, constraint = match.groups()
    letters = frozenset(_V1.get(text, text))
    if type_ != "*" and not registry.is_resource_type(type_):
        return None
    if constraint is None:
        return Scope(level, type_, letters)
    # What is written must be judged by what is written: a constraint on it is not promised here.
    if type_ == "*" or not letters <= {"r", "s"}:
        return None
    try:
        _key_groups(type_, constraint)
    except ValueError:
        return None
    return Scope(level, type_, letters, constraint)


@lru_cache(maxsize=1024)
def parse_scopes(text: str) -> Scopes:
    """Parse a scope string; words that are no resource scope (openid …) grant nothing here."""
    return Scopes(tuple(scope for word in text.split() if (scope := _scope(word)) is not None))


def unknown(text: str) -> list[str]:
    """The words of a scope string that this server cannot promise."""
    return [word for word in text.split() if word not in _NAMELESS and _scope(word) is None]


def nameless(text: str) -> list[str]:
    """The words of a scope string that are about signing in and context, and grant no resource."""
    return [word for word in text.split() if word in _NAMELESS]


def narrow(registered: str, asked: str | None) -> str | None:
    """The scopes asked for, if every one lies within those registered; None otherwise."""
    if not asked:
        return registered
    held = parse_scopes(registered).held
    for word in asked.split():
        wanted = _scope(word)
        if wanted is None or not all(_covered(wanted, letter, held) for letter in wanted.letters):
            return None
    return asked


def common(registered: str, granted: str, level: str) -> str:
    """The part of the granted scopes that lies within those registered, written as scopes of a level.

    Letters and types are narrowed one by one; constraints of both sides hold together. Scopes of another
    level are left out.
    """
    found: dict[str, None] = {}
    ceiling = parse_scopes(registered).held
    for wanted in parse_scopes(granted).held:
        for each in ceiling:
            letters = "".join(c for c in "cruds" if c in wanted.letters & each.letters)
            if not letters or wanted.level != level or each.level != level:
                continue
            if "*" not in (wanted.type, each.type) and wanted.type != each.type:
                continue
            type_ = each.type if wanted.type == "*" else wanted.type
            words = dict.fromkeys(c for c in (each.constraint, wanted.constraint) if c)
            constraint = "?" + "&".join(words) if words else ""
            found[f"{level}/{type_}.{letters}{constraint}"] = None
    return " ".join(found)


def _covered(wanted: Scope, letter: str, held: tuple[Scope, ...]) -> bool:
    return any(
        each.type in ("*", wanted.type)
        and letter in each.letters
        and each.constraint in ("", wanted.constraint)
        for each in held
    )


def require(scopes: Scopes, resource_type: str, letter: str) -> None:
    """403 where the token's scopes lack the interaction; says which scope would do."""
    if not scopes.allow(resource_type, letter):
        raise fhir_error(
            IssueCode.FORBIDDEN,
            f"The access token lacks the scope system/{resource_type}.{letter}.",
        )

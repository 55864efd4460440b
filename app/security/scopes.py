"""SMART App Launch v2 scopes: `system/Observation.rs` (hl7.org/fhir/smart-app-launch, section 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from app.errors import IssueCode, fhir_error

_SCOPE: Final = re.compile(r"(system|user|patient)/(\*|[A-Za-z]+)\.(c?r?u?d?s?|read|write|\*)")
_V1: Final = {"read": "rs", "write": "cud", "*": "cruds"}


@dataclass(frozen=True, slots=True)
class Scopes:
    """Parsed scopes: interaction letters (c r u d s) by resource type, `*` for all types."""

    letters: tuple[tuple[str, frozenset[str]], ...]

    def allow(self, resource_type: str, letter: str) -> bool:
        """True where any scope covers the interaction on the type."""
        return any(t in ("*", resource_type) and letter in held for t, held in self.letters)


@lru_cache(maxsize=1024)
def parse_scopes(text: str) -> Scopes:
    """Parse a scope string; scopes of other kinds (openid …) grant nothing here."""
    found = []
    for word in text.split():
        match = _SCOPE.fullmatch(word)
        if match and match[3]:
            found.append((match[2], frozenset(_V1.get(match[3], match[3]))))
    return Scopes(tuple(found))


def narrow(registered: str, asked: str | None) -> str | None:
    """The scopes asked for, if every one lies within those registered; None otherwise."""
    if not asked:
        return registered
    held = parse_scopes(registered)
    for word in asked.split():
        match = _SCOPE.fullmatch(word)
        if not match or not match[3]:
            return None
        letters = _V1.get(match[3], match[3])
        if not all(held.allow(match[2], letter) for letter in letters):
            return None
    return asked


def require(scopes: Scopes, resource_type: str, letter: str) -> None:
    """403 where the token's scopes lack the interaction; says which scope would do."""
    if not scopes.allow(resource_type, letter):
        raise fhir_error(
            IssueCode.FORBIDDEN,
            f"The access token lacks the scope system/{resource_type}.{letter}.",
        )

"""Regular expressions that come with data: bounded in time, because a pattern can backtrack without
end and whoever may post a profile or a value set chooses it.

Pinned: hl7.org/fhirpath/N1/#matchesregex--string--boolean.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import regex

MAX_TEXT: Final = 10_000
"""Characters of a text that a pattern is tried on, at most."""

_SECONDS: Final = 0.1


class PatternError(Exception):
    """A pattern that is none, or that did not come to an end in time, or too long a text."""


def full_match(pattern: str, text: str) -> bool:
    """Whether the whole text matches, as R4's own patterns mean it, with or without anchors."""
    if len(text) > MAX_TEXT:
        raise PatternError
    try:
        return _compiled(pattern).fullmatch(text, timeout=_SECONDS) is not None
    except TimeoutError as error:
        raise PatternError from error


def replaced(pattern: str, text: str, new: str) -> str:
    """The text with every match replaced by `new`, taken literally."""
    if len(text) > MAX_TEXT:
        raise PatternError
    try:
        return _compiled(pattern).sub(lambda _match: new, text, timeout=_SECONDS)
    except TimeoutError as error:
        raise PatternError from error


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> regex.Pattern[str]:
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise PatternError from error

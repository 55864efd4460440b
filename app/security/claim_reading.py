"""Claims as they come from outside: anything may stand in them. Pinned: RFC 7519 section 4."""

from __future__ import annotations

import math
from typing import Any

from app.ids import is_logical_id


class Refused(Exception):  # noqa: N818 - a decision
    """A token that is not taken; the text, without any value of it, is for the operator's log."""


def text(body: dict[str, Any], name: str) -> str | None:
    """A claim that is a text; None where it is not there. Refused for anything else."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused("a claim is no text")
    return value


def words(value: Any) -> list[str]:
    """A list of words, or words between spaces; [] for anything else."""
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list):
        return [each for each in value if isinstance(each, str)]
    return []


def moment(body: dict[str, Any], name: str) -> float:
    """Seconds since 1970; Refused where there is no such number."""
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Refused("a time is missing or no number")
    return float(value)


def reference(value: Any, bare: str | None, base: str) -> tuple[str, str] | None:
    """Type and id of `Type/id`, alone or beneath this server's base; None where there is no claim.

    bare: the type of an id that stands alone, where it may. Refused for anything else, other servers' addresses
    included.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refused("a claim that names somebody is no text")
    type_, slash, id_ = value.removeprefix(f"{base}/").partition("/")
    if not slash and bare is not None:
        type_, id_ = bare, value
    if not is_logical_id(id_) or (bare is not None and type_ != bare):
        raise Refused("a claim that names somebody names nobody of this server")
    return type_, id_

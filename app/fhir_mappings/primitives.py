"""The formats of R4's primitive types, each a quick test of one JSON value.

The patterns are the official ones, from the data (`app.fhir_mappings.structure`), where they say
what the specification's text says and cannot be made to backtrack; the rest is here, with the
reason.

Pinned: hl7.org/fhir/R4/datatypes.html#primitive.
"""

from __future__ import annotations

import binascii
import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from app.fhir_mappings.structure import definition
from app.fhir_mappings.xhtml import narrative_fault

MAX_STRING: Final = 1024 * 1024
"""Characters of a FHIR string, at most (datatypes.html#string)."""

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_INTEGER_TEXT: Final = re.compile(r"-?[0-9]+")
# The official pattern also allows tabs and line ends inside; the text: single spaces only. White
# space is that of ASCII: some of HL7's own codes hold a no-break space.
_CODE: Final = re.compile(r"[^\s]+(?: [^\s]+)*", re.ASCII)
_URI: Final = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive type: `accepts` a parsed JSON value; `json_type` and `advice` word the fault."""

    name: str
    json_type: str  # string | number | boolean
    accepts: Callable[[Any], bool]
    advice: str

    def has_json_type(self, value: object) -> bool:
        """True where only the format can be at fault, not the kind of JSON value."""
        if self.json_type == "string":
            return type(value) is str
        if self.json_type == "boolean":
            return type(value) is bool
        return type(value) is int or isinstance(value, Decimal)


def _string(value: Any) -> bool:
    return (
        type(value) is str
        and value != ""
        and (value.isprintable() or _CONTROL.search(value) is None)
        and len(value) <= MAX_STRING
    )


def _boolean(value: Any) -> bool:
    return type(value) is bool


def _decimal(value: Any) -> bool:
    return type(value) is int or (isinstance(value, Decimal) and value.is_finite())


def _ranged(least: int, most: int) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        if type(value) is not int:
            text = getattr(value, "text", None)
            if text is None or not _INTEGER_TEXT.fullmatch(text):
                return False
        return bool(least <= value <= most)

    return accepts


def _pattern(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    match = pattern.fullmatch

    def accepts(value: Any) -> bool:
        return type(value) is str and match(value) is not None

    return accepts


def _official(name: str) -> re.Pattern[str]:
    regex = definition(name).regex
    if regex is None:
        raise LookupError(f"R4 gives no pattern for {name}")
    return re.compile(regex, re.ASCII)


def _calendar(name: str) -> Callable[[Any], bool]:
    """The official pattern, and a day that its month has."""
    match = _official(name).fullmatch

    def accepts(value: Any) -> bool:
        return (
            type(value) is str
            and match(value) is not None
            and (
                value[8:10] <= "28"
                or int(value[8:10]) <= monthrange(int(value[:4]), int(value[5:7]))[1]
            )
        )

    return accepts


def _base64(value: Any) -> bool:
    # The official pattern lets two runs of white space meet, which backtracks without end.
    if type(value) is not str or not value or not value.isascii():
        return False
    try:
        binascii.a2b_base64("".join(value.split()), strict_mode=True)
    except binascii.Error:
        return False
    return True


def _xhtml(value: Any) -> bool:
    return type(value) is str and narrative_fault(value) is None


def _build() -> dict[str, Primitive]:
    text = "must be text without control characters, not empty, of at most 1,048,576 characters"
    uri = "must be a URI: not empty, without white space"
    date = "must be a date that exists, as YYYY, YYYY-MM or YYYY-MM-DD"
    strings: dict[str, tuple[Callable[[Any], bool], str]] = {
        "string": (_string, text),
        "markdown": (_string, text),
        "code": (_pattern(_CODE), "must be a code: no white space but single spaces inside"),
        "id": (_pattern(_official("id")), "must be 1 to 64 of A-Z a-z 0-9 - ."),
        "uri": (_pattern(_URI), uri),
        "url": (_pattern(_URI), uri),
        "canonical": (_pattern(_URI), uri),
        "oid": (_pattern(_official("oid")), "must be urn:oid: and the digits of an OID"),
        "uuid": (_pattern(_official("uuid")), "must be urn:uuid: and a UUID in lower case"),
        "date": (_calendar("date"), date),
        "dateTime": (
            _calendar("dateTime"),
            f"{date}, or YYYY-MM-DDThh:mm:ss with Z or an offset",
        ),
        "instant": (
            _calendar("instant"),
            "must be an instant that exists, as YYYY-MM-DDThh:mm:ss with Z or an offset",
        ),
        "time": (_pattern(_official("time")), "must be a time of day, as hh:mm:ss"),
        "base64Binary": (_base64, "must be base64 with its padding"),
        "xhtml": (
            _xhtml,
            "must be a well-formed XHTML div with content, of what narratives may have, not active",
        ),
    }
    numbers: dict[str, tuple[Callable[[Any], bool], str]] = {
        "decimal": (_decimal, "must be a number"),
        "integer": (
            _ranged(-(2**31), 2**31 - 1),
            "must be a whole number of at most 32 bits, without fraction or exponent",
        ),
        "unsignedInt": (
            _ranged(0, 2**31 - 1),
            "must be a whole number from 0 to 2147483647, without fraction or exponent",
        ),
        "positiveInt": (
            _ranged(1, 2**31 - 1),
            "must be a whole number from 1 to 2147483647, without fraction or exponent",
        ),
    }
    built = {"boolean": Primitive("boolean", "boolean", _boolean, "must be true or false")}
    built.update({k: Primitive(k, "string", *each) for k, each in strings.items()})
    built.update({k: Primitive(k, "number", *each) for k, each in numbers.items()})
    return built


@cache
def primitives() -> Mapping[str, Primitive]:
    """All primitive types of R4 by name."""
    return MappingProxyType(_build())

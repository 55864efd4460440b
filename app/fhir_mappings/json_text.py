"""FHIR JSON read strictly and written back with the sender's own numbers.

A resource is parsed once and served as it was sent: 0.40 stays 0.40, because precision is part of
a decimal's value. What JSON allows but FHIR or the database cannot carry is refused here, so that
everything behind this module works on clean trees: see `parse`. Whether the tree is a valid
resource is asked of `app.fhir_mappings.validate`.

Pinned: hl7.org/fhir/R4/json.html.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import accumulate
from typing import Any, Final, NoReturn, TypeAlias

import orjson

from app.errors import IssueCode, fhir_error
from app.fhir_mappings.json_duplicates import first_duplicate
from app.fhir_mappings.registry import is_resource_type

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object as Python: dict, list, str, bool, None, int and `Number`."""

MAX_DEPTH_LIMIT: Final = 200
"""`max_depth` may not exceed this: the writer stops at 254 levels, and an answer adds some."""

_MAX_NUMBER_LENGTH: Final = 400
_MAX_EXPONENT: Final = 1000
_INT64_DIGITS: Final = 18

_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEP: Final = bytes.maketrans(b"[{]}", b"\x02\x02\x00\x00")
_REFUSED_ESCAPE: Final = re.compile(
    rb"\\u0000"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


class Number(Decimal):
    """A JSON number with the text it was sent as; equal to and computed with as a Decimal."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Number:
        """From JSON text; decimal.InvalidOperation where the exponent passes what Decimal holds."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __copy__(self) -> Number:
        return self

    def __deepcopy__(self, memo: object) -> Number:
        return self

    def __reduce__(self) -> tuple[type[Number], tuple[str]]:
        return (Number, (self.text,))


class _DuplicateError(ValueError):
    """An object has a property twice; where, is found out on the way to the answer."""


def parse(data: bytes, *, max_depth: int) -> JsonObject:
    """Parse one resource.

    data: UTF-8 JSON. max_depth: levels of arrays and objects allowed, at most `MAX_DEPTH_LIMIT`.

    Raises FhirError (structure, 400) for: text that is not UTF-8, a byte order mark, anything that
    is not JSON (NaN and Infinity included), a property given twice in an object, more levels than
    `max_depth`, an unpaired surrogate, the NUL character (PostgreSQL text cannot hold it), a number
    of more than 400 characters or beyond 1e±1000, a top level that is not an object, a
    `resourceType` that is missing or not of R4. It checks nothing else of the resource.
    """
    tree = _decode(data, max_depth)
    if type(tree) is not dict:
        _refuse("Send a JSON object with a resourceType.")
    name = tree.get("resourceType")
    if type(name) is not str:
        _refuse("Send a resource: an object whose resourceType is the name of an R4 resource type.")
    if not is_resource_type(name):
        _refuse("Set resourceType to the name of an R4 resource type, in its exact case.")
    return tree


def parse_list(data: bytes, *, max_depth: int) -> list[Any]:
    """Parse an array (a JSON Patch document), as strictly as `parse` in all but resourceType."""
    tree = _decode(data, max_depth)
    if type(tree) is not list:
        _refuse("Send a JSON array.")
    return tree


def _decode(data: bytes, max_depth: int) -> Any:
    if not 0 < max_depth <= MAX_DEPTH_LIMIT:
        raise ValueError(f"max_depth must be 1 to {MAX_DEPTH_LIMIT}")
    if data.startswith(b"\xef\xbb\xbf"):
        _refuse("Send the JSON without a byte order mark.")
    _check_depth(data, max_depth)
    _check_escapes(data)
    try:
        tree = _DECODER.decode(data.decode())
    except UnicodeDecodeError as error:
        _refuse(f"Send UTF-8: the bytes at {_position(data, error.start)} are not.")
    except json.JSONDecodeError as error:
        # What follows a colon in the message is a part of the text, which is not repeated.
        what = error.msg.partition(":")[0]
        _refuse(f"Not JSON at line {error.lineno}, column {error.colno}: {what}.")
    except _DuplicateError:
        offset, expression = first_duplicate(data)
        raise fhir_error(
            IssueCode.STRUCTURE,
            f"Send each property once: the one at {_position(data, offset)} stands in the same "
            "object before.",
            *expression,
        ) from None
    return tree


def dump(resource: Mapping[str, Any], *, indent: bool = False) -> bytes:
    """UTF-8 JSON, keys in their order, numbers as they were sent; compact, or indented for people."""
    return orjson.dumps(
        resource, default=_number_text, option=orjson.OPT_INDENT_2 if indent else None
    )


def with_meta(
    resource: Mapping[str, Any],
    id: str,  # noqa: A002 - FHIR's name
    version_id: str,
    last_updated: datetime,
    security: Sequence[JsonObject] | None,
) -> JsonObject:
    """The resource as it is stored: a new object with the server's id and meta, all else untouched.

    Sets `id`, `meta.versionId` and `meta.lastUpdated`; adds to `meta.security` those Codings of
    `security` whose system and code do not stand there. resourceType, id and meta come first.
    `last_updated` must have a zone (ValueError).
    """
    meta: JsonObject = {"versionId": version_id, "lastUpdated": instant(last_updated)}
    meta.update((k, v) for k, v in resource.get("meta", {}).items() if k not in meta)
    if security:
        present = list(meta.get("security", ()))
        known = {(each.get("system"), each.get("code")) for each in present}
        added = [each for each in security if (each.get("system"), each.get("code")) not in known]
        meta["security"] = present + added
    stored: JsonObject = {"resourceType": resource["resourceType"], "id": id, "meta": meta}
    stored.update((k, v) for k, v in resource.items() if k not in stored)
    return stored


def glimpse(stored: bytes) -> JsonObject:
    """Stored bytes to look into, not to serve: a decimal may lose digits. Thrice as quick as `parse`."""
    try:
        found: JsonObject = orjson.loads(stored)
    except orjson.JSONDecodeError:  # a number beyond a double
        return parse(stored, max_depth=MAX_DEPTH_LIMIT)
    return found


def instant(when: datetime) -> str:
    """A FHIR instant in UTC, to the microsecond (what the database keeps); zone or ValueError."""
    if when.utcoffset() is None:
        raise ValueError("an instant needs a zone")
    return when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _check_depth(data: bytes, max_depth: int) -> None:
    """Bound the depth before the recursive decoder sees the text: brackets outside strings."""
    brackets = data.translate(None, _NOT_BRACKETS)
    if len(brackets) <= max_depth:
        return
    text = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(text.split(b'"')[::2]).translate(_STEP, _NOT_BRACKETS)
    if max(accumulate(brackets, lambda depth, step: depth + step - 1, initial=0)) > max_depth:
        _refuse(f"Nest at most {max_depth} levels of arrays and objects.")


def _check_escapes(data: bytes) -> None:
    """Refuse escapes that name no character (half a surrogate pair) or NUL."""
    if b"\\u" not in data:
        return
    # An escaped backslash is blanked, so that what follows it is not taken for an escape.
    found = _REFUSED_ESCAPE.search(data.replace(b"\\\\", b"  "))
    if found:
        _refuse(
            f"Remove the escape at {_position(data, found.start())}: NUL and half a surrogate "
            "pair are no characters of a FHIR string."
        )


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _DuplicateError
    return result


def _decimal(text: str) -> Number:
    try:
        number = Number(text) if len(text) <= _MAX_NUMBER_LENGTH else None
    except InvalidOperation:
        number = None
    if number is None or abs(number.adjusted()) > _MAX_EXPONENT:
        _refuse("Send numbers of at most 400 characters, between 1e-1000 and 1e1000.")
    return number


def _integer(text: str) -> int | Number:
    if len(text) <= _INT64_DIGITS and text != "-0":
        return int(text)
    return _decimal(text)


def _constant(_: str) -> NoReturn:
    _refuse("NaN and Infinity are not JSON: leave the element out.")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=_decimal,
    parse_int=_integer,
    parse_constant=_constant,
    strict=True,
)


def _number_text(value: object) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(value.text)
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError(f"not a JSON value: {type(value).__name__}")


def _position(data: bytes, offset: int) -> str:
    line = data.count(b"\n", 0, offset) + 1
    column = offset - data.rfind(b"\n", 0, offset)
    return f"line {line}, column {column}"


def _refuse(diagnostics: str) -> NoReturn:
    raise fhir_error(IssueCode.STRUCTURE, diagnostics)

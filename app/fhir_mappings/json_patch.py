"""JSON Patch (RFC 6902) on a resource, numbers kept as they were written.

The `jsonpatch` library carries the operations out; here its document is read strictly, its errors become
issues that repeat no value, and a document cannot make the resource grow without end.

Pinned: hl7.org/fhir/R4/http.html#patch, RFC 6902.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Final

import jsonpatch
import jsonpointer

from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings.json_text import JsonObject, dump, parse_list

MEDIA_TYPE: Final = "application/json-patch+json"

MAX_OPERATIONS: Final = 1000
MAX_BYTES: Final = 10_000_000
"""A patched resource may not pass this: copies of copies would double it with each operation."""


def json_patch(data: bytes, *, max_depth: int) -> Callable[[JsonObject], JsonObject]:
    """The change that a JSON Patch document makes.

    data: UTF-8 JSON. FhirError 400 for what is no such document. The change returns a new resource, not
    validated; it raises FhirError 409 where a `test` fails and 422 where an operation cannot be applied,
    the expression telling which (`[2]` is the third).
    """
    operations = parse_list(data, max_depth=max_depth)
    if len(operations) > MAX_OPERATIONS:
        raise fhir_error(IssueCode.INVALID, f"Give at most {MAX_OPERATIONS} operations.")
    try:
        jsonpatch.JsonPatch(operations)
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise fhir_error(
            IssueCode.INVALID,
            "Send a JSON Patch: an array of operations, each with op and path, add, replace and test "
            "with value, move and copy with from.",
        ) from error

    def change(resource: JsonObject) -> JsonObject:
        return _apply(operations, resource)

    return change


def _apply(operations: Sequence[Any], resource: JsonObject) -> JsonObject:
    result: Any = copy.deepcopy(resource)
    for number, operation in enumerate(operations):
        try:
            result = jsonpatch.JsonPatch([operation]).apply(result, in_place=True)
        except jsonpatch.JsonPatchTestFailed as error:
            raise _refused(IssueCode.CONFLICT, "The test does not hold.", number, 409) from error
        except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
            raise _refused(
                IssueCode.PROCESSING,
                "The operation cannot be applied: its path, or its from, names no place in the "
                "resource as it stands.",
                number,
                422,
            ) from error
        if operation["op"] == "copy" and not _bounded(result):
            raise _refused(IssueCode.TOO_LONG, "The copies grow too large.", number, 413)
    if type(result) is not dict:
        raise fhir_error(IssueCode.PROCESSING, "A patch must leave a resource: an object.")
    return result


def _bounded(result: Any) -> bool:
    try:
        return len(dump({"": result})) <= MAX_BYTES
    except (TypeError, RecursionError):
        # Nested deeper than anything that could be written.
        return False


def _refused(code: IssueCode, diagnostics: str, number: int, status: int) -> FhirError:
    return fhir_error(code, diagnostics, f"[{number}]", status=status)

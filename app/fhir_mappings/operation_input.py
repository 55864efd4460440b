"""The parameters of an operation, whether they came in the URL or as a Parameters resource.

    given = of_query([("url", "http://a"), ("count", "5")])
    given.text("url"), given.number("count")

A parameter that the operation does not take is refused, so that an ignored one never widens an
answer. Neighbours: routers of operations.

Pinned: hl7.org/fhir/R4/operations.html#executing, hl7.org/fhir/R4/parameters.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.errors import FhirError, IssueCode, fhir_error
from app.fhir_mappings.validate import validate

_OF_EVERY_REQUEST: Final = frozenset({"_format", "_pretty"})


@dataclass(frozen=True, slots=True)
class OperationInput:
    """name to values: text in a URL, JSON values and resources of Parameters."""

    values: Mapping[str, list[Any]]

    def only(self, *names: str) -> OperationInput:
        """Itself; FhirError (400) where there is a parameter beside these names."""
        for name in self.values:
            if name not in names and name not in _OF_EVERY_REQUEST:
                known = ", ".join(names)
                raise fhir_error(
                    IssueCode.NOT_SUPPORTED, f"This operation takes these parameters only: {known}."
                )
        return self

    def text(self, name: str) -> str | None:
        """A single text; FhirError (400) where there are several or it is something else."""
        value = self._single(name)
        if value is not None and type(value) is not str:
            raise _wrong(name, "a text")
        return value

    def texts(self, name: str) -> list[str]:
        """All texts of a parameter that may repeat."""
        values = self.values.get(name, [])
        if not all(type(value) is str for value in values):
            raise _wrong(name, "a text")
        return values

    def number(self, name: str) -> int | None:
        """A single whole number from 0."""
        value = self._single(name)
        if type(value) is str and value.isascii() and value.isdigit() and len(value) < 10:
            return int(value)
        if value is None or (type(value) is int and 0 <= value < 10**9):
            return value
        raise _wrong(name, "a whole number from 0")

    def flag(self, name: str) -> bool:
        """A boolean, false where it is not given."""
        value = self._single(name)
        if value in (None, True, "true", False, "false"):
            return value in (True, "true")
        raise _wrong(name, "true or false")

    def complex(self, name: str) -> dict[str, Any] | None:
        """A data type or resource, which only Parameters can carry."""
        value = self._single(name)
        if value is not None and type(value) is not dict:
            raise _wrong(name, "an object: send Parameters by POST")
        return value

    def required(self, name: str) -> str:
        """A text that must be given."""
        value = self.text(name)
        if value is None:
            raise fhir_error(IssueCode.REQUIRED, f"Give the parameter {name}.", status=400)
        return value

    def _single(self, name: str) -> Any:
        values = self.values.get(name, [])
        if len(values) > 1:
            raise _wrong(name, "given once")
        return values[0] if values else None


def of_query(pairs: Iterable[tuple[str, str]]) -> OperationInput:
    """From URL parameters."""
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return OperationInput(found)


def of_whole(resource: dict[str, Any]) -> OperationInput:
    """From Parameters, valid as a whole; FhirError with every fault otherwise."""
    issues = validate(resource, expected_type="Parameters")
    if issues:
        raise FhirError(issues)
    return of_parameters(resource)


def of_parameters(resource: Mapping[str, Any]) -> OperationInput:
    """From a Parameters resource that `app.fhir_mappings.validate` accepts."""
    found: dict[str, list[Any]] = {}
    for each in resource.get("parameter", ()):
        value = next((each[key] for key in each if key.startswith("value")), each.get("resource"))
        found.setdefault(each["name"], []).append(each.get("part") if value is None else value)
    return OperationInput(found)


def of_sent(resource: Mapping[str, Any]) -> OperationInput:
    """From a Parameters resource whose own faults are told first; FhirError (422) with all of them."""
    check_frame(resource)
    return of_parameters(resource)


def check_frame(resource: Mapping[str, Any]) -> None:
    """FhirError (422) with all faults of a Parameters resource.

    What stands in `resource` is judged by the operation itself, so its faults are not among them.
    """
    listed = resource.get("parameter", [])
    bare = [
        {k: v for k, v in each.items() if k != "resource"} | {"valueBoolean": True}
        if type(each) is dict and "resource" in each
        else each
        for each in (listed if type(listed) is list else [])
    ]
    frame = {**resource, "parameter": bare} if type(listed) is list and listed else resource
    issues = validate(dict(frame), expected_type="Parameters")
    if issues:
        raise FhirError(issues)


def _wrong(name: str, what: str) -> Exception:
    return fhir_error(IssueCode.INVALID, f"The parameter {name} must be {what}.")

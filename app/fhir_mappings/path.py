"""Search parameter expressions compiled for a resource type.

An expression becomes *tracks*: chains of plain steps over JSON, each ending in one FHIR type that
is known beforehand, because R4's structure says which JSON properties a step can mean. A union's
members about other types give no track. Syntax: `app.fhir_mappings.fhirpath.syntax`, of which only the
words that R4's search parameters use are taken (`parse_path`), so that a parameter that would be read wrongly
is never read at all. The tracks are run
by `app.fhir_mappings.index_rows` and `app.fhir_mappings.clinical_time`.

`resolve() is T` asks no storage: the type is read from the reference itself, and a reference that
does not tell its type is not of T.

Pinned: hl7.org/fhir/R4/fhirpath.html, hl7.org/fhir/R4/searchparameter.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from app.fhir_mappings.fhirpath.syntax import (
    Call,
    FhirPathError,
    Indexer,
    Literal,
    Member,
    Node,
    Operation,
    TypeOperation,
    below,
    parse_fhirpath,
)
from app.fhir_mappings.json_text import JsonObject
from app.fhir_mappings.reference_value import target_type
from app.fhir_mappings.structure import Slot, definition, type_names

Step: TypeAlias = Callable[[list[Any], JsonObject], list[Any]]
"""From values, and the resource that they stand in, to values."""

Predicate: TypeAlias = Callable[[Any, JsonObject], bool]


class PathSyntaxError(ValueError):
    """An expression outside of the subset; the message says what was not understood."""


class PathError(ValueError):
    """An expression that R4's structure cannot follow for the type at hand."""


@dataclass(frozen=True, slots=True)
class Track:
    """One way through a resource.

    type: FHIR type of its values (`Resource` where only the value itself tells). key: the JSON
    property of the resource that it begins with, None where it looks at the whole resource. steps:
    what follows, `key` included. slot: the last property on the way, None where there is none.
    """

    type: str
    key: str | None
    steps: tuple[Step, ...]
    slot: Slot | None = None

    def values(self, resource: JsonObject) -> list[Any]:
        """The values of this track, in the order of the resource; never null."""
        return run(self.steps, [resource], resource)


@dataclass(frozen=True, slots=True)
class Path:
    """A compiled expression; no tracks where it says nothing about the type."""

    tracks: tuple[Track, ...]

    def values(self, resource: JsonObject) -> Iterator[tuple[Any, str]]:
        """Each value with its FHIR type (of a primitive: the JSON value as it stands).

        resource: one that `app.fhir_mappings.validate` accepts.
        """
        for track in self.tracks:
            for value in track.values(resource):
                yield value, value["resourceType"] if track.type == "Resource" else track.type


def run(steps: tuple[Step, ...], values: list[Any], resource: JsonObject) -> list[Any]:
    """Take values through steps."""
    for step in steps:
        if not values:
            break
        values = step(values, resource)
    return values


@cache
def compile_path(expression: str, resource_type: str) -> Path:
    """Compile an expression for a resource type.

    Raises PathSyntaxError where the expression uses words that are not known, PathError where an
    element that it names does not exist in R4, or a function stands where it has no meaning here.
    """
    focus = (Track(resource_type, None, ()),)
    return Path(_tracks(parse_path(expression), focus))


_OPERATORS: Final = frozenset({"|", "=", "!=", "and"})


def parse_path(text: str) -> Node:
    """The tree of an expression of the subset that names elements; PathSyntaxError for more than that."""
    try:
        tree = parse_fhirpath(text)
    except FhirPathError as error:
        raise PathSyntaxError(str(error)) from error
    level = [tree]
    while level:
        for node in level:
            if not _known(node):
                raise PathSyntaxError("more of FHIRPath than names an element")
        level = [
            each
            for node in level
            for each in ([node.of] if isinstance(node, Indexer) else below(node))
        ]
    return tree


def _known(node: Node) -> bool:
    match node:
        case Member() | Call() | TypeOperation():
            return True
        case Indexer(_, Literal("number", digits)):
            return digits.isdigit()
        case Operation(operator, _, _):
            return operator in _OPERATORS
        case Literal(kind, _):
            return kind in ("string", "boolean")
        case _:
            return False


def is_subtype(name: str, of: str) -> bool:
    """True where R4's type `name` is `of` or specializes it (canonical is a uri)."""
    while name != of:
        try:
            name = definition(name).base
        except KeyError:
            return False
        if not name:
            return False
    return True


def extend(track: Track, element: str) -> tuple[Track, ...]:
    """The tracks that lead on to an element of the track's type; () where there is no such."""
    return tuple(
        Track(slot.type, track.key or key, (*track.steps, _property(key, slot.many)), slot)
        for key, slot in definition(track.type).slots.items()
        if slot.element == element
    )


def _tracks(node: Node, focus: tuple[Track, ...]) -> tuple[Track, ...]:
    match node:
        case Operation("|", left, right):
            return _tracks(left, focus) + _tracks(right, focus)
        case Member(of, name):
            return _member(of, name, focus)
        case TypeOperation("as", of, name) | Call(of, "as" | "ofType", (Member(None, name),)):
            tracks = _of(of, focus)
            found = tuple(each for each in tracks if is_subtype(each.type, name))
            if tracks and not found:
                raise PathError(f"never of type {name}")
            return found
        case Indexer(of, Literal(_, digits)):
            return tuple(_then(each, _item(int(digits))) for each in _tracks(of, focus))
        case Call(of, "where", (criterion,)):
            return tuple(
                _then(each, _filter(_predicate(criterion, each.type))) for each in _of(of, focus)
            )
        case Call(of, "extension", (Literal("string", url),)):
            return tuple(
                _then(longer, _filter(_has_url(url)))
                for each in _of(of, focus)
                for longer in extend(each, "extension")
            )
        case Operation() | Call(_, "exists", ()):
            # A statement about the whole: one boolean, also where nothing is there to look at.
            predicates = tuple(_predicate(node, each.type) for each in focus)
            return tuple(Track("boolean", None, (_statement(each),)) for each in predicates)
    raise PathError("a function that has no meaning here")


def _of(node: Node | None, focus: tuple[Track, ...]) -> tuple[Track, ...]:
    return focus if node is None else _tracks(node, focus)


def _member(of: Node | None, name: str, focus: tuple[Track, ...]) -> tuple[Track, ...]:
    if of is None and name[0].isupper():
        if name not in type_names():
            raise PathError(f"{name} is no type")
        return tuple(each for each in focus if is_subtype(each.type, name))
    tracks = _of(of, focus)
    found = tuple(longer for each in tracks for longer in extend(each, name))
    if tracks and not found:
        raise PathError(f"no element {name} here")
    return found


def criterion(node: Node, type_name: str) -> Predicate:
    """What a `where` asks about one value of a type; PathError where it is not known."""
    return _predicate(node, type_name)


def _predicate(node: Node, type_name: str) -> Predicate:
    focus = (Track(type_name, None, ()),)
    match node:
        case Operation("and", left, right):
            first, second = _predicate(left, type_name), _predicate(right, type_name)
            return lambda value, root: first(value, root) and second(value, root)
        case Operation("=" | "!=" as operator, of, Literal(kind, text)):
            constant = text if kind == "string" else text == "true"
            return _comparison(Path(_tracks(of, focus)), constant, equal=operator == "=")
        case Call(of, "exists", ()) if of is not None:
            steps = tuple(each.steps for each in _tracks(of, focus))
            return lambda value, root: any(run(each, [value], root) for each in steps)
        case Call(None, "hasExtension", (Literal("string", url),)):
            has_url = _has_url(url)
            return lambda value, root: any(
                has_url(each, root) for each in value.get("extension", ())
            )
        case TypeOperation("is", Call(None, "resolve", ()), name):
            if type_name != "Reference":
                raise PathError("only a Reference resolves")
            return lambda value, root: target_type(value, root) == name
    raise PathError("a criterion that is not known")


def _comparison(path: Path, constant: str | bool, *, equal: bool) -> Predicate:
    """Empty compares to nothing, so neither `=` nor `!=` holds for it; types must agree."""

    def holds(value: Any, root: JsonObject) -> bool:
        found = [each for track in path.tracks for each in run(track.steps, [value], root)]
        if not found:
            return False
        same = len(found) == 1 and type(found[0]) is type(constant) and found[0] == constant
        return same is equal

    return holds


def _then(track: Track, step: Step) -> Track:
    return Track(track.type, track.key, (*track.steps, step), track.slot)


def _property(key: str, many: bool) -> Step:
    if many:
        return lambda values, _: [
            item for value in values for item in value.get(key, ()) if item is not None
        ]
    return lambda values, _: [item for value in values if (item := value.get(key)) is not None]


def _item(number: int) -> Step:
    return lambda values, _: values[number : number + 1]


def _filter(predicate: Predicate) -> Step:
    return lambda values, root: [value for value in values if predicate(value, root)]


def _statement(predicate: Predicate) -> Step:
    return lambda values, root: [predicate(value, root) for value in values]


def _has_url(url: str) -> Predicate:
    return lambda extension, _: bool(extension.get("url") == url)


__all__ = [
    "Path",
    "PathError",
    "PathSyntaxError",
    "Track",
    "compile_path",
    "criterion",
    "extend",
    "is_subtype",
    "parse_path",
    "run",
]

"""FHIRPath trees as closures: `compile_fhirpath(text)` gives a function from one value to a result.

An invariant is compiled once and evaluated at every node of its type, so all that can be decided
beforehand (names, functions, constants) is. Neighbours: `syntax` (the tree), `items` (the values),
`comparison`, `functions` (what takes no look at the expression's own arguments).

Pinned: hl7.org/fhirpath/N1/, hl7.org/fhir/R4/fhirpath.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Final

from app.fhir_mappings.fhirpath import comparison, functions
from app.fhir_mappings.fhirpath.environment import Environment, Evaluate
from app.fhir_mappings.fhirpath.guards import Alternatives, never_false
from app.fhir_mappings.fhirpath.items import (
    FALSE,
    TRUE,
    Collection,
    Item,
    Property,
    Undecided,
    boolean,
    integer,
    is_of_type,
    members,
    members_of,
    number,
    number_type,
    properties,
    string,
)
from app.fhir_mappings.fhirpath.iteration import ITERATING, OVER_ITEMS
from app.fhir_mappings.fhirpath.operators import BINARY
from app.fhir_mappings.fhirpath.syntax import (
    Call,
    FhirPathError,
    Indexer,
    Literal,
    Member,
    Negation,
    Node,
    Operation,
    TypeOperation,
    Variable,
    parse_fhirpath,
    variables_of,
)

_COMPLEX: Final = (dict, list)
_CONSTANTS: Final = {
    "%ucum": "http://unitsofmeasure.org",
    "%sct": "http://snomed.info/sct",
    "%loinc": "http://loinc.org",
}
_KNOWN: Final = frozenset({*_CONSTANTS, "$this", "%resource", "%rootResource", "%context"})


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. unless_absent: sets of elements; without all of one it never fails."""

    text: str
    evaluate: Evaluate = field(repr=False, compare=False)
    unless_absent: Alternatives = ()

    def values(self, environment: Environment) -> Collection:
        """The result for the environment's context; Undecided where something is not at hand."""
        return self.evaluate([environment.context], environment)

    def holds(self, environment: Environment) -> bool | None:
        """The result as a condition; None where it is empty or cannot be decided."""
        try:
            return comparison.is_true(self.values(environment))
        except Undecided:
            return None


@lru_cache(maxsize=8192)
def compile_fhirpath(text: str, names: frozenset[str] = frozenset()) -> Expression:
    """Compile an expression; FhirPathError where it is not understood as a whole.

    names: the variables, without `%`, that its environment will have besides those of R4.
    """
    tree = parse_fhirpath(text)
    for variable in variables_of(tree):
        if variable not in _KNOWN and variable.lstrip("%").strip("`") not in names:
            raise FhirPathError(f"the variable {variable} is not known")
    return Expression(text, _compile(tree), never_false(tree))


def _compile(node: Node) -> Evaluate:
    match node:
        case Literal(kind, text):
            return _literal(kind, text)
        case Variable(name):
            return _variable(name)
        case Member(of, name):
            return _member(of, name)
        case Indexer(of, index):
            return _indexer(_compile(of), _compile(index))
        case Negation(of):
            return _negation(_compile(of))
        case TypeOperation(operator, of, name):
            return _type_operation(operator, _compile(of), name)
        case Operation(operator, left, right):
            return _operation(operator, _compile(left), _compile(right))
        case Call(of, name, arguments):
            return _call(None if of is None else _compile(of), name, arguments)


def _literal(kind: str, text: str) -> Evaluate:
    constant: Collection
    if kind == "empty":
        constant = []
    elif kind == "boolean":
        constant = boolean(text == "true")
    elif kind == "number":
        constant = [
            Item(Decimal(text), "System.Decimal")
            if "." in text
            else Item(int(text), "System.Integer")
        ]
    else:
        constant = [Item(text, "System." + kind[0].upper() + kind[1:])]
    return lambda _focus, _environment: constant


def _variable(name: str) -> Evaluate:
    if name in _CONSTANTS:
        constant = string(_CONSTANTS[name])
        return lambda _focus, _environment: constant
    match name.replace("`", ""):
        case "$this":
            return lambda focus, e: [e.this] if e.this is not None else focus
        case "%resource":
            return lambda _focus, e: [e.resource]
        case "%rootResource":
            return lambda _focus, e: [e.root]
        case "%context":
            return lambda _focus, e: [e.context]
    own = name.lstrip("%").strip("`")
    return lambda _focus, e: e.variables[own]


def _member(of: Node | None, name: str) -> Evaluate:
    known: dict[str, tuple[Property, ...]] = {}

    def step(focus: Collection, _environment: Environment) -> Collection:
        """`items.members`, with the common case (an object, a plain value) done in place."""
        found: Collection = []
        for item in focus:
            value = item.value
            if type(value) is not dict:
                found.extend(members(item, name))
                continue
            ways = known.get(item.type)
            if ways is None:
                ways = known[item.type] = properties(item.type).get(name, ())
            for way in ways:
                if way.plain and way.sibling not in value:
                    one = value.get(way.key)
                    if one is not None and type(one) not in _COMPLEX:
                        found.append(Item(one, way.type))
                else:
                    found.extend(members_of(value, way))
        return found

    if of is not None:
        return _then(_compile(of), step)
    if not name[:1].isupper():
        return step

    def typed(focus: Collection, _environment: Environment) -> Collection:
        """A path may begin with the name of its type."""
        return [item for item in focus if is_of_type(item, name)]

    return typed


def _then(first: Evaluate | None, second: Evaluate) -> Evaluate:
    if first is None:
        return second
    return lambda focus, environment: second(first(focus, environment), environment)


def _indexer(of: Evaluate, index: Evaluate) -> Evaluate:
    def evaluate(focus: Collection, environment: Environment) -> Collection:
        position = integer(index(focus, environment))
        items = of(focus, environment)
        return [] if position is None or not 0 <= position < len(items) else [items[position]]

    return evaluate


def _negation(of: Evaluate) -> Evaluate:
    def evaluate(focus: Collection, environment: Environment) -> Collection:
        value = number(of(focus, environment))
        return [] if value is None else [Item(-value, number_type(-value))]

    return evaluate


def _type_operation(operator: str, of: Evaluate, name: str) -> Evaluate:
    if operator == "is":

        def test(focus: Collection, environment: Environment) -> Collection:
            items = of(focus, environment)
            return boolean(is_of_type(items[0], name)) if len(items) == 1 else []

        return test
    return lambda focus, e: [each for each in of(focus, e) if is_of_type(each, name)]


def _operation(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    if operator in ("and", "or", "xor", "implies"):
        return _logic(operator, left, right)
    binary = BINARY.get(operator)
    if binary is None:
        raise FhirPathError(f"the operator {operator} is not known")
    return lambda focus, e: binary(left(focus, e), right(focus, e))


def _logic(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    """Three-valued: empty is unknown. The right side is looked at only where it matters."""

    def evaluate(focus: Collection, environment: Environment) -> Collection:
        a = comparison.is_true(left(focus, environment))
        if operator == "and" and a is False:
            return [FALSE]
        if operator == "or" and a is True:
            return [TRUE]
        if operator == "implies" and a is False:
            return [TRUE]
        b = comparison.is_true(right(focus, environment))
        result: bool | None
        if operator == "xor":
            result = None if a is None or b is None else a != b
        elif operator == "and":
            result = False if b is False else None if a is None or b is None else True
        else:
            result = True if b is True else None if a is None or b is None else False
        return [] if result is None else boolean(result)

    return evaluate


def _call(of: Evaluate | None, name: str, arguments: tuple[Node, ...]) -> Evaluate:
    if name in ("is", "as", "ofType"):
        wanted = _type_name(name, arguments)
        source = of or (lambda focus, _environment: focus)
        return _type_operation("is" if name == "is" else "as", source, wanted)
    compiled = tuple(_compile(each) for each in arguments)
    if name in ITERATING:
        lowest, highest, make = ITERATING[name]
        if name in OVER_ITEMS and any(_looks_at_this(each) for each in arguments):
            compiled = tuple(_with_this(each) for each in compiled)
        evaluate = make(*compiled) if lowest <= len(compiled) <= highest else None
    elif name in functions.FUNCTIONS:
        count, function = functions.FUNCTIONS[name]
        evaluate = _plain(function, compiled) if len(compiled) == count else None
    else:
        raise FhirPathError(f"the function {name} is not known")
    if evaluate is None:
        raise FhirPathError(f"the function {name} takes another number of arguments")
    return _then(of, evaluate)


def _type_name(function: str, arguments: tuple[Node, ...]) -> str:
    match arguments:
        case (Member(None | Member(), name),):
            return name
    raise FhirPathError(f"{function} takes the name of a type")


def _plain(function: functions.Function, arguments: tuple[Evaluate, ...]) -> Evaluate:
    """A function whose arguments are values, looked up from where the whole expression stands."""
    if not arguments:
        return lambda focus, e: function(focus, e, ())

    def evaluate(focus: Collection, environment: Environment) -> Collection:
        here = [environment.this] if environment.this is not None else [environment.context]
        return function(focus, environment, tuple(each(here, environment) for each in arguments))

    return evaluate


def _looks_at_this(node: Node) -> bool:
    """Whether an expression needs `$this`: by name, or for a function's arguments."""
    match node:
        case Variable(name):
            return name.startswith("$")
        case Literal():
            return False
        case Member(of, _):
            return of is not None and _looks_at_this(of)
        case Negation(of) | TypeOperation(_, of, _):
            return _looks_at_this(of)
        case Operation(_, left, right) | Indexer(left, right):
            return _looks_at_this(left) or _looks_at_this(right)
        case Call(of, name, arguments):
            if of is not None and _looks_at_this(of):
                return True
            if name in ITERATING:
                return any(_looks_at_this(each) for each in arguments)
            return any(not isinstance(each, Literal) for each in arguments)


def _with_this(evaluate: Evaluate) -> Evaluate:
    """The expression with its focus, one item, as `$this`."""

    def within(focus: Collection, e: Environment) -> Collection:
        return evaluate(focus, e.within(focus[0]))

    return within

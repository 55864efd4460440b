"""FHIRPath text as a tree: the whole grammar of N1 but quantities of time words.

Neighbours: `compiler` turns the tree into closures and refuses functions that it does not know.
`app.fhir_mappings.path` takes the small subset that search parameters are written in, and compiles it another
way (tracks of values with a type known beforehand).

Pinned: hl7.org/fhirpath/N1/grammar.html, hl7.org/fhirpath/N1/#operator-precedence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

MAX_LENGTH: Final = 10_000
MAX_NESTING: Final = 40
MAX_STEPS: Final = 100


class FhirPathError(ValueError):
    """An expression that cannot be read or compiled; the message says what was not understood."""


@dataclass(frozen=True, slots=True)
class Member:
    """`of.name`; `of` is None for the first name of a path."""

    of: Node | None
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """`of.name(arguments)`; `of` is None where the focus is implied."""

    of: Node | None
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Indexer:
    """`of[index]`."""

    of: Node
    index: Node


@dataclass(frozen=True, slots=True)
class TypeOperation:
    """`of is type` or `of as type`; type without its namespace."""

    operator: str
    of: Node
    type: str


@dataclass(frozen=True, slots=True)
class Operation:
    """`left operator right`."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Negation:
    """`-of`."""

    of: Node


@dataclass(frozen=True, slots=True)
class Literal:
    """kind: string, number, boolean, date, dateTime, time, empty. text: without quotes or @."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """`$this`, `$index`, `$total` or `%name`; sigil included."""

    name: str


Node: TypeAlias = (
    Member | Call | Indexer | TypeOperation | Operation | Negation | Literal | Variable
)

_TOKEN: Final = re.compile(
    r"(?:\s+|//[^\n]*|/\*.*?\*/)*(?:"
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|`(?P<quoted>(?:[^`\\]|\\.)+)`"
    r"|'(?P<string>(?:[^'\\]|\\.)*)'"
    r"|(?P<number>[0-9]+(?:\.[0-9]+)?)"
    r"|@(?P<moment>T?[0-9][0-9:.\-]*(?:T[0-9:.]*)?(?:Z|[+\-][0-9]{2}:[0-9]{2})?)"
    r"|(?P<variable>\$[a-z]+|%(?:[A-Za-z_][A-Za-z0-9_\-]*|`[^`]+`|'[^']+'))"
    r"|(?P<symbol><=|>=|!=|!~|[.()\[\]{}|=~<>,+\-*/&])"
    r"|(?P<end>$))",
    re.DOTALL,
)
# Loosest first; all are left-associative.
_LEVELS: Final = (
    ("implies",),
    ("or", "xor"),
    ("and",),
    ("in", "contains"),
    ("=", "~", "!=", "!~"),
    ("<=", "<", ">", ">="),
    ("|",),
    ("is", "as"),
    ("+", "-", "&"),
    ("*", "/", "div", "mod"),
)
_ESCAPES: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)


def parse_fhirpath(text: str) -> Node:
    """The tree of an expression.

    FhirPathError where the text is no FHIRPath, longer than `MAX_LENGTH` characters, nested more
    than `MAX_NESTING` levels deep, or has more than `MAX_STEPS` steps or operators in a row (a text
    of somebody's profile must not exhaust the stack, here or where it is evaluated).
    """
    if len(text) > MAX_LENGTH:
        raise FhirPathError("the expression is too long")
    tree = _Parser(text).whole()
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > MAX_STEPS:
            raise FhirPathError("the expression has too many steps in a row")
        level = [each for node in level for each in below(node)]
    return tree


def variables_of(tree: Node) -> list[str]:
    """The variables that a tree names, sigils included."""
    found, level = [], [tree]
    while level:
        found += [node.name for node in level if isinstance(node, Variable)]
        level = [each for node in level for each in below(node)]
    return found


def below(node: Node) -> list[Node]:
    """The nodes one level down."""
    match node:
        case Member(of, _):
            return [] if of is None else [of]
        case Call(of, _, arguments):
            return [*arguments] if of is None else [of, *arguments]
        case Indexer(left, right) | Operation(_, left, right):
            return [left, right]
        case TypeOperation(_, of, _) | Negation(of):
            return [of]
        case Literal() | Variable():
            return []


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._expression()
        if self._peek()[0] != "end":
            raise FhirPathError(f"nothing may follow here: {self._peek()[1]}")
        return node

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise FhirPathError("the expression is nested too deep")
        node = self._level(0)
        self._depth -= 1
        return node

    def _level(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        node = self._level(level + 1)
        while self._peek()[0] in ("symbol", "name") and self._peek()[1] in _LEVELS[level]:
            operator = self._take()
            if operator in ("is", "as"):
                node = TypeOperation(operator, node, self._type())
            else:
                node = Operation(operator, node, self._level(level + 1))
        return node

    def _unary(self) -> Node:
        if self._accept("-"):
            return Negation(self._path())
        self._accept("+")
        return self._path()

    def _path(self) -> Node:
        node = self._term()
        while True:
            if self._accept("."):
                node = self._invocation(node)
            elif self._accept("["):
                node = Indexer(node, self._expression())
                self._expect("]")
            else:
                return node

    def _term(self) -> Node:
        kind, text = self._peek()
        if kind in ("string", "number"):
            self._at += 1
            return Literal(kind, text)
        if kind == "moment":
            self._at += 1
            if text.startswith("T"):
                return Literal("time", text[1:])
            return Literal("dateTime" if "T" in text else "date", text.removesuffix("T"))
        if kind == "variable":
            self._at += 1
            return Variable(text)
        if self._accept("("):
            node = self._expression()
            self._expect(")")
            return node
        if self._accept("{"):
            self._expect("}")
            return Literal("empty", "")
        if kind == "name" and text in ("true", "false"):
            self._at += 1
            return Literal("boolean", text)
        return self._invocation(None)

    def _invocation(self, of: Node | None) -> Node:
        kind, text = self._peek()
        if kind == "variable" and text.startswith("$"):
            self._at += 1
            return Variable(text)
        name = self._name()
        if kind != "name" or not self._accept("("):
            return Member(of, name)
        arguments: list[Node] = []
        if not self._accept(")"):
            arguments.append(self._expression())
            while self._accept(","):
                arguments.append(self._expression())
            self._expect(")")
        return Call(of, name, tuple(arguments))

    def _type(self) -> str:
        name = self._name()
        if self._accept("."):
            name = self._name()
        return name

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at]

    def _take(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _accept(self, symbol: str) -> bool:
        found = self._peek() == ("symbol", symbol)
        self._at += found
        return found

    def _expect(self, symbol: str) -> None:
        if not self._accept(symbol):
            raise FhirPathError(f"{symbol} is missing")

    def _name(self) -> str:
        kind, text = self._peek()
        if kind not in ("name", "quoted"):
            raise FhirPathError(f"a name is missing before {text or 'the end'}")
        return self._take()


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    while True:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise FhirPathError(f"not understood at character {position}")
        token = match[match.lastgroup]
        if match.lastgroup in ("string", "quoted"):
            token = _ESCAPE.sub(_unescaped, token)
        found.append((match.lastgroup, token))
        if match.lastgroup == "end":
            return found
        position = match.end()


def _unescaped(match: re.Match[str]) -> str:
    text = match[1]
    if len(text) == 5:
        return chr(int(text[1:], 16))
    return _ESCAPES.get(text, text)

"""The FHIRPath that R4's search parameters are written in, as a tree.

Only the words that those expressions use are known; anything else is a `PathSyntaxError`, so that a
search parameter that would be read wrongly is never read at all. `app.fhir_mappings.path`
compiles the tree for a resource type.

Pinned: hl7.org/fhir/R4/fhirpath.html, hl7.org/fhirpath/N1/#expressions (precedence of operators).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias


class PathSyntaxError(ValueError):
    """An expression outside of the subset; the message says what was not understood."""


@dataclass(frozen=True, slots=True)
class Member:
    """`of.name`; `of` is None for the first name of a path."""

    of: Node | None
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """`of.name(arguments)`; `of` is None where the focus is implied, as in `where(resolve() …)`."""

    of: Node | None
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """`of[number]`."""

    of: Node
    number: int


@dataclass(frozen=True, slots=True)
class Cast:
    """`of as type`."""

    of: Node
    type: str


@dataclass(frozen=True, slots=True)
class TypeTest:
    """`of is type`."""

    of: Node
    type: str


@dataclass(frozen=True, slots=True)
class Operation:
    """`left operator right`, of `|`, `=`, `!=` and `and`."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Constant:
    """A string or a boolean."""

    value: str | bool


Node: TypeAlias = Member | Call | Index | Cast | TypeTest | Operation | Constant

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|'(?P<string>[^'\\]*)'|(?P<number>[0-9]+)"
    r"|(?P<symbol>!=|[.()\[\]|=,]))"
)
# Loosest first; all are left-associative.
_LEVELS: Final = (("and",), ("=", "!="), ("|",), ("is", "as"))


def parse_expression(text: str) -> Node:
    """The tree of an expression; PathSyntaxError where it uses more than the subset."""
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0

    def whole(self) -> Node:
        node = self._level(0)
        if self._peek() != ("end", ""):
            raise PathSyntaxError(f"nothing may follow here: {self._peek()[1]}")
        return node

    def _level(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._path()
        node = self._level(level + 1)
        while self._peek()[0] in ("symbol", "name") and self._peek()[1] in _LEVELS[level]:
            operator = self._take()
            if operator == "is":
                node = TypeTest(node, self._name())
            elif operator == "as":
                node = Cast(node, self._name())
            else:
                node = Operation(operator, node, self._level(level + 1))
        return node

    def _path(self) -> Node:
        node = self._term()
        while True:
            if self._accept("."):
                node = self._invocation(node)
            elif self._accept("["):
                kind, number = self._peek()
                if kind != "number":
                    raise PathSyntaxError("an index is a number")
                self._at += 1
                self._expect("]")
                node = Index(node, int(number))
            else:
                return node

    def _term(self) -> Node:
        kind, text = self._peek()
        if kind == "string":
            self._at += 1
            return Constant(text)
        if self._accept("("):
            node = self._level(0)
            self._expect(")")
            return node
        if (kind, text) in (("name", "true"), ("name", "false")):
            self._at += 1
            return Constant(text == "true")
        return self._invocation(None)

    def _invocation(self, of: Node | None) -> Node:
        name = self._name()
        if not self._accept("("):
            return Member(of, name)
        arguments: list[Node] = []
        if not self._accept(")"):
            arguments.append(self._level(0))
            while self._accept(","):
                arguments.append(self._level(0))
            self._expect(")")
        return Call(of, name, tuple(arguments))

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
            raise PathSyntaxError(f"{symbol} is missing")

    def _name(self) -> str:
        kind, text = self._peek()
        if kind != "name":
            raise PathSyntaxError(f"a name is missing before {text or 'the end'}")
        return self._take()


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise PathSyntaxError(f"not understood at character {position}")
        found.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    found.append(("end", ""))
    return found

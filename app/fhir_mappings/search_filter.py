"""`_filter`: a small language of its own, compiled to the same clauses as other parameters.

    (code eq http://loinc.org|1234-5 and date ge 2024) or not (patient.family sw "an")
    patient[gender eq "female"].birthdate lt 2000 and status pr true

Precedence: `not`, then `and`, then `or`. A path is a parameter, or a chain of them with dots; a
step may carry a filter in brackets, which its target must meet.
Pinned: hl7.org/fhir/R4/search_filter.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from app.errors import IssueCode
from app.fhir_mappings.registry import type_code
from app.fhir_mappings.search_clauses import (
    AllOf,
    AnyOf,
    Clause,
    DateClause,
    LastUpdatedClause,
    Not,
    StringClause,
    StringMode,
    merged,
)
from app.fhir_mappings.search_parameters import SearchParameter, parameter
from app.fhir_mappings.search_reading import MAX_DEPTH, Reading, chain, no_scope, read
from app.fhir_mappings.search_references import targets_of
from app.fhir_mappings.search_tokens import strings
from app.fhir_mappings.search_values import fault, refuse

_NAME: Final = "_filter"
_LONGEST: Final = 20_000
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<mark>[()\[\]])|\"(?P<string>(?:[^\"\\]|\\.)*)\"|(?P<word>[^\s()\[\]\"]+))"
)
_STRING_MODES: Final[dict[str, StringMode]] = {"co": "contains", "sw": "starts", "ew": "ends"}
_COMPARISONS: Final = frozenset({"eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb"})
_OPERATORS: Final = _COMPARISONS | {"co", "sw", "ew", "pr", "po", "ss", "sb", "in", "ni", "re"}
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}


def read_filter(types: tuple[str, ...], text: str, reading: Reading) -> Clause:
    """The clause of a `_filter`. FhirError: invalid, not-supported (an operator), 403 past the scopes."""
    if len(text) > _LONGEST:
        refuse(IssueCode.TOO_LONG, f"Give at most {_LONGEST} characters.", _NAME)
    parser = _Parser(_words(text), reading)
    clause = parser.either(types, 0)
    parser.end()
    return clause


@dataclass(frozen=True, slots=True)
class _Word:
    kind: str  # mark | string | word | end
    text: str


def _words(text: str) -> list[_Word]:
    found: list[_Word] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            refuse(IssueCode.INVALID, "The filter has an unclosed quotation mark.", _NAME)
        found.append(_Word(match.lastgroup, match[match.lastgroup]))
        position = match.end()
    found.append(_Word("end", ""))
    return found


class _Parser:
    def __init__(self, words: list[_Word], reading: Reading) -> None:
        self._words = words
        self._at = 0
        self._reading = reading

    def either(self, types: tuple[str, ...], depth: int) -> Clause:
        """`a or b`."""
        if depth > 4 * MAX_DEPTH:
            refuse(IssueCode.TOO_COSTLY, "The filter is nested too deeply.", _NAME)
        clauses = [self._all(types, depth)]
        while self._take_word("or"):
            clauses.append(self._all(types, depth))
        return clauses[0] if len(clauses) == 1 else AnyOf(tuple(clauses))

    def end(self) -> None:
        """Nothing may follow."""
        if self._peek().kind != "end":
            self._fault()

    def _all(self, types: tuple[str, ...], depth: int) -> Clause:
        clauses = [self._one(types, depth)]
        while self._take_word("and"):
            clauses.append(self._one(types, depth))
        return clauses[0] if len(clauses) == 1 else AllOf(tuple(clauses))

    def _one(self, types: tuple[str, ...], depth: int) -> Clause:
        word = self._peek()
        if word == _Word("word", "not") and self._words[self._at + 1] == _Word("mark", "("):
            self._at += 1
            return Not(self._one(types, depth + 1))
        if self._take_mark("("):
            clause = self.either(types, depth + 1)
            self._expect(")")
            return clause
        return self._path(types, depth)

    def _path(self, types: tuple[str, ...], depth: int) -> Clause:
        if depth > 4 * MAX_DEPTH:
            refuse(IssueCode.TOO_COSTLY, "The filter is nested too deeply.", _NAME)
        head = self._word()
        name, dot, rest = head.partition(".")
        if self._take_mark("["):
            if dot:
                self._fault()
            return self._follow(types, name, depth, bracket=True)
        if dot:
            # The rest of the word is read again as the path of the target.
            self._at -= 1
            self._words[self._at] = _Word("word", rest)
            return self._follow(types, name, depth, bracket=False)
        return self._test(types, name)

    def _follow(self, types: tuple[str, ...], name: str, depth: int, *, bracket: bool) -> Clause:
        """A chain: read the same words for each type of target, and keep those that can be read."""
        found: list[Clause] = []
        after: int | None = None
        begin = self._at
        held = list(self._words)
        for each in types:
            of = self._reference(each, name)
            pointed = targets_of(of, "", _NAME)
            targets = [t for t in pointed if self._reading.may_search(t)]
            if pointed and not targets:
                raise no_scope(pointed[0])
            inner: list[tuple[str, Clause]] = []
            for target in targets:
                self._at, self._words = begin, list(held)
                clauses: list[Clause] = []
                if bracket:
                    if not self._known((target,), begin):
                        continue
                    clauses.append(self.either((target,), depth + 1))
                    self._expect("]")
                    if self._peek().text.startswith("."):
                        self._words[self._at] = _Word("word", self._peek().text[1:])
                        clauses.append(self._path((target,), depth + 1))
                elif self._known((target,), begin):
                    clauses.append(self._path((target,), depth + 1))
                else:
                    continue
                inner.append((target, clauses[0] if len(clauses) == 1 else AllOf(tuple(clauses))))
                after = self._at
            if not inner or after is None:
                refuse(IssueCode.INVALID, "No type that it points at has that parameter.", _NAME)
            found.append(
                chain(
                    each,
                    of,
                    tuple(type_code(target) for target, _ in inner),
                    merged([clause for _, clause in inner]),
                )
            )
        if after is not None:
            self._at = after
        return merged(found)

    def _known(self, types: tuple[str, ...], at: int) -> bool:
        word = self._words[at]
        if word.kind != "word":
            return True
        name = word.text.partition(".")[0]
        return name == "not" or all(parameter(each, name) is not None for each in types)

    def _reference(self, type_: str, name: str) -> SearchParameter:
        of = parameter(type_, name)
        if of is None or of.type != "reference" or not of.expression:
            refuse(IssueCode.INVALID, "Only a reference parameter can be followed.", _NAME)
        return of

    def _test(self, types: tuple[str, ...], name: str) -> Clause:
        operator = self._word()
        if operator not in _OPERATORS:
            refuse(IssueCode.INVALID, "Give parameter, operator, value.", _NAME)
        value = self._value()
        return merged([self._compare(each, name, operator, value) for each in types])

    def _compare(self, type_: str, name: str, operator: str, value: str) -> Clause:
        of = parameter(type_, name)
        if of is None:
            refuse(IssueCode.INVALID, "The type has no such search parameter.", _NAME)
        kind = "date" if of.code == "_lastUpdated" else of.type
        if operator == "pr":
            if value not in ("true", "false"):
                refuse(IssueCode.INVALID, "Give true or false after pr.", _NAME)
            return self._read(type_, f"{name}:missing", "false" if value == "true" else "true")
        match kind, operator:
            case "string", "eq" | "co" | "sw" | "ew":
                return self._string(type_, name, operator, value)
            case "string", "ne":
                return Not(self._string(type_, name, "eq", value))
            case "date" | "number" | "quantity", _ if operator in _COMPARISONS:
                return self._read(type_, name, operator + _escaped(value, kind))
            case "token" | "reference" | "uri" | "composite" | "special", "eq":
                return self._read(type_, name, _escaped(value, kind))
            case "token" | "reference" | "uri" | "composite", "ne":
                return Not(self._read(type_, name, _escaped(value, kind)))
            case "token", "in":
                return self._read(type_, f"{name}:in", _escaped(value, kind))
            case "token", "ni":
                return self._read(type_, f"{name}:not-in", _escaped(value, kind))
            case "token", "ss":
                return self._read(type_, f"{name}:below", _escaped(value, kind))
            case "token", "sb":
                return self._read(type_, f"{name}:above", _escaped(value, kind))
            case "uri", "sw" | "ss":
                return self._read(type_, f"{name}:below", _escaped(value, kind))
            case "date", "po":
                clause = self._read(type_, name, value)
                if not isinstance(clause, DateClause | LastUpdatedClause):
                    refuse(IssueCode.NOT_SUPPORTED, "This operator cannot be used here.", _NAME)
                spans = tuple(replace(each, prefix="po") for each in clause.alternatives)
                return replace(clause, alternatives=spans)
            case "token", "co":
                return self._read(type_, f"{name}:text", _escaped(value, kind))
            case "reference", "re":
                return self._read(type_, name, _escaped(value, kind))
        raise fault(
            IssueCode.NOT_SUPPORTED, "This operator cannot be used on this parameter.", _NAME
        )

    def _string(self, type_: str, name: str, operator: str, value: str) -> Clause:
        clause = self._read(type_, f"{name}:exact", _escaped(value, "string"))
        if not isinstance(clause, StringClause):
            refuse(IssueCode.NOT_SUPPORTED, "This operator cannot be used here.", _NAME)
        if operator == "eq":
            return clause
        values = strings(_escaped(value, "string"), "starts", _NAME)
        return StringClause(clause.keys, _STRING_MODES[operator], values)

    def _read(self, type_: str, name: str, value: str) -> Clause:
        clause = read((type_,), name, value, self._reading, told=_NAME)
        if clause is None:
            refuse(IssueCode.INVALID, "The type has no such search parameter.", _NAME)
        return clause

    def _value(self) -> str:
        word = self._peek()
        if word.kind == "string":
            self._at += 1
            return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), word.text, flags=re.DOTALL)
        return self._word()

    def _word(self) -> str:
        word = self._peek()
        if word.kind != "word":
            self._fault()
        self._at += 1
        return word.text

    def _peek(self) -> _Word:
        return self._words[self._at]

    def _take_word(self, text: str) -> bool:
        found = self._peek() == _Word("word", text)
        self._at += found
        return found

    def _take_mark(self, text: str) -> bool:
        found = self._peek() == _Word("mark", text)
        self._at += found
        return found

    def _expect(self, text: str) -> None:
        if not self._take_mark(text):
            self._fault()

    def _fault(self) -> NoReturn:
        refuse(
            IssueCode.INVALID,
            'Write filters as: parameter operator value, joined by and, or, not (…); texts in "…".',
            _NAME,
        )


def _escaped(text: str, kind: str) -> str:
    """A value as one alternative of a plain parameter: a comma is no separator here."""
    escaped = text.replace(",", "\\,")
    return escaped.replace("|", "\\|").replace("$", "\\$") if kind in ("string", "uri") else escaped

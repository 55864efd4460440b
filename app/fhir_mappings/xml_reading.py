"""XML text as a tree of elements, read safely: what an attacker could do with XML is not in the language.

No document type, and so no entities but XML's five and no fetching of anything; no deeper than asked; only
FHIR's namespace, with XHTML as the narrative, whose text is kept as it stands. Comments and processing
instructions say nothing in FHIR and are dropped. The parser is expat, which Python brings along.

Pinned: hl7.org/fhir/R4/xml.html, hl7.org/fhir/R4/security.html#narrative.
Neighbour: `app.fhir_mappings.xml_form`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NoReturn
from xml.parsers import expat

from app.errors import FhirError, IssueCode, fhir_error

FHIR: Final = "http://hl7.org/fhir"
XHTML: Final = "http://www.w3.org/1999/xhtml"
_SCHEMA_INSTANCE: Final = "http://www.w3.org/2001/XMLSchema-instance"
_BETWEEN: Final = " "


@dataclass(slots=True)
class Element:
    """One element of FHIR. xhtml: of a narrative's div, its text as it was sent; then it has no children."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    xhtml: str | None = None


class _Reader:
    """The handlers of one parse."""

    def __init__(self, data: bytes, max_depth: int) -> None:
        self._data = data
        self._max_depth = max_depth
        self._parser = expat.ParserCreate("utf-8", _BETWEEN)
        self._open: list[Element] = []
        self._inside = 0  # elements open within a narrative's div
        self._begin = 0
        self._ended: Element | None = None  # a div whose end tag's end the next event tells
        self.root: Element | None = None

    def read(self) -> Element:
        parser = self._parser
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.CommentHandler = self._other
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartCdataSectionHandler = self._settle
        parser.Parse(self._data, True)
        if self.root is None:
            _refuse("Send a resource as one XML element.")
        return self.root

    def _settle(self) -> None:
        """The div that has ended reaches to where the next event begins."""
        if self._ended is not None:
            raw = self._data[self._begin : self._parser.CurrentByteIndex]
            self._ended.xhtml = raw.decode()
            self._ended = None

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._settle()
        if len(self._open) + self._inside >= self._max_depth:
            _refuse(f"The resource is nested deeper than the {self._max_depth} levels taken here.")
        namespace, _, local = name.rpartition(_BETWEEN)
        if self._inside:
            self._inside += 1
            return
        if namespace == XHTML and local == "div" and self._open:
            self._begin, self._inside = self._parser.CurrentByteIndex, 1
            self._open[-1].children.append(Element(local))
            return
        if namespace != FHIR:
            _refuse(f"Put every element into the namespace {FHIR}, and the narrative into XHTML's.")
        own = {k: v for k, v in attributes.items() if not k.startswith(_SCHEMA_INSTANCE)}
        element = Element(local, own)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        self._settle()
        if not self._inside:
            self._open.pop()
            return
        self._inside -= 1
        if not self._inside:
            self._ended = self._open[-1].children[-1]

    def _text(self, text: str) -> None:
        self._settle()
        if not self._inside and text.strip(" \t\r\n"):
            _refuse("Put values into the attribute value: elements of FHIR hold no text.")

    def _other(self, _text: str) -> None:
        self._settle()

    def _instruction(self, _target: str, _text: str) -> None:
        self._settle()

    def _doctype(self, *_: object) -> None:
        _refuse("Remove the document type declaration: none is read here, and no entities.")


def read_xml(data: bytes, *, max_depth: int) -> Element:
    """The root element of XML in UTF-8.

    FhirError (structure, 400): no XML, a document type, another namespace, text outside of attributes, more
    than `max_depth` levels.
    """
    try:
        return _Reader(data, max_depth).read()
    except expat.ExpatError as error:
        raise fhir_error(
            IssueCode.STRUCTURE,
            f"The body is not XML in UTF-8: line {error.lineno}, column {error.offset + 1}.",
            status=400,
        ) from None
    except UnicodeDecodeError:
        _refuse("The body is not XML in UTF-8.")


def _refuse(diagnostics: str) -> NoReturn:
    raise _fault(diagnostics)


def _fault(diagnostics: str) -> FhirError:
    return fhir_error(IssueCode.STRUCTURE, diagnostics, status=400)

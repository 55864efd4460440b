"""What a narrative may hold: the invariants txt-1 and txt-2, and nothing that a browser would run.

The allowed names are data, taken from txt-1 (`app.fhir_mappings.structure.narrative_names`). The
text is read by expat; a document type is refused, so no entity can be declared, and none expanded.

Pinned: hl7.org/fhir/R4/narrative.html#xhtml, hl7.org/fhir/R4/security.html#narrative.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final
from xml.parsers.expat import ExpatError, ParserCreate

from app.fhir_mappings.structure import narrative_names

_XHTML: Final = "http://www.w3.org/1999/xhtml "
_LANG: Final = "http://www.w3.org/XML/1998/namespace lang"
_LINKS: Final = frozenset({"href", "src", "cite", "longdesc"})
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.\-]*):")
_SAFE_SCHEMES: Final = frozenset({"http", "https", "mailto", "tel", "urn", "cid", "ftp"})
_SAFE_IMAGE: Final = re.compile(r"data:image/(?:png|gif|jpeg|webp|bmp)[;,]")
_ACTIVE_STYLE: Final = re.compile(r"expression\(|script:|behaviou?r:|binding:|@import|\\")


def _as_browsers_read(link: str) -> str:
    """In small letters, without white space and control characters, which they ignore in a scheme."""
    if not link.isprintable() or " " in link:
        link = "".join(c for c in link if c.isprintable() and c != " ")
    return link.lower()


class _RefusedError(Exception):
    """Carries the fault out of expat's callbacks."""


@cache
def _names() -> tuple[frozenset[str], frozenset[str]]:
    elements, attributes = narrative_names()
    return frozenset(_XHTML + name for name in elements), attributes | {_LANG}


def narrative_fault(text: str) -> str | None:
    """Why `text` may not stand in Narrative.div; None where it may. The reason repeats no
    content.
    """
    reader = _Reader()
    try:
        reader.read(text)
    except _RefusedError as refused:
        return str(refused)
    except ExpatError:
        return "it is not well-formed XML without a document type"
    return None if reader.has_content else "it has neither text nor image"


class _Reader:
    """One pass over a narrative."""

    __slots__ = ("_attributes", "_elements", "_is_root", "has_content")

    def __init__(self) -> None:
        self._elements, self._attributes = _names()
        self._is_root = True
        self.has_content = False

    def read(self, text: str) -> None:
        parser = ParserCreate("UTF-8", " ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._document_type
        parser.ProcessingInstructionHandler = self._instruction
        parser.Parse(text.encode(), True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._is_root:
            self._is_root = False
            if name != _XHTML + "div":
                raise _RefusedError("it is not a div of the XHTML namespace")
        elif name not in self._elements:
            raise _RefusedError("it has an element that a narrative may not have")
        if attributes:
            for attribute, value in attributes.items():
                self._attribute(attribute, value)
            if name == _XHTML + "img" and "src" in attributes:
                self.has_content = True

    def _attribute(self, name: str, value: str) -> None:
        if name not in self._attributes:
            raise _RefusedError("it has an attribute that a narrative may not have")
        if name in _LINKS:
            link = _as_browsers_read(value)
            scheme = _SCHEME.match(link)
            if (
                scheme
                and scheme[1] not in _SAFE_SCHEMES
                and not (name == "src" and _SAFE_IMAGE.match(link))
            ):
                raise _RefusedError("it has a link that a browser might run")
        elif name == "style" and _ACTIVE_STYLE.search("".join(value.lower().split())):
            raise _RefusedError("it has a style that a browser might run")

    def _text(self, text: str) -> None:
        if not self.has_content and not text.isspace():
            self.has_content = True

    def _document_type(self, *_: object) -> None:
        raise _RefusedError("it has a document type")

    def _instruction(self, *_: object) -> None:
        raise _RefusedError("it has a processing instruction")

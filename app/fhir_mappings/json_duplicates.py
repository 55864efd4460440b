"""Where a JSON text gives a property twice: the slow search that follows a refusal.

The decoder of `app.fhir_mappings.json_text` tells that an object has a duplicate, not where. This
walks the text once more, token by token, keeping the path; only a text already refused gets here.

Pinned: hl7.org/fhir/R4/json.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

import orjson

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}:,]', re.DOTALL)
_NAME: Final = re.compile(r"[a-z_][A-Za-z0-9_]{0,63}")


@dataclass(slots=True)
class _Level:
    is_array: bool
    index: int = 0
    name: str = ""
    names: set[str] = field(default_factory=set)

    def step(self) -> str:
        return f"[{self.index}]" if self.is_array else "." + self.name


def first_duplicate(data: bytes) -> tuple[int, tuple[str, ...]]:
    """Byte offset of the first repeated property, and its path where it can be told.

    data: UTF-8 JSON that has a repeated property before any fault of syntax. The path starts at the
    top's resourceType if that stands before; it is left out where a name on it does not look like
    an element's, because such a name may be a value. ValueError where nothing is repeated.
    """
    levels: list[_Level] = []
    root = ""
    last = b""
    last_offset = 0
    for token in _TOKEN.finditer(data):
        text = token.group()
        if text == b":":
            level = levels[-1]
            name = orjson.loads(last)
            if name in level.names:
                level.name = name
                return last_offset, _expression(root, levels)
            level.names.add(name)
            level.name = name
        elif text in (b"{", b"["):
            levels.append(_Level(is_array=text == b"["))
        elif text in (b"}", b"]"):
            levels.pop()
        elif text == b",":
            levels[-1].index += 1
        else:
            if last == b":" and len(levels) == 1 and levels[0].name == "resourceType":
                root = orjson.loads(text)
            last_offset = token.start()
        last = text
    raise ValueError("no property is repeated")


def _expression(root: str, levels: list[_Level]) -> tuple[str, ...]:
    names = [level.name for level in levels if not level.is_array]
    if not root.isalpha() or not all(_NAME.fullmatch(name) for name in names):
        return ()
    return (root + "".join(level.step() for level in levels),)

"""Answers of the demo, as examples of the operations whose requests brought them.

`answers.json` is written and compared by tests/demo/test_shown_answers.py. By operation (its method and path
template): client and purpose that asked, path, media and body of the request where it has one, status, answer.
Neighbours: `examples` (resources as the demo writes them).
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

FILE: Final = Path(__file__).with_name("answers.json")


@cache
def answers() -> dict[str, Json]:
    """What is in the file."""
    found: dict[str, Json] = json.loads(FILE.read_text())
    return found


def identifier(method: str, path: str) -> str:
    """The operationId of an operation."""
    words = re.sub(r"[^A-Za-z0-9]+", " ", path).split()
    return method + "".join(word[:1].upper() + word[1:] for word in words)


def examples() -> dict[str, Json]:
    """By name: every answer, and every body that was sent for it."""
    made: dict[str, Json] = {}
    for operation, each in answers().items():
        method, _, path = operation.partition(" ")
        name = identifier(method, path)
        by = f"{each['client']}, for {each['purpose']}" if "client" in each else ""
        asker = by or ("a client" if "body" in each else "anybody")
        request = f"{asker}: {method.upper()} {each['path']}"
        if "body" in each:
            made[f"{name}.sent"] = {"summary": f"Sent by {request}", "value": each["body"]}
        made[f"{name}.answered"] = {"summary": f"Answered to {request}", "value": each["answer"]}
    return made


def add(method: str, path: str, operation: Json) -> None:
    """Show an operation's own body and answer beside the examples that it has."""
    each = answers().get(f"{method} {path}")
    if each is None:
        return
    name = identifier(method, path)
    if "body" in each:
        _show(operation["requestBody"]["content"][each["media"]], f"{name}.sent")
    content = operation["responses"][each["status"]]["content"]
    _show(next(iter(content.values())), f"{name}.answered")


def _show(content: Json, name: str) -> None:
    content.setdefault("examples", {})[name] = {"$ref": f"#/components/examples/{name}"}

"""The reviewable data files of the care domain, read once each."""

from __future__ import annotations

from importlib import resources
from typing import Any

import orjson


def packaged(name: str) -> dict[str, Any]:
    """The content of `app/care/data/<name>`; FileNotFoundError where there is none."""
    content: dict[str, Any] = orjson.loads(
        (resources.files("app.care") / "data" / name).read_bytes()
    )
    return content

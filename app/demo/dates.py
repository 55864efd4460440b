"""Dates of the demo that move with the day on which it is loaded.

A consent that ends in ninety days must not have ended when the demo is shown next year. A string of
the data that is, as a whole, `@today`, `@today+90d` or `@today-30d`, and may go on with a time
(`@today+14dT10:00:00-08:00`), stands for that date. Nothing else in the data is ever changed.
Neighbour: `app.demo.load`.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any, Final

_PLACEHOLDER: Final = re.compile(r"@today(?:([+-]\d{1,4})d)?(T.+)?")


def resolve_dates(node: Any, today: date) -> Any:
    """A copy of a JSON tree with every placeholder replaced by its date.

    ValueError for a string that begins with `@today` and is no placeholder: a typing mistake in the
    data must not be served as text.
    """
    if isinstance(node, dict):
        return {key: resolve_dates(value, today) for key, value in node.items()}
    if isinstance(node, list):
        return [resolve_dates(each, today) for each in node]
    if isinstance(node, str) and node.startswith("@today"):
        match = _PLACEHOLDER.fullmatch(node)
        if match is None:
            raise ValueError(f"{node} is no date of the demo; write it as @today+90d")
        day = today + timedelta(days=int(match[1] or 0))
        return day.isoformat() + (match[2] or "")
    return node

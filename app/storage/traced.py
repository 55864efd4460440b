"""Connections whose statements are spans, named by the function of `app.storage` that runs them.

`resources.read`, not the statement: its text is ours and long, its parameters are about people.
Neighbours: `app.tracing`, `app.storage.database` (uses them where traces are asked for).
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, Final

import asyncpg

from app import tracing

_CARRIERS: Final = frozenset(
    {__name__, "app.storage.database", "app.storage.grouped_reads", "app.storage.lanes"}
)
_STORAGE: Final = "app.storage."


class TracedConnection(asyncpg.Connection):
    """A connection that tells how long each statement took, and for what it was."""

    async def fetch(self, *arguments: Any, **named: Any) -> Any:
        """As of asyncpg."""
        with tracing.span(_purpose()):
            return await super().fetch(*arguments, **named)

    async def fetchrow(self, *arguments: Any, **named: Any) -> Any:
        """As of asyncpg."""
        with tracing.span(_purpose()):
            return await super().fetchrow(*arguments, **named)

    async def fetchval(self, *arguments: Any, **named: Any) -> Any:
        """As of asyncpg."""
        with tracing.span(_purpose()):
            return await super().fetchval(*arguments, **named)

    async def execute(self, *arguments: Any, **named: Any) -> Any:
        """As of asyncpg."""
        with tracing.span(_purpose()):
            return await super().execute(*arguments, **named)

    async def copy_records_to_table(self, *arguments: Any, **named: Any) -> Any:
        """As of asyncpg."""
        with tracing.span(_purpose()):
            return await super().copy_records_to_table(*arguments, **named)


def _purpose() -> str:
    """`module.function` of whoever runs the statement: the nearest that does not only carry it."""
    frame: FrameType | None = sys._getframe(1)
    carrier = "database.statement"
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith(_STORAGE):
            named = f"{module.removeprefix(_STORAGE)}.{frame.f_code.co_name.removeprefix('_')}"
            if module not in _CARRIERS:
                return named
            if module == "app.storage.database":
                carrier = named
        frame = frame.f_back
    return carrier

"""The 64-bit hash under which search index rows and codes are filed.

A row is keyed by `hash64(type, parameter, value…)`, so that equality searches of every
parameter of every type share one narrow B-tree (design.md, "Search index"). The value is a
signed 64-bit integer (PostgreSQL bigint). 64 bits make an accidental collision in ten million
rows a one-in-400,000 event; a collision can only add a row that the caller may see anyway, because
consent is checked on the row and never through the hash.
"""

from __future__ import annotations

from hashlib import blake2b

_SEPARATOR = "\x1f"


def hash64(*parts: str) -> int:
    """Hash text parts, order and boundaries significant, to a signed 64-bit integer."""
    digest = blake2b(_SEPARATOR.join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)

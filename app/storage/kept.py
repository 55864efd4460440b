"""What a cursor is too short to carry, kept sealed until the cursor expires (`app.interactions.cursors`)."""

from __future__ import annotations

from app.storage.database import Database


async def keep(database: Database, name: str, sealed: bytes, expires: int) -> None:
    """Keep sealed bytes under a name; what has expired is cleared away. expires: Unix seconds."""
    await database.pool.execute(
        "WITH cleared AS (DELETE FROM tl.kept_cursor WHERE expires_at < now()) "
        "INSERT INTO tl.kept_cursor VALUES ($1, $2, to_timestamp($3))",
        name,
        sealed,
        expires,
    )


async def kept(database: Database, name: str) -> bytes | None:
    """The bytes kept under a name; None where there are none, or no longer."""
    found: bytes | None = await database.pool.fetchval(
        "SELECT sealed FROM tl.kept_cursor WHERE name = $1 AND expires_at >= now()", name
    )
    return found

"""Registered clients, signing keys, used assertions: administration, no survivor's data."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

_LONG_OVER: Final = "now() - interval '1 day'"
"""What expired before is forgotten: not at once, or a clock that jumps ahead and back would revive it."""


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client application and whom it acts for (rids).

    openid_issuer: the provider whose tokens people use the app with; it has no secret and no keys here.
    """

    client_id: str
    organization: int
    practitioner: int | None
    patient: int | None
    scope: str
    purposes: tuple[str, ...]
    emergency: bool
    privacy_officer: bool
    jwks: dict[str, Any] | None
    jwks_url: str | None
    secret_hash: str | None
    revoked: bool
    openid_issuer: str | None = None


def _client(row: asyncpg.Record) -> Client:
    return Client(
        row["client_id"],
        row["organization"],
        row["practitioner"],
        row["patient"],
        row["scope"],
        tuple(row["purposes"]),
        row["emergency"],
        row["privacy_officer"],
        json.loads(row["jwks"]) if row["jwks"] else None,
        row["jwks_url"],
        row["secret_hash"],
        row["revoked_at"] is not None,
        row["openid_issuer"],
    )


async def find_client(pool: asyncpg.Pool, client_id: str) -> Client | None:
    """The client by its id; None where there is none."""
    row = await pool.fetchrow("SELECT * FROM tl.client WHERE client_id = $1", client_id)
    return _client(row) if row else None


async def list_clients(pool: asyncpg.Pool) -> list[Client]:
    """All clients, by name."""
    return [_client(row) for row in await pool.fetch("SELECT * FROM tl.client ORDER BY client_id")]


async def save_client(
    pool: asyncpg.Pool | asyncpg.pool.PoolConnectionProxy, client: Client
) -> None:
    """Add a client, or replace the registration of the same id (which also lifts a revocation)."""
    await pool.execute(
        "INSERT INTO tl.client (client_id, organization, practitioner, patient, scope, purposes, "
        "emergency, privacy_officer, jwks, jwks_url, secret_hash, openid_issuer) "
        "VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9::jsonb,$10,$11,$12) ON CONFLICT (client_id) DO UPDATE SET "
        "organization=excluded.organization, practitioner=excluded.practitioner, "
        "patient=excluded.patient, scope=excluded.scope, purposes=excluded.purposes, "
        "emergency=excluded.emergency, privacy_officer=excluded.privacy_officer, "
        "jwks=excluded.jwks, jwks_url=excluded.jwks_url, secret_hash=excluded.secret_hash, "
        "openid_issuer=excluded.openid_issuer, "
        "revoked_at=NULL, tokens_void_at=clock_timestamp()",
        client.client_id,
        client.organization,
        client.practitioner,
        client.patient,
        client.scope,
        list(client.purposes),
        client.emergency,
        client.privacy_officer,
        json.dumps(client.jwks) if client.jwks else None,
        client.jwks_url,
        client.secret_hash,
        client.openid_issuer,
    )


async def revoke_client(pool: asyncpg.Pool, client_id: str) -> bool:
    """Revoke a client; False where there is none to revoke."""
    done = await pool.execute(
        "UPDATE tl.client SET revoked_at = now() WHERE client_id = $1 AND revoked_at IS NULL",
        client_id,
    )
    return str(done).endswith("1")


async def identity_rid(pool: asyncpg.Pool, type_code: int, id_: str) -> int | None:
    """The rid of whom a client speaks for, whoever may see them; None where there is none.

    For administration: the answer must never reach a caller.
    """
    rid: int | None = await pool.fetchval("SELECT tl.occupied($1, $2)", type_code, id_)
    return rid


async def use_assertion(pool: asyncpg.Pool, client_id: str, jti: str, expires: datetime) -> bool:
    """Remember an assertion id; False where it was used before (RFC 7523 section 3, replay)."""
    await pool.execute(f"DELETE FROM tl.used_assertion WHERE expires_at < {_LONG_OVER}")
    done = await pool.execute(
        "INSERT INTO tl.used_assertion VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        client_id,
        jti,
        expires.astimezone(UTC),
    )
    return str(done).endswith("1")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key of this authorization server. private_pem: as stored, sealed (`app.security.sealing`)."""

    kid: str
    private_pem: str
    public_jwk: dict[str, Any]
    created: datetime
    retired: datetime | None


async def signing_keys(pool: asyncpg.Pool | asyncpg.Connection) -> list[SigningKey]:
    """Every key not yet retired, newest first."""
    rows = await pool.fetch(
        "SELECT kid, private_pem, public_jwk, created_at, retired_at FROM tl.signing_key "
        "WHERE retired_at IS NULL OR retired_at > now() ORDER BY created_at DESC, kid"
    )
    return [
        SigningKey(
            row["kid"],
            row["private_pem"],
            json.loads(row["public_jwk"]),
            row["created_at"],
            row["retired_at"],
        )
        for row in rows
    ]


async def add_signing_key(
    pool: asyncpg.Pool, kid: str, private_pem: str, public_jwk: dict[str, Any], *, first: bool
) -> None:
    """Store a new signing key; `first`: unless another process has just stored the first one."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(7404)")
        await connection.execute(
            "INSERT INTO tl.signing_key (kid, private_pem, public_jwk) "
            "SELECT $1, $2, $3::jsonb WHERE NOT $4 OR NOT EXISTS "
            "(SELECT FROM tl.signing_key WHERE retired_at IS NULL)",
            kid,
            private_pem,
            json.dumps(public_jwk),
            first,
        )


async def reseal_signing_key(pool: asyncpg.Pool, kid: str, private_pem: str) -> None:
    """Store the private part of a key anew."""
    await pool.execute(
        "UPDATE tl.signing_key SET private_pem = $2 WHERE kid = $1", kid, private_pem
    )


async def retire_signing_keys(pool: asyncpg.Pool, but: str, after_seconds: int) -> None:
    """Let every other key end in `after_seconds`."""
    await pool.execute(
        "UPDATE tl.signing_key SET retired_at = now() + make_interval(secs => $2) "
        "WHERE kid <> $1 AND retired_at IS NULL",
        but,
        after_seconds,
    )


async def revoke_token(pool: asyncpg.Pool, client_id: str, jti: str, expires: datetime) -> None:
    """Void one token; forget those that have expired anyway."""
    await pool.execute(f"DELETE FROM tl.revoked_token WHERE expires_at < {_LONG_OVER}")
    await pool.execute(
        "INSERT INTO tl.revoked_token (jti, client_id, expires_at) VALUES ($1, $2, $3) "
        "ON CONFLICT DO NOTHING",
        jti,
        client_id,
        expires.astimezone(UTC),
    )


async def revocations(
    connection: asyncpg.Connection,
) -> tuple[dict[str, float], dict[str, float]]:
    """Revoked tokens with their end, and clients with the moment up to which their tokens are void."""
    tokens = await connection.fetch(
        "SELECT jti, extract(epoch FROM expires_at)::float8 AS until FROM tl.revoked_token "
        f"WHERE expires_at > {_LONG_OVER}"
    )
    voids = await connection.fetch(
        "SELECT client_id, extract(epoch FROM tokens_void_at)::float8 AS void FROM tl.client "
        "WHERE tokens_void_at IS NOT NULL"
    )
    return (
        {row["jti"]: row["until"] for row in tokens},
        {row["client_id"]: row["void"] for row in voids},
    )


async def server_secret(pool: asyncpg.Pool, name: str) -> bytes:
    """32 random bytes by name, made once and shared by all processes of one database."""
    await pool.execute(
        "INSERT INTO tl.server_secret VALUES ($1, $2) ON CONFLICT DO NOTHING",
        name,
        secrets.token_bytes(32),
    )
    value: bytes = await pool.fetchval("SELECT value FROM tl.server_secret WHERE name = $1", name)
    return value

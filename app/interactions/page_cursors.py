"""Cursors of histories and `$everything`: where a list goes on, in a word that only this server can read.

Whatever pages puts what it needs for its next page into a small JSON object; here it is sealed, bound to the
kind of list and to the caller, and opened again. A cursor says where to go on, never what may be seen: who
opens one asks the predicate again. Pinned: hl7.org/fhir/R4/http.html#paging.
"""

from __future__ import annotations

import base64
import hashlib
import time
import zlib
from dataclasses import dataclass
from typing import Any, Final

import orjson
from cryptography.fernet import Fernet, InvalidToken

from app.errors import FhirError, IssueCode, fhir_error
from app.storage.database import Caller, Database

CURSOR: Final = "_cursor"
"""The parameter of a link that carries a cursor."""

LIFETIME: Final = 3600
"""Seconds for which a cursor can be used."""

_LARGEST: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Cursors:
    """Seals and opens cursors. key: 32 secret bytes, the same in every process."""

    key: bytes

    async def seal(
        self, _database: Database, caller: Caller, kind: str, content: dict[str, Any]
    ) -> str:
        """A cursor. kind: what list it belongs to. content: JSON, short."""
        packed = zlib.compress(orjson.dumps([_binding(caller, kind), content]), 9)
        return self._fernet().encrypt_at_time(packed, int(time.time())).decode()

    async def open(
        self, _database: Database, caller: Caller, kind: str, cursor: str
    ) -> dict[str, Any]:
        """The content of a cursor.

        FhirError: 400 where the cursor is not of this server, of another caller or of another kind;
        410 where it has expired.
        """
        try:
            packed = self._fernet().decrypt(cursor.encode())
        except (InvalidToken, UnicodeEncodeError) as error:
            raise _foreign() from error
        bound, content = orjson.loads(zlib.decompressobj().decompress(packed, _LARGEST))
        if bound != _binding(caller, kind) or not isinstance(content, dict):
            raise _foreign()
        if time.time() - self._fernet().extract_timestamp(cursor.encode()) > LIFETIME:
            raise fhir_error(
                IssueCode.DELETED, "The cursor has expired; begin again without it.", CURSOR
            )
        return content

    def _fernet(self) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(self.key))


def _binding(caller: Caller, kind: str) -> str:
    parts = [kind, caller.closure, caller.deny_closure, caller.purpose, caller.organization]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:32]


def _foreign() -> FhirError:
    # One sentence for forged, altered and foreign: which of them it is would tell of other callers.
    return fhir_error(
        IssueCode.INVALID,
        "The cursor is none that this caller was given for this; begin again without it.",
        CURSOR,
    )

"""Cursors: where a list that is read in pages goes on, in a word that only this server can read.

Whatever pages (search, history, `$everything`) puts what it needs for its next page into a small JSON
object; here it is sealed, bound to the kind of list and to the caller, and opened again. Nothing can be
read in a URL: not the place, not the search itself (docs/search.md, "Pages"). Content too long for a URL
is kept in the database, sealed by the same key, and the cursor names it.

A cursor says where to go on, never what may be seen: who opens one asks the predicate again.
Pinned: hl7.org/fhir/R4/http.html#paging. Neighbours: `app.storage.kept`, `app.interactions.search`.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import zlib
from dataclasses import dataclass
from typing import Any, Final

import orjson
from cryptography.fernet import Fernet, InvalidToken

from app import clock
from app.errors import FhirError, IssueCode, fhir_error
from app.storage import kept
from app.storage.database import Caller, Database

CURSOR: Final = "_cursor"
"""The parameter of a link that carries a cursor."""

LIFETIME: Final = 3600
"""Seconds for which a cursor can be used."""

LONGEST: Final = 1500
"""Characters of a cursor at most, so that a link stays below 2,000."""

_LARGEST: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Cursors:
    """Seals and opens cursors. key: 32 secret bytes, the same in every process."""

    key: bytes

    async def seal(
        self,
        database: Database,
        caller: Caller,
        kind: str,
        content: dict[str, Any],
        *,
        now: float | None = None,
    ) -> str:
        """A cursor of at most `LONGEST` characters.

        kind: what list it belongs to, such as `search`. content: JSON. now: seconds since the
        epoch, the present where None. One more statement where the content is long.
        """
        issued = int(clock.now() if now is None else now)
        sealed = self._sealed([_binding(caller, kind), content], issued)
        if len(sealed) <= LONGEST:
            return sealed
        name = secrets.token_urlsafe(16)
        await kept.keep(database, name, sealed.encode(), issued + LIFETIME)
        return self._sealed([_binding(caller, kind), name], issued)

    async def open(
        self,
        database: Database,
        caller: Caller,
        kind: str,
        cursor: str,
        *,
        now: float | None = None,
    ) -> dict[str, Any]:
        """The content of a cursor.

        FhirError: 400 where the cursor is not of this server, of another caller or of another kind;
        410 where it has expired.
        """
        moment = clock.now() if now is None else now
        content = self._opened(cursor, _binding(caller, kind), moment)
        if isinstance(content, str):
            sealed = await kept.kept(database, content)
            if sealed is None:
                raise _expired()
            content = self._opened(sealed.decode(), _binding(caller, kind), moment)
        if not isinstance(content, dict):
            raise _foreign()
        return content

    def _sealed(self, content: list[Any], issued: int) -> str:
        packed = zlib.compress(orjson.dumps(content), 9)
        return self._fernet().encrypt_at_time(packed, issued).decode()

    def _opened(self, cursor: str, binding: str, now: float) -> Any:
        try:
            packed = self._fernet().decrypt(cursor.encode())
        except (InvalidToken, UnicodeEncodeError) as error:
            raise _foreign() from error
        bound, content = orjson.loads(zlib.decompressobj().decompress(packed, _LARGEST))
        if bound != binding:
            raise _foreign()
        if now - self._fernet().extract_timestamp(cursor.encode()) > LIFETIME:
            raise _expired()
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


def _expired() -> FhirError:
    return fhir_error(IssueCode.DELETED, "The cursor has expired; begin again without it.", CURSOR)

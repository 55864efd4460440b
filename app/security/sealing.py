"""Secrets at rest: signing keys are stored encrypted, under a secret that is not in the database.

A backup, or a look into the database, then signs nothing. The secret is TL_KEY_SECRET, or is made once and kept
in the state folder, readable by its owner alone. Encryption is Fernet (AES-128-CBC with HMAC-SHA256) of the
library `cryptography`, under a key derived from the secret by HKDF (RFC 5869).
Neighbours: `app.security.keys`, `app.main` (the cursors' key is derived from it as well).
"""

from __future__ import annotations

import base64
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.settings import Settings, SettingsError

FILE: Final = "key-secret"
"""Its name in the state folder."""

_PLAIN: Final = "-----BEGIN"


class Seal:
    """Seals and opens with one secret. Without a setting it is looked for, and made, in the state folder."""

    def __init__(self, settings: Settings) -> None:
        given = settings.key_secret
        self._secret = given.get_secret_value() if given is not None else None
        self._file = settings.state_dir / FILE

    def seal(self, text: str) -> str:
        """The text, sealed; SettingsError where there is no secret and none can be made."""
        return Fernet(self._key()).encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str | None:
        """What was sealed; None where it was with another secret. A key from before sealing is itself."""
        if sealed.startswith(_PLAIN):
            return sealed
        if self._known() is None:
            return None
        try:
            return Fernet(self._key()).decrypt(sealed).decode()
        except InvalidToken:
            return None

    def derive(self, purpose: str, salt: bytes) -> bytes:
        """32 bytes for one purpose, the same in every process with the same secret and salt."""
        return HKDF(SHA256(), 32, salt, purpose.encode()).derive(self._made().encode())

    def _key(self) -> bytes:
        return base64.urlsafe_b64encode(self.derive("signing keys", b"throughline"))

    def _known(self) -> str | None:
        if self._secret is None:
            with suppress(FileNotFoundError, NotADirectoryError):
                self._secret = self._file.read_text()
        return self._secret

    def _made(self) -> str:
        known = self._known()
        if known is None:
            _keep(self._file, secrets.token_urlsafe(48))
            known = self._known()
        if known is None:
            raise SettingsError("TL_KEY_SECRET: the file in the state folder cannot be read back")
        return known


def lies_open(stored: str) -> bool:
    """Whether a stored key is not sealed at all."""
    return stored.startswith(_PLAIN)


def _keep(file: Path, secret: str) -> None:
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(secret)
        with suppress(FileExistsError):  # another process was first: its secret holds
            os.link(draft, file)
        draft.unlink()
    except OSError as error:
        raise SettingsError(
            "TL_KEY_SECRET: it is not set, and none can be kept in the state folder "
            f"({error.strerror}); set it, for example to what `openssl rand -hex 32` prints"
        ) from error

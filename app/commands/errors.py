"""What a command could not do, said to a person."""

from __future__ import annotations


class CommandError(Exception):
    """The command ends here; the text says what is wrong and what to do. It never holds a secret."""

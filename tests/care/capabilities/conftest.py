"""The tour's agencies, here too."""

from tests.spine.conftest import world

__all__ = ["world"]

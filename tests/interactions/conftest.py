"""The spine's world, here too."""

from tests.spine.conftest import world

__all__ = ["world"]

"""The spine's world, to be shaken."""

from tests.spine.conftest import world

__all__ = ["world"]

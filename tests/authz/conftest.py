"""The spine's world, whose service also takes the tokens of an OpenID provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.openid_settings import OpenIdProvider
from tests.authz import house as cast
from tests.authz.house import House
from tests.authz.people import AUDIENCE, ISSUER
from tests.enrolled import Enrolled
from tests.security.provider import Provider
from tests.spine.conftest import World, open_world


@pytest.fixture
def provider() -> Provider:
    return Provider(ISSUER, AUDIENCE)


@pytest.fixture
async def world(
    enrolled: Callable[[], Enrolled], tmp_path: Path, provider: Provider
) -> AsyncIterator[World]:
    trusted = OpenIdProvider(issuer=ISSUER, survivors=True, launch=True)
    async with open_world(
        enrolled(), tmp_path, connect=provider.connect, openid_providers=(trusted,)
    ) as opened:
        yield opened


@pytest.fixture
async def house(world: World, provider: Provider) -> House:
    return await cast.build(world, provider)

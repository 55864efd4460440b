"""Who a caller is: memberships as of now, and what only some callers are besides."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from app.consent.model import ANYONE, CUSTODIAN, EMERGENCY
from app.storage.database import Caller, base_closure
from app.storage.database import Database as Opened
from app.storage.identities import PRIVACY_OFFICER, Identity, resolve_caller
from tests.consent.rows import DAY, NOW, Json, insert

AGENCY, PERSON, GROUP, SURVIVOR = 500, 501, 502, 503
MEMBER: Json = {
    "source": 1,
    "member": PERSON,
    "belongs_to": GROUP,
    "within": None,
    "deny_only": False,
    "valid_from": NOW - DAY,
    "valid_to": NOW + DAY,
}
STAFF = Identity(AGENCY, PERSON, None)


async def resolved(opened: Opened, identity: Identity = STAFF, **more: Any) -> Caller:
    return await resolve_caller(opened.pool, identity, purpose=1, **{"emergency": False} | more)


@pytest.mark.parametrize(
    ("changes", "permitted", "denied"),
    [
        ({}, True, True),
        ({"within": AGENCY}, True, True),
        ({"within": AGENCY + 100}, False, False),
        ({"valid_from": NOW + DAY / 2}, False, False),
        ({"valid_to": NOW - DAY / 2}, False, False),
        ({"deny_only": True}, False, True),
    ],
)
async def test_a_member_is_whom_it_belongs_to_now_and_in_its_organization(
    owner: psycopg.Connection[Any], opened: Opened, changes: Json, permitted: bool, denied: bool
) -> None:
    insert(owner, "membership", MEMBER | changes)
    caller = await resolved(opened)
    assert (GROUP in caller.closure) is permitted
    assert (GROUP in caller.deny_closure) is denied


async def test_a_survivors_own_app_is_the_survivor_alone(
    owner: psycopg.Connection[Any], opened: Opened
) -> None:
    caller = await resolved(opened, Identity(AGENCY, PERSON, SURVIVOR))
    assert caller.closure == tuple(sorted({SURVIVOR, int(ANYONE)}))
    assert (caller.organization, caller.person) == (None, SURVIVOR)


async def test_a_privacy_officer_is_one_where_the_token_says_so(
    owner: psycopg.Connection[Any], opened: Opened
) -> None:
    assert int(PRIVACY_OFFICER) not in (await resolved(opened)).closure
    assert int(PRIVACY_OFFICER) in (await resolved(opened, privacy_officer=True)).closure


def test_a_custodian_and_an_emergency_are_identities_of_those_that_have_them() -> None:
    assert base_closure((), has_organization=False, emergency=False) == (int(ANYONE),)
    assert int(CUSTODIAN) in base_closure((), has_organization=True, emergency=False)
    assert int(EMERGENCY) in base_closure((), has_organization=False, emergency=True)

"""Identity closures as of now: who a caller is, beyond its own rids.

Memberships (PractitionerRole, Group, CareTeam, Organization.partOf) are rows written with the directory
entry itself; `tl.directory_epoch` moves with them, so that a closure kept in memory is never stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import asyncpg

from app.consent.model import ANYONE
from app.ids import Rid
from app.storage.database import Caller, WriteConnection, base_closure

PRIVACY_OFFICER: Final = Rid(-3)
"""Grantee of the grants over the audit (`tl.index_audit`); of no other grant."""

_CLOSURE = """
WITH RECURSIVE own(rid) AS (
  SELECT unnest($1::bigint[])
  UNION
  SELECT m.belongs_to FROM own JOIN tl.membership m ON m.member = own.rid
  WHERE NOT m.deny_only AND m.valid_from <= statement_timestamp() AND m.valid_to > statement_timestamp()
    AND (m.within IS NULL OR m.within = $2::bigint)
), wide(rid) AS (
  SELECT rid FROM own
  UNION
  SELECT m.belongs_to FROM wide JOIN tl.membership m ON m.member = wide.rid WHERE m.deny_only
)
SELECT (SELECT epoch FROM tl.directory_epoch) AS epoch,
       (SELECT array_agg(rid) FROM own) AS own, (SELECT array_agg(rid) FROM wide) AS wide
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """The rids that verified claims name."""

    organization: int | None
    practitioner: int | None
    patient: int | None


async def resolve_caller(
    pool: asyncpg.Pool | WriteConnection,
    identity: Identity,
    *,
    purpose: int,
    emergency: bool,
    privacy_officer: bool = False,
) -> Caller:
    """The caller with its closures computed now.

    A survivor's own app (patient set) is that patient only: its organization lends it nothing. So is
    the app of a relative who acts for a survivor, where `patient` is a RelatedPerson's rid.
    """
    if identity.patient is not None:
        rids = [identity.patient]
        organization = None
    else:
        rids = [r for r in (identity.organization, identity.practitioner) if r is not None]
        organization = identity.organization
    await pool.execute("SELECT tl.advance_directory()")
    (row,) = await pool.fetch(_CLOSURE, rids, organization)
    return Caller(
        closure=base_closure(
            [*(row["own"] or []), *([PRIVACY_OFFICER] if privacy_officer else [])],
            has_organization=organization is not None,
            emergency=emergency,
        ),
        deny_closure=tuple(sorted({*(row["wide"] or []), int(ANYONE)})),
        purpose=purpose,
        organization=organization,
        epoch=row["epoch"],
        privacy_officer=privacy_officer,
        person=identity.patient,
    )

"""The one consent predicate, as SQL: may this caller see (or correct) this row?

Written once, rendered twice: `for_query` with statement parameters, for every statement that finds rows,
and `for_policy` with the caller's settings, for the row-level-security policies beneath
(docs/decisions/0001-the-spine.md, "two walls"). The conditions and their order mirror
`app.consent.evaluate.holds`. A row is any table that carries the consent columns: rid, type, patient,
co_subjects, open, custodian, labels, clinical_from, clinical_to.

Scalar probes with LIMIT 1 are deliberate: EXISTS inside a policy kept the planner from using the
index in the order of the page, and functions holding EXISTS are not inlined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CallerSql:
    """SQL expressions that stand for the caller: bigint[], bigint[], bigint, bigint, integer."""

    closure: str
    deny_closure: str
    purpose: str
    organization: str
    action: str


def _setting(name: str, sql_type: str) -> str:
    # After a transaction a custom setting reads as '' and not as NULL: both must mean nobody.
    # The sub-select makes it an InitPlan: read once a statement, not once a row.
    # The outer cast keeps `= ANY (…)` from reading the sub-select as a set of rows.
    return f"((SELECT NULLIF(current_setting('tl.{name}', true), '')::{sql_type})::{sql_type})"


SETTINGS: Final = CallerSql(
    closure=_setting("closure", "bigint[]"),
    deny_closure=_setting("deny_closure", "bigint[]"),
    purpose=_setting("purpose", "bigint"),
    organization=_setting("organization", "bigint"),
    action=_setting("action", "integer"),
)
"""The caller as `tl.enter` set it for this statement or transaction."""

QUERY_PARAMETERS: Final = 6
"""How many statement parameters `PARAMETERS` takes; a statement's own begin at $7."""

PARAMETERS: Final = CallerSql(
    closure="$1::bigint[]",
    deny_closure="$2::bigint[]",
    purpose="$3::bigint",
    organization="$4::bigint",
    action="$5::integer",
)
"""The caller as the first statement parameters; $6 is the directory epoch (`tl.enter`)."""

ENTER: Final = (
    "tl.enter($1::bigint[], $2::bigint[], $3::bigint, $4::bigint, $5::integer, $6::bigint)"
)


def _granted(row: str, patient: str, caller: CallerSql, *, version: bool) -> str:
    own = f"{row}.codes, {row}.refs, {row}.authors" if version else "NULL, NULL, NULL"
    return f"""(
  SELECT true FROM tl.consent_grant g
  WHERE g.patient = {patient}
    AND g.grantee = ANY ({caller.closure})
    AND g.actions & {caller.action} <> 0
    AND g.purposes & {caller.purpose} <> 0
    AND g.valid_from <= statement_timestamp()
    AND g.valid_to > statement_timestamp()
    AND g.forbidden & {row}.labels = 0
    AND (g.any_of = 0 OR g.any_of & {row}.labels <> 0)
    AND (g.custodian IS NULL OR g.custodian = {row}.custodian
         OR (g.custodian = -2 AND {row}.custodian = {caller.organization}))
    AND (g.excluded IS NULL OR NOT g.excluded && {caller.deny_closure})
    AND (g.types IS NULL OR {row}.type = ANY (g.types))
    AND (g.not_types IS NULL OR {row}.type <> ALL (g.not_types))
    AND (g.data_from IS NULL
         OR ({row}.clinical_from >= g.data_from AND {row}.clinical_to <= g.data_to))
    AND (g.residual IS NULL
         OR tl.residual(g.residual, {row}.rid, {row}.type, {row}.labels, {row}.custodian,
                        {row}.clinical_from, {row}.clinical_to, {caller.closure},
                        {caller.deny_closure}, {caller.purpose}, {caller.action}, {own}))
  LIMIT 1)"""


def visible(row: str, caller: CallerSql, *, version: bool = False) -> str:
    """The predicate over table alias `row`; SQL text whose value is true, false or null (false).

    version: the row is a superseded version, which carries its own codes and references.
    """
    # An open directory entry is read by everybody and corrected by its custodian alone (an organization
    # by itself too): who could correct a role or a group could make himself a member of it.
    return f"""(CASE WHEN {row}.patient IS NULL
  THEN ({row}.open AND {caller.action} = 1)
    OR {caller.organization} IN ({row}.custodian, {row}.rid)
  ELSE {_granted(row, f"{row}.patient", caller, version=version)}
   AND ({row}.co_subjects IS NULL OR (
     SELECT bool_and(coalesce({_granted(row, "other.subject", caller, version=version)}, false))
     FROM unnest({row}.co_subjects) AS other(subject)))
END)"""


def for_query(row: str, *, version: bool = False) -> str:
    """The predicate with the caller in statement parameters $1 to $5."""
    return visible(row, PARAMETERS, version=version)


def for_policy(row: str, *, version: bool = False) -> str:
    """The predicate with the caller in settings; no caller set means no row."""
    # A directory row is open to every caller, but to nobody where no caller is set at all.
    return f"({SETTINGS.closure} IS NOT NULL AND {visible(row, SETTINGS, version=version)})"

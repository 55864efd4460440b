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

from app.storage import scope_sql


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


def _here(name: str, sql_type: str) -> str:
    return f"NULLIF(current_setting('tl.{name}', true), '')::{sql_type}"


_HERE: Final = CallerSql(
    closure=_here("closure", "bigint[]"),
    deny_closure=_here("deny_closure", "bigint[]"),
    purpose=_here("purpose", "bigint"),
    organization=_here("organization", "bigint"),
    action=_here("action", "integer"),
)
"""The settings without sub-selects, for what few rows ask: an InitPlan costs each statement 1 µs to
set up, whether it is ever read or not."""

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

ENTRY: Final = """(SELECT
  (SELECT e.epoch = $6::bigint AND statement_timestamp() < e.next_change FROM tl.directory_epoch e)
  AND set_config('tl.closure', $1::bigint[]::text, true) IS NOT NULL
  AND set_config('tl.deny_closure', $2::bigint[]::text, true) IS NOT NULL
  AND set_config('tl.purpose', $3::bigint::text, true) IS NOT NULL
  AND set_config('tl.organization', coalesce($4::bigint::text, ''), true) IS NOT NULL
  AND set_config('tl.action', $5::integer::text, true) IS NOT NULL AS fresh
OFFSET 0)"""
"""What `tl.enter` does, as a sub-select: a statement of one row is a tenth quicker with it. It sets nothing
for a caller whose closure is stale."""


def _rarely(caller: CallerSql) -> CallerSql:
    """The same caller, for conditions that few rows come to."""
    return CallerSql(
        **{
            name: getattr(_HERE, name) if text == getattr(SETTINGS, name) else text
            for name in CallerSql.__dataclass_fields__
            if (text := getattr(caller, name))
        }
    )


def _own(row: str, *, version: bool) -> str:
    return f"{row}.codes, {row}.refs, {row}.authors" if version else "NULL, NULL, NULL"


def _granted(row: str, patient: str, caller: CallerSql, own: str) -> str:
    rare = _rarely(caller)
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
                        {row}.clinical_from, {row}.clinical_to, {rare.closure},
                        {rare.deny_closure}, {rare.purpose}, {rare.action}, {own}))
  LIMIT 1)"""


def visible(row: str, caller: CallerSql, *, version: bool = False) -> str:
    """The predicate over table alias `row`; SQL text whose value is true, false or null (false).

    version: the row is a superseded version, which carries its own codes and references.
    """
    # An open directory entry is read by everybody and corrected by its custodian alone (an organization
    # by itself too): who could correct a role or a group could make himself a member of it.
    own, rare = _own(row, version=version), _rarely(caller)
    return f"""(CASE WHEN {row}.patient IS NULL
  THEN ({row}.open AND {caller.action} = 1)
    OR {caller.organization} IN ({row}.custodian, {row}.rid)
  ELSE {_granted(row, f"{row}.patient", caller, own)}
   AND ({row}.co_subjects IS NULL OR tl.co_granted(
     {row}.co_subjects, {row}.rid, {row}.type, {row}.labels, {row}.custodian,
     {row}.clinical_from, {row}.clinical_to, {rare.closure}, {rare.deny_closure}, {rare.purpose},
     {rare.organization}, {rare.action}, {own}))
END)"""


def co_granted() -> str:
    """The body of `tl.co_granted`: every further data subject of the row grants it too.

    Few rows have further data subjects; in line, their part cost every statement a third of the whole.
    """
    inputs = CallerSql(**{name: f"co_granted.{name}" for name in CallerSql.__dataclass_fields__})
    granted = _granted("co_granted", "other.subject", inputs, _own("co_granted", version=True))
    return (
        f"SELECT bool_and(coalesce({granted}, false)) "
        "FROM unnest(co_granted.subjects) AS other(subject)"
    )


def for_query(row: str, *, version: bool = False) -> str:
    """The predicate with the caller in statement parameters $1 to $5, and the place for its scopes."""
    return visible(row, PARAMETERS, version=version) + scope_sql.mark(row)


def for_policy(row: str, *, version: bool = False) -> str:
    """The predicate with the caller in settings; no caller set means no row."""
    # A directory row is open to every caller, but to nobody where no caller is set at all.
    return f"({SETTINGS.closure} IS NOT NULL AND {visible(row, SETTINGS, version=version)})"

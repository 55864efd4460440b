"""The one consent predicate, as SQL: may this caller see (or correct) this row?

Written once, rendered twice: `for_query` with statement parameters, for every statement that finds rows,
and `for_policy` with the caller's settings, for the row-level-security policies beneath
(docs/decisions/0001-the-spine.md, "two walls"). The conditions and their order mirror
`app.consent.evaluate.holds`. A row is any table that carries the consent columns: rid, type, patient,
co_subjects, open, custodian, labels, clinical_from, clinical_to, code_mask.

Scalar probes with LIMIT 1 are deliberate: EXISTS inside a policy kept the planner from using the
index in the order of the page, and functions holding EXISTS are not inlined.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
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


_ASKING: Final = tuple(CallerSql.__dataclass_fields__)
"""What a function is told of its caller, in this order."""

_PURPOSES: Final = (1 << 60) - 1
"""The bits of purposes in `tl.need` and `tl.consent_grant.withheld`; above them stand those of actions."""

_READ: Final = {
    "closure": ("closure", "{}::bigint[]"),
    "deny_closure": ("deny_closure", "{}::bigint[]"),
    "purpose": ("need", f"({{}}::bigint & {_PURPOSES})"),
    "organization": ("organization", "{}::bigint"),
    "action": ("need", "({}::bigint >> 60 & 3)::integer"),
    "need": ("need", "{}::bigint"),
    "record": ("record", "({}::bigint[])[1]"),
    "record_forbidden": ("record", "({}::bigint[])[2]"),
    "record_custodian": ("record", "({}::bigint[])[3]"),
    "record_refused": ("record", "({}::bigint[])[4]"),
}
"""What is known of the caller: the setting of `tl.enter` that carries it, and how it is read from that."""


def need(purpose: int, action: int) -> int:
    """Why and what in one, as `consent_grant.withheld` has them; what every grant withholds without a purpose.

    purpose: a bit, or 0. action: 1 to read, 2 to correct. A signed bigint, as of `tl.need`.
    """
    return (purpose or -(1 << 63)) | action << 60


def _here(name: str) -> str:
    # After a transaction a custom setting reads as '' and not as NULL: both must mean nobody, and the planner
    # reads it too, where it guesses how many rows there are.
    setting, form = _READ[name]
    return form.format(f"NULLIF(current_setting('tl.{setting}', true), '')")


def _once(name: str, sql_type: str) -> str:
    # The sub-select makes it an InitPlan: read once a statement, not once a row; but making one costs each
    # statement a microsecond, read or not. The outer cast keeps `= ANY (…)` from reading it as a set of rows.
    return f"((SELECT {_here(name)})::{sql_type})"


def correcting(caller: CallerSql) -> CallerSql:
    """The same caller, asking to correct."""
    return replace(caller, action="2")


def inputs_of(function: str) -> CallerSql:
    """The caller as the inputs of a function of the database."""
    return CallerSql(**{name: f"{function}.{name}" for name in _ASKING})


SETTINGS: Final = CallerSql(
    closure=_once("closure", "bigint[]"),
    deny_closure=_here("deny_closure"),
    purpose=_once("purpose", "bigint"),
    organization=_once("organization", "bigint"),
    action=_once("action", "integer"),
)
"""The caller as `tl.enter` set it for this statement or transaction."""

KEYED: Final = replace(SETTINGS, closure=_here("closure"), organization=_here("organization"))
"""The same for one row found by its key: what is read once or twice needs no place of its own."""

QUERY_PARAMETERS: Final = 6
"""How many statement parameters `PARAMETERS` takes; a statement's own begin at $7."""

_NEED: Final = "$3::bigint"
"""What the caller needs of a grant, by statement parameter: see `need`."""

PARAMETERS: Final = CallerSql(
    closure="$1::bigint[]",
    deny_closure="$2::bigint[]",
    purpose=f"({_NEED} & {_PURPOSES})",
    organization="$4::bigint",
    action="$5::integer",
)
"""The caller as the first statement parameters; $6 is the directory epoch (`tl.enter`)."""

BY_KEY: Final = "tl.resource_by_key"
"""The view of tl.resource by which single rows about one survivor are read; under a policy of its own."""

OTHERS: Final = "tl.others_token"
"""The view of tl.index_token through which a population is counted (`walked`)."""

ENTER: Final = (
    f"tl.enter({PARAMETERS.closure}, {PARAMETERS.deny_closure}, {PARAMETERS.purpose}, "
    f"{PARAMETERS.organization}, {PARAMETERS.action}, $6::bigint)"
)

# Each parameter is named here, so that a body may do without it.
_CALLER_SET: Final = f"""
  e.epoch = $6::bigint AND statement_timestamp() < e.next_change AND $5::integer IS NOT NULL
  AND set_config('tl.closure', $1::bigint[]::text, true) IS NOT NULL
  AND set_config('tl.deny_closure', $2::bigint[]::text, true) IS NOT NULL
  AND set_config('tl.need', {_NEED}::text, true) IS NOT NULL
  AND set_config('tl.organization', coalesce($4::bigint::text, ''), true) IS NOT NULL"""


def entry(record: str | None = None) -> str:
    """What `tl.enter` does, as a sub-select of one row: a statement of one row is a tenth quicker with it.

    It sets nothing for a caller whose closure is stale.
    record: a scalar sub-select that names a Patient (rid) whose record most of the statement's rows are. The
    plainest grant that the caller has there is then looked up once, and rows that it covers are not asked of
    the grants one by one (`_of_the_record`). Which Patient is named decides about speed alone.
    """
    if record is None:
        return f"(SELECT{_CALLER_SET} AS fresh\nFROM tl.directory_epoch e OFFSET 0)"
    c = PARAMETERS
    whose = f"CASE WHEN g.custodian = -2 THEN {c.organization} END"
    plainest = f"""(SELECT ARRAY[g.patient, g.forbidden, {whose}, coalesce(g.refused_mask, 0)]::text
    FROM tl.consent_grant g
    WHERE g.patient = ({record}) AND g.grantee = ANY ({c.closure}) AND {_asked(c)}
      AND g.valid_from <= statement_timestamp() AND g.valid_to > statement_timestamp()
      AND (g.plain OR ({_BUT_FOR_CODES})) AND (g.custodian IS NULL OR {c.organization} IS NOT NULL)
      AND (g.excluded IS NULL OR NOT g.excluded && {c.deny_closure})
    ORDER BY g.custodian IS NOT NULL, bit_count(g.forbidden::bit(64)), coalesce(g.refused_mask, 0) <> 0
    LIMIT 1)"""
    kept = f"set_config('tl.record', coalesce({plainest}, ''), true) IS NOT NULL"
    return f"(SELECT{_CALLER_SET}\n  AND {kept} AS fresh\nFROM tl.directory_epoch e OFFSET 0)"


_BUT_FOR_CODES: Final = """g.refused_mask IS NOT NULL AND g.any_of = 0 AND g.types IS NULL
        AND g.not_types IS NULL AND g.data_from IS NULL AND (g.custodian IS NULL OR g.custodian = -2)"""
"""The grant would be plain if it refused no codes."""


def _of_the_record(row: str, *, version: bool) -> str:
    """The row is covered by the grant that `entry` has looked up: it is what `_granted` would find."""
    # A version's own codes have no mask: it is covered where no codes are refused.
    codes = "-1" if version else f"coalesce({row}.code_mask, -1)"
    custodian = _once("record_custodian", "bigint")
    return (
        f"({row}.patient = {_once('record', 'bigint')} AND {row}.co_subjects IS NULL "
        f"AND {row}.labels & {_once('record_forbidden', 'bigint')} = 0 "
        f"AND {codes} & {_once('record_refused', 'bigint')} = 0 "
        f"AND coalesce({custodian}, {row}.custodian) = {row}.custodian)"
    )


def own(row: str, *, version: bool) -> str:
    """Codes, references and authors that a superseded version carries itself; nulls for what stands now."""
    return f"{row}.codes, {row}.refs, {row}.authors" if version else "NULL, NULL, NULL"


def _granted(
    row: str,
    patient: str,
    caller: CallerSql,
    asked: str,
    *,
    version: bool,
    told: str = "true",
    order: str = "",
) -> str:
    beyond = _special_called(row, caller, version=version)
    held = _held(row, patient, caller, asked, beyond)
    return f"""(
  SELECT {told} FROM tl.consent_grant g
  {held}
  {order}LIMIT 1)"""


def _held(row: str, patient: str, caller: CallerSql, asked: str, beyond: str) -> str:
    """WHERE of the grants of a patient by which the caller may see the row; beyond: `_SPECIAL` of the row."""
    return f"""WHERE g.patient = {patient}
    AND g.grantee = ANY ({caller.closure})
    AND {asked}
    AND g.valid_from <= statement_timestamp()
    AND g.valid_to > statement_timestamp()
    AND g.forbidden & {row}.labels = 0
    AND (g.excluded IS NULL OR NOT g.excluded && {caller.deny_closure})
    AND CASE WHEN g.plain THEN g.custodian IS NULL OR {row}.custodian = {caller.organization}
        ELSE {beyond} END"""


_SELDOM: Final = """(g.any_of = 0 OR g.any_of & special.labels <> 0)
    AND (g.custodian IS NULL OR g.custodian = special.custodian
         OR (g.custodian = -2 AND special.custodian = coalesce(special.organization, {organization_here})))
    AND (g.types IS NULL OR special.type = ANY (g.types))
    AND (g.not_types IS NULL OR special.type <> ALL (g.not_types))"""
"""What few grants ask of a row: one of some labels, a custodian, types."""

_SELDOM_ASKED: Final = """g.any_of <> 0 OR g.custodian IS NOT NULL
     OR g.types IS NOT NULL OR g.not_types IS NOT NULL"""

_IN_PERIOD: Final = """(g.data_from IS NULL
         OR (special.clinical_from >= g.data_from AND special.clinical_to <= g.data_to))"""

_NO_RESIDUAL: Final = "g.residual IS NULL OR g.refused_mask & special.code_mask = 0"
"""Nothing is left to ask: what is left are refused codes at most, and the row has none of them."""

_RESIDUAL: Final = """tl.residual(g.residual, special.rid, special.type, special.labels, special.custodian,
                        special.clinical_from, special.clinical_to, special.closure,
                        special.deny_closure, special.purpose, special.action,
                        special.codes, special.refs, special.authors)"""

_SPECIAL: Final = f"{_SELDOM}\n    AND {_IN_PERIOD}\n    AND ({_NO_RESIDUAL} OR {_RESIDUAL})"
"""What a grant that is not plain asks besides. A plain one asks for no further label, type or time, has no
residual, and holds for all custodians or for the caller's own rows (`tl.consent_grant.plain`); it is what
most rows come to, and each condition in line costs every statement its making, met or not."""

_STEPS: Final = f"""IF {_SELDOM_ASKED} THEN
    IF ({_SELDOM}) IS NOT TRUE THEN
      RETURN false;
    END IF;
  END IF;
  IF {_NO_RESIDUAL} THEN
    RETURN {_IN_PERIOD};
  END IF;
  RETURN {_IN_PERIOD} AND {_RESIDUAL};"""
"""`_SPECIAL` as the body of `tl.special`. PL/pgSQL makes an expression anew in each transaction that comes to
it, at a cost for each part: so what is asked apart is made apart."""


_OF_THE_PRESENT: Final = {"codes": "NULL", "refs": "NULL", "authors": "NULL"}


def _special_with(text: str, told: dict[str, str], row: str) -> str:
    return re.sub(r"\bspecial\.(\w+)", lambda found: told.get(found[1], f"{row}.{found[1]}"), text)


def _special_of(row: str, caller: CallerSql) -> str:
    """`_SPECIAL` of a row in line, for a statement that is long enough to be worth its making."""
    told = {name: _unless_here(getattr(caller, name), name) for name in _ASKING}
    text = _special_with(_SPECIAL, _OF_THE_PRESENT | told, row)
    return text.format(organization_here=_here("organization"))


def _special_called(row: str, caller: CallerSql, *, version: bool) -> str:
    """`_SPECIAL` of a row as a call, with the fewest inputs.

    In line it cost a statement as much as ten calls, and each statement has the predicate three or four times.
    """
    facts = f"g, {_facts(row)}"
    carried = own(row, version=version)
    if version:
        return f"tl.special({facts}, NULL, {asking(caller)}, {carried})"
    facts += f", {row}.code_mask"
    if caller in (SETTINGS, KEYED):
        return f"tl.special({facts})"
    if caller == PARAMETERS:
        return f"tl.special({facts}, {caller.closure}, {caller.deny_closure}, {_NEED}, {caller.organization})"
    return f"tl.special({facts}, {asking(caller)}, {carried})"


def _specials() -> dict[str, str]:
    """The bodies of the three forms of `tl.special`."""
    nobody = dict.fromkeys(_ASKING, "NULL")
    told = {
        name: form.format("special.need")
        for name, (_, form) in _READ.items()
        if name in ("purpose", "action")
    }
    return {
        "special": _STEPS,
        "special_told": _special_with(_STEPS, _OF_THE_PRESENT | told, "special"),
        "special_here": _special_with(_STEPS, _OF_THE_PRESENT | nobody, "special"),
    }


def _facts(row: str) -> str:
    columns = ("rid", "type", "labels", "custodian", "clinical_from", "clinical_to")
    return ", ".join(f"{row}.{name}" for name in columns)


def _asked(caller: CallerSql) -> str:
    """The grant is for what the caller does, and for why."""
    if caller == PARAMETERS:
        # In one, because each part of an expression is made anew for every statement.
        return _withholds_none(_NEED)
    return f"g.actions & {caller.action} <> 0 AND g.purposes & {caller.purpose} <> 0"


def _withholds_none(needed: str) -> str:
    return f"g.withheld & {needed} = 0"


def asking(caller: CallerSql) -> str:
    """The caller, for a function: it reads the settings itself where it is given nulls."""
    return ", ".join(_unless_here(getattr(caller, name), name) for name in _ASKING)


def _unless_here(text: str, name: str) -> str:
    return "NULL" if text in (getattr(SETTINGS, name), getattr(KEYED, name)) else text


def bodies() -> dict[str, str]:
    """What is put into the functions of sql/routines.sql: the forms of special, co_granted, here."""
    here = {f"{name}_here": _here(name) for name in _ASKING}
    return _specials() | {"co_granted": _co_granted(), "here": _here_inputs()} | here


def _here_inputs() -> str:
    return "\n  ".join(f"{name} := coalesce({name}, {_here(name)});" for name in _ASKING)


def permitting(row: str, told: str, order: str) -> str:
    """What is told of the grant by which the statement's caller sees a row that is about somebody.

    told: SQL over the grant `g`; order: which of several grants is meant, as ORDER BY. A scalar sub-select.
    """
    return _granted(
        *(row, f"{row}.patient", PARAMETERS, _asked(PARAMETERS)),
        version=False,
        told=told,
        order=f"ORDER BY {order} ",
    )


def visible(row: str, caller: CallerSql, *, version: bool = False, record: bool = False) -> str:
    """The predicate over table alias `row`; SQL text whose value is true, false or null (false).

    version: the row is a superseded version, which carries its own codes and references. record: for a
    statement entered with one (`entry`).
    """
    # An open directory entry is read by everybody and corrected by its custodian alone (an organization
    # by itself too): who could correct a role or a group could make himself a member of it.
    open_ = f"({row}.open AND {caller.action} = 1) OR {caller.organization} IN ({row}.custodian, {row}.rid)"
    return _visible(row, caller, open_, _asked(caller), version=version, record=record)


def _visible(
    row: str, caller: CallerSql, open_: str, asked: str, *, version: bool, record: bool
) -> str:
    covered = f"{_of_the_record(row, version=version)} OR " if record else ""
    return f"""(CASE WHEN {row}.patient IS NULL THEN {open_}
  ELSE {covered}{_granted(row, f"{row}.patient", caller, asked, version=version)}
   AND {_by_all(row, caller, version=version)}
END)"""


def _by_all(row: str, caller: CallerSql, *, version: bool) -> str:
    """The further data subjects of the row, where it has any, grant it too."""
    return f"""({row}.co_subjects IS NULL OR tl.co_granted(
     {row}.co_subjects, {_facts(row)}, {asking(caller)}, {own(row, version=version)}))"""


def walked(row: str, caller: CallerSql) -> str:
    """The predicate for rows about somebody that another organization keeps, where very many are walked.

    The same conditions as in `_granted`, as EXISTS at the top of a statement: PostgreSQL then reads the
    caller's grants once and finds each row's by hashing. Grants for one's own rows, one a survivor, are left
    out: they hold for no such row. Never true where `patient` is null.
    """
    held = _held(row, f"{row}.patient", caller, _asked(caller), _special_of(row, caller))
    all_ = _by_all(row, caller, version=False)
    return f"""({row}.custodian IS DISTINCT FROM {caller.organization}
 AND EXISTS (SELECT FROM tl.consent_grant g
  {held} AND g.custodian IS DISTINCT FROM -2)
 AND {all_})"""


def walk_for_query(row: str) -> str:
    """`for_query` in the form of `walked`, for rows of `OTHERS`; `walk_rest` says which are left."""
    return walked(row, PARAMETERS) + scope_sql.mark(row)


def walk_rest(row: str, caller: CallerSql = PARAMETERS) -> str:
    """SQL: that `walked` is not true of the row, whatever the grants. Cheap, and asked before any policy."""
    return f"({row}.patient IS NULL OR {row}.custodian = {caller.organization})"


def walk_for_view(row: str) -> str:
    """The same with the caller in settings, for the view through which alone a walk reads."""
    return walked(row, replace(SETTINGS, deny_closure=_once("deny_closure", "bigint[]")))


def _co_granted() -> str:
    """The body of `tl.co_granted`: every further data subject of the row grants it too.

    Few rows have further data subjects; in line, their part cost every statement a third of the whole.
    """
    inputs = inputs_of("co_granted")
    granted = _granted("co_granted", "other.subject", inputs, _asked(inputs), version=True)
    return (
        f"SELECT bool_and(coalesce({granted}, false)) "
        "FROM unnest(co_granted.subjects) AS other(subject)"
    )


def for_query(row: str, *, version: bool = False, record: bool = False) -> str:
    """The predicate with the caller in statement parameters $1 to $5, and the place for its scopes."""
    return visible(row, PARAMETERS, version=version, record=record) + scope_sql.mark(row)


def for_policy(row: str, *, version: bool = False) -> str:
    """The predicate with the caller in settings; no caller set means no row.

    The same conditions in fewer pieces, because each is made anew for every statement: the directory's in a
    function, action and purpose in one setting against what a grant withholds.
    """
    open_ = f"tl.open_to({row}.open, {row}.custodian, {row}.rid)"
    asked = _withholds_none(_once("need", "bigint"))
    return _visible(row, SETTINGS, open_, asked, version=version, record=True)


def about_one(row: str, caller: CallerSql, asked: str) -> str:
    """The predicate for a single row that is about one survivor and nobody else; not true of every other row.

    Each part of an expression is made anew for every statement, and of a read that goes alone this is half of
    what it costs: so what few rows need is left to the other form, which is asked where this finds nothing.
    """
    held = _held(row, f"{row}.patient", caller, asked, _special_called(row, caller, version=False))
    # IS TRUE, or it would become a join, which takes longer for one row.
    return f"({row}.co_subjects IS NULL AND (EXISTS (SELECT FROM tl.consent_grant g\n  {held})) IS TRUE)"


def keyed_for_query(row: str) -> str:
    """`about_one` for a row of `BY_KEY`, as `for_query`."""
    return about_one(row, PARAMETERS, _asked(PARAMETERS)) + scope_sql.mark(row)


def for_keyed_policy(row: str) -> str:
    """The same for the readers' role, through whose view (`BY_KEY`) single rows are read by key.

    The grants that it asks are under no policy of their own: making these took as long as asking.
    """
    return about_one(row, KEYED, _withholds_none(_here("need")))

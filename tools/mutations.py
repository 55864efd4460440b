"""What `tools/mutants.py` deletes: each condition that decides what a caller sees, one at a time.

The predicate and its two places for further data subjects and directory entries; the exact conditions of
`tl.residual`; the epoch, the caller's scopes and identities that stand beside it; labelled elements
(`tools/element_mutations.py`); the places where statements ask it (`tools/place_mutations.py`); the functions
of the keeper (`tools/door_mutations.py`); and the policies beneath. A condition is found by its text, so that
a changed one is missed here at once (`tests/consent/test_mutations.py`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tools import door_mutations, element_mutations, place_mutations
from tools.mutant import POLICIES, ROUTINES, Mutant

PREDICATE = "app/storage/predicate.py"
SCOPES = "app/storage/scope_sql.py"
DATABASE = "app/storage/database.py"


def mutants(root: Path) -> list[Mutant]:
    """All of them, for the files as they stand."""
    return [
        *_conjuncts((root / PREDICATE).read_text()),
        *_WITHIN,
        *_WALK,
        *_DIRECTORY,
        *_FURTHER_SUBJECTS,
        *_operators((root / ROUTINES).read_text()),
        *_RESIDUAL,
        *_EPOCH,
        *_SCOPES,
        *_IDENTITIES,
        *_policies((root / POLICIES).read_text()),
        *element_mutations.mutants(root),
        *place_mutations.mutants(root),
        *door_mutations.mutants(root),
    ]


def _conjuncts(text: str) -> Iterator[Mutant]:
    """Each conjunct of what is asked of every grant, and of what is asked of one that is not plain."""
    start = text.index("WHERE g.patient = {patient}")
    block = text[start : text.index('"""', start)]
    marks = [m.start() for m in re.finditer(r"\n    AND ", block)] + [len(block)]
    yield Mutant("g.patient = the patient", PREDICATE, block[: marks[0]], "WHERE true")
    for low, high in itertools.pairwise(marks):
        clause = block[low:high]
        yield Mutant(" ".join(clause.split())[4:60], PREDICATE, clause)
    start = text.index('_SELDOM: Final = """') + len('_SELDOM: Final = """')
    block = text[start : text.index('"""', start)]
    marks = [m.start() for m in re.finditer(r"\n    AND ", block)] + [len(block)]
    yield Mutant("special: " + block[: marks[0]], PREDICATE, block[: marks[0]], "true")
    for low, high in itertools.pairwise(marks):
        clause = block[low:high]
        yield Mutant("special: " + " ".join(clause.split())[4:60], PREDICATE, clause)


_PLAIN = "g.custodian IS NULL OR {row}.custodian = {caller.organization}\n"
_ASKED = 'f"g.actions & {caller.action} <> 0 AND g.purposes & {caller.purpose} <> 0"'
_WITHIN = (
    Mutant("a plain grant's custodian", PREDICATE, _PLAIN, "true\n"),
    Mutant(
        "action and purpose, asked by the query",
        PREDICATE,
        "return _withholds_none(_NEED)",
        'return "true"',
    ),
    Mutant(
        "the action, asked for a further subject",
        PREDICATE,
        _ASKED,
        'f"g.purposes & {caller.purpose} <> 0"',
    ),
    Mutant(
        "the purpose, asked for a further subject",
        PREDICATE,
        _ASKED,
        'f"g.actions & {caller.action} <> 0"',
    ),
    Mutant(
        "action and purpose, asked by the policy",
        PREDICATE,
        '_withholds_none(_once("need", "bigint"))',
        '"true"',
    ),
    Mutant(
        "custodian -2 is the caller's own",
        PREDICATE,
        "(g.custodian = -2 AND special.custodian = coalesce(special.organization, {organization_here}))",
        "g.custodian = -2",
    ),
    Mutant(
        "refused codes: asked where bits meet",
        PREDICATE,
        "g.refused_mask & special.code_mask = 0",
        "g.refused_mask IS NOT NULL",
    ),
    Mutant("data period, its start", PREDICATE, "special.clinical_from >= g.data_from AND "),
    *(
        Mutant(f"special, {name}", PREDICATE, old, new)
        for name, old, new in (
            ("seldom asked: labels", "g.any_of <> 0 OR ", ""),
            ("seldom asked: its custodian", "OR g.custodian IS NOT NULL\n", "\n"),
            ("seldom asked: types", "     OR g.types IS NOT NULL OR g.not", "     OR g.not"),
            ("seldom asked: types refused", ' OR g.not_types IS NOT NULL"', '"'),
            ("seldom asked: refuses", "      RETURN false;\n", ""),
            ("in line: data period", "{_SELDOM}\\n    AND {_IN_PERIOD}", "{_SELDOM}"),
            ("in line: seldom asked", "{_SELDOM}\\n    AND {_IN_PERIOD}", "{_IN_PERIOD}"),
            ("in line: residual", "({_NO_RESIDUAL} OR {_RESIDUAL})", "true"),
            ("a step: data period", "    RETURN {_IN_PERIOD};", "    RETURN true;"),
            ("residual", "g.residual IS NULL OR g.refused_mask & special.code_mask = 0", "true"),
            ("a residual besides", "RETURN {_IN_PERIOD} AND {_RESIDUAL};", "RETURN {_IN_PERIOD};"),
            ("a period besides", "RETURN {_IN_PERIOD} AND {_RESIDUAL};", "RETURN {_RESIDUAL};"),
        )
    ),
    Mutant("data period, its end", PREDICATE, " AND special.clinical_to <= g.data_to"),
    Mutant(
        "a version carries its own codes, references and authors",
        PREDICATE,
        'f"{row}.codes, {row}.refs, {row}.authors" if version else "NULL, NULL, NULL"',
        '"NULL, NULL, NULL"',
    ),
    Mutant(
        "the record's shortcut is the record's alone",
        PREDICATE,
        "{row}.patient = {_once('record', 'bigint')} AND ",
    ),
    Mutant(
        "the record's shortcut, further subjects",
        PREDICATE,
        '{row}.co_subjects IS NULL "',
        'true "',
    ),
    Mutant(
        "the record's shortcut, labels",
        PREDICATE,
        "{row}.labels & {_once('record_forbidden', 'bigint')} = 0",
        "true",
    ),
    Mutant(
        "the record's shortcut, refused codes",
        PREDICATE,
        "{codes} & {_once('record_refused', 'bigint')} = 0",
        "true",
    ),
    Mutant(
        "the record's shortcut, refused codes of a version",
        PREDICATE,
        'codes = "-1" if version else f"coalesce({row}.code_mask, -1)"',
        'codes = "0" if version else f"coalesce({row}.code_mask, -1)"',
    ),
    Mutant(
        "the record's shortcut, codes of a row without a mask",
        PREDICATE,
        "coalesce({row}.code_mask, -1)",
        "coalesce({row}.code_mask, 0)",
    ),
    *(
        Mutant(f"the record's grant, {name}", PREDICATE, condition)
        for name, condition in (
            ("its labels", "g.any_of = 0 AND "),
            ("its types", "AND g.types IS NULL\n"),
            ("types refused", "g.not_types IS NULL AND "),
            ("its data period", " AND g.data_from IS NULL"),
            ("its custodian", " AND (g.custodian IS NULL OR g.custodian = -2)"),
        )
    ),
    Mutant(
        "the record's shortcut, custodian",
        PREDICATE,
        "coalesce({custodian}, {row}.custodian) = {row}.custodian",
        "true",
    ),
    Mutant("the record's grant is the caller's", PREDICATE, " AND g.grantee = ANY ({c.closure})"),
    Mutant("the record's grant, action and purpose", PREDICATE, " AND {_asked(c)}"),
    Mutant(
        "the record's grant, its time",
        PREDICATE,
        "g.valid_from <= statement_timestamp() AND g.valid_to > statement_timestamp()\n      AND ",
    ),
    Mutant(
        "the record's grant is plain but for codes",
        PREDICATE,
        "AND (g.plain OR ({_BUT_FOR_CODES})) AND (",
        "AND (",
    ),
    Mutant(
        "the record's grant of a custodian is an organization's",
        PREDICATE,
        " AND (g.custodian IS NULL OR {c.organization} IS NOT NULL)",
    ),
    Mutant(
        "the record's grant of whom it excludes",
        PREDICATE,
        "\n      AND (g.excluded IS NULL OR NOT g.excluded && {c.deny_closure})",
    ),
)

_WALK = (
    Mutant(
        "a walk of what others keep",
        PREDICATE,
        "({row}.custodian IS DISTINCT FROM {caller.organization}\n AND ",
        "(",
    ),
    Mutant("a walk, further data subjects", PREDICATE, " AND {all_})", ")"),
    Mutant(
        "the rest of a walk: directory entries",
        PREDICATE,
        '{row}.patient IS NULL OR {row}.custodian = {caller.organization})"',
        '{row}.custodian = {caller.organization})"',
    ),
    Mutant(
        "the rest of a walk: one's own",
        PREDICATE,
        '({row}.patient IS NULL OR {row}.custodian = {caller.organization})"',
        '({row}.patient IS NULL)"',
    ),
    Mutant(
        "the scopes of a walk",
        PREDICATE,
        "walked(row, PARAMETERS) + scope_sql.mark(row)",
        "walked(row, PARAMETERS)",
    ),
    Mutant("the view of counts", POLICIES, "{predicate.walk_for_view('d')} AND ", ""),
)

_OPEN = "({row}.open AND {caller.action} = 1)"
_DIRECTORY = (
    Mutant("open", PREDICATE, _OPEN, "({caller.action} = 1)"),
    Mutant("open for reading only", PREDICATE, _OPEN, "({row}.open)"),
    Mutant(
        "the directory entry's custodian",
        PREDICATE,
        "{caller.organization} IN ({row}.custodian, {row}.rid)",
        "true",
    ),
    Mutant(
        "open to nobody unset",
        ROUTINES,
        "NULLIF(current_setting('tl.closure', true), '') IS NOT NULL\n",
        "true\n",
    ),
    Mutant("open, by the policy", ROUTINES, "coalesce((open AND ", "coalesce(("),
    Mutant(
        "open for reading only, by the policy", ROUTINES, "::bigint >> 60 & 3 = 1)", " IS NOT NULL)"
    ),
    Mutant(
        "the directory entry's custodian, by the policy",
        ROUTINES,
        "::bigint IN (custodian, rid), false)",
        " IS NOT NULL, false)",
    ),
)

_FURTHER = "({row}.co_subjects IS NULL OR tl.co_granted("
_FURTHER_SUBJECTS = (
    Mutant("co_subjects", PREDICATE, _FURTHER, "(true OR tl.co_granted("),
    Mutant(
        "every further subject, not one of them", PREDICATE, "SELECT bool_and(", "SELECT bool_or("
    ),
    Mutant(
        "a further subject without a grant refuses",
        PREDICATE,
        "bool_and(coalesce({granted}, false))",
        "bool_and({granted})",
    ),
    Mutant(
        "reads by key: about nobody else",
        PREDICATE,
        "({row}.co_subjects IS NULL AND (EXISTS",
        "((EXISTS",
    ),
    Mutant(
        "the further subject's own grants",
        PREDICATE,
        '"co_granted", "other.subject", inputs',
        '"co_granted", "g.patient", inputs',
    ),
)


def _operators(text: str) -> Iterator[Mutant]:
    """Each operator of a residual, always true and always false."""
    start = text.index("verdict := CASE operator")
    block = text[start : text.index("ELSE NULL", start)]
    found = list(re.finditer(r"\n        WHEN '(\w+)' THEN ", block))
    ends = [m.start() for m in found[1:]] + [block.rindex("\n")]
    for match, end in zip(found, ends, strict=True):
        clause = block[match.start() : end]
        for verdict in ("true", "false"):
            name = f"residual {match[1]}, always {verdict}"
            yield Mutant(name, ROUTINES, clause, f"{match[0]}{verdict}")


_RESIDUAL = (
    Mutant(
        "residual: every clause, not one",
        ROUTINES,
        "    IF NOT satisfied THEN RETURN false; END IF;\n",
    ),
    Mutant(
        "residual: an unknown operator refuses",
        ROUTINES,
        "      IF verdict IS NULL THEN RETURN false; END IF;\n",
        "      IF verdict IS NULL THEN verdict := false; END IF;\n",
    ),
    Mutant(
        "residual: negation",
        ROUTINES,
        "IF verdict <> (literal ->> 0)::boolean THEN",
        "IF verdict THEN",
    ),
    Mutant(
        "residual: a row of no known time lies within no period",
        ROUTINES,
        "coalesce(clinical_from >= low AND clinical_to <= high, false)",
        "coalesce(clinical_from >= low AND clinical_to <= high, true)",
    ),
    Mutant(
        "residual: a version's own codes",
        ROUTINES,
        "CASE WHEN row_codes IS NOT NULL THEN row_codes && args\n",
        "CASE WHEN row_codes IS NOT NULL AND false THEN row_codes && args\n",
    ),
    Mutant(
        "codes alone: a version's own",
        ROUTINES,
        "CASE WHEN row_codes IS NOT NULL THEN row_codes && args ELSE",
        "CASE WHEN row_codes IS NOT NULL AND false THEN row_codes && args ELSE",
    ),
    Mutant(
        "codes alone: negation",
        ROUTINES,
        "RETURN (clauses #>> '{0,0,0}')::boolean\n      <> CASE",
        "RETURN false <> CASE",
    ),
    Mutant("codes alone: no literal beside", ROUTINES, " AND clauses -> 0 -> 1 IS NULL"),
    Mutant("codes alone: no clause beside", ROUTINES, " AND clauses -> 1 IS NULL THEN", " THEN"),
    Mutant("codes alone: codes", ROUTINES, "clauses #>> '{0,0,1}' = 'codes' AND "),
    Mutant(
        "residual: a version's own references",
        ROUTINES,
        "CASE WHEN row_refs IS NOT NULL THEN row_refs && args",
        "CASE WHEN row_refs IS NOT NULL AND false THEN row_refs && args",
    ),
    Mutant(
        "residual: a version's own authors",
        ROUTINES,
        "CASE WHEN row_authors IS NOT NULL THEN row_authors && args",
        "CASE WHEN row_authors IS NOT NULL AND false THEN row_authors && args",
    ),
    Mutant(
        "residual: the row's own codes",
        ROUTINES,
        "WHERE r.rid OPERATOR(pg_catalog.=) row_rid AND r.codes",
        "WHERE r.codes",
    ),
)

_CURRENT = "enter.epoch = e.epoch AND statement_timestamp() < e.next_change"
_ENTRY = "e.epoch = $6::bigint AND statement_timestamp() < e.next_change"
_EPOCH = (
    Mutant("the epoch, writing", ROUTINES, _CURRENT, "statement_timestamp() < e.next_change"),
    Mutant(
        "a membership that began or ended, writing", ROUTINES, _CURRENT, "enter.epoch = e.epoch"
    ),
    Mutant("the epoch, reading", PREDICATE, _ENTRY, "statement_timestamp() < e.next_change"),
    Mutant("a membership that began or ended, reading", PREDICATE, _ENTRY, "e.epoch = $6::bigint"),
    Mutant(
        "a stale caller reads nothing",
        DATABASE,
        '        if not rows[0]["fresh"]:\n            raise StaleClosure\n',
    ),
    Mutant(
        "a stale caller writes nothing",
        DATABASE,
        "                if not fresh:\n                    raise StaleClosure\n",
    ),
    Mutant(
        "a caller gone stale within a transaction",
        DATABASE,
        'if not rows[0]["fresh"] and not await self._moved_here():',
        "if False:",
    ),
)

_SCOPES = (
    Mutant(
        "the mark of the scopes",
        PREDICATE,
        "version=version, record=record) + scope_sql.mark(row)",
        "version=version, record=record)",
    ),
    Mutant(
        "scopes filled in",
        SCOPES,
        "    if scope is None or NOT_NARROWED in text:\n",
        "    if True:\n",
    ),
    Mutant("types of whole scopes", SCOPES, "{row}.type = ANY ({whole})", "true"),
    Mutant(
        "the type of a constrained scope",
        SCOPES,
        'f"{row}.type = {type_code}", *tests',
        'f"{type_code} IS NOT NULL", *tests',
    ),
    Mutant("the constraint of a scope", SCOPES, ", *tests]", "]"),
    Mutant("a constraint is the row's own", SCOPES, "scoped.rid = {row}.rid AND ", ""),
    Mutant("a constraint's key", SCOPES, " AND scoped.hash = ANY ({keys})"),
    Mutant(
        "the survivor of a patient's scope",
        SCOPES,
        """f" AND ({row}.patient IS NULL OR {row}.patient = ANY ({context})"
            f" OR {row}.co_subjects && {context})\"""",
        '""',
    ),
    Mutant(
        "the survivor of a patient's scope, with whole types",
        SCOPES,
        'f"{within} AND (',
        'f" AND (',
    ),
    Mutant(
        "the audit of a patient's scope",
        SCOPES,
        "[scope.patient, -scope.patient]",
        "[scope.patient]",
    ),
    Mutant(
        "a statement without a place for scopes tells nothing",
        SCOPES,
        "if _MARK.search(text) is None:",
        "if False:",
    ),
    Mutant(
        "read whole: no element is judged apart",
        "app/storage/elements.py",
        "{row}.inline_masks IS NULL AND ",
        "",
        ("tests/redaction/test_elements.py",),
    ),
    Mutant(
        "read whole: no Consent",
        "app/storage/elements.py",
        ' AND {row}.type <> {_CONSENT}"',
        '"',
        ("tests/redaction/test_grantees.py",),
    ),
    Mutant(
        "scopes of a read",
        DATABASE,
        "if caller.scope is not None:\n            # One",
        "if False:\n            # One",
    ),
    Mutant("scopes of a read in a transaction", DATABASE, "if self._answering:", "if False:"),
    Mutant(
        "scopes of what a transaction reads",
        "app/routers/bundle.py",
        "TransactionReader(connection, answering=True)",
        "TransactionReader(connection)",
        ("tests/security/test_scopes.py",),
    ),
    Mutant(
        "scopes of what a condition finds",
        "app/interactions/transaction.py",
        "TransactionReader(self.connection, answering=True)",
        "TransactionReader(self.connection)",
        ("tests/security/test_scopes_of_conditions.py",),
    ),
    Mutant(
        "reads together are of one caller",
        DATABASE,
        "group = (several, id(caller))",
        "group = (several, 0)",
    ),
    Mutant(
        "nothing is found for a stale caller",
        DATABASE,
        '"WHERE entry.fresh OFFSET 0)',
        '"WHERE entry.fresh IS NOT NULL OFFSET 0)',
    ),
    Mutant(
        "no single row is found for a stale caller",
        DATABASE,
        "ON entry.fresh AND {body.condition}",
        "ON {body.condition}",
    ),
)

IDENTITIES: Final = "app/storage/identities.py"
_IDENTITIES = (
    Mutant("a membership that widens denies alone", IDENTITIES, "NOT m.deny_only AND "),
    Mutant("a membership that has begun", IDENTITIES, "m.valid_from <= statement_timestamp() AND "),
    Mutant(
        "a membership that has not ended", IDENTITIES, " AND m.valid_to > statement_timestamp()"
    ),
    Mutant(
        "a membership within the caller's organization",
        IDENTITIES,
        "\n    AND (m.within IS NULL OR m.within = $2::bigint)",
    ),
    Mutant(
        "a survivor's app is the survivor alone",
        IDENTITIES,
        "    if identity.patient is not None:\n",
        "    if False:\n",
    ),
    Mutant(
        "a survivor's app is no custodian",
        IDENTITIES,
        "        organization = None\n",
        "        organization = identity.organization\n",
    ),
    Mutant(
        "officers alone are officers",
        IDENTITIES,
        "if privacy_officer else []",
        "if True else []",
    ),
    Mutant(
        "custodians alone are custodians", DATABASE, "    if has_organization:\n", "    if True:\n"
    ),
    Mutant("emergencies alone are emergencies", DATABASE, "    if emergency:\n", "    if True:\n"),
)


def _policies(text: str) -> Iterator[Mutant]:
    """Each table's policy, one that lets everything through; and what makes policies hold."""
    anchor = '    rules["membership"] = "true"\n'
    listed = re.search(r"CONSENTED: Final = \((.*?)\)", text, re.DOTALL)
    assert listed is not None, "CONSENTED has moved"
    tables = re.findall(r'"(\w+)"', listed[1])
    for table in (*tables, "resource_history", "link", "consent_grant"):
        new = f'{anchor}    rules["{table}"] = "true"\n'
        yield Mutant(f"policy of {table}", POLICIES, anchor, new)
    keyed = '{predicate.for_keyed_policy("resource")}'
    yield Mutant("policy of reads by key", POLICIES, keyed, "true")
    for view, owner in (("tl.resource_by_key", "{READERS}"), ("tl.others_token", "{KEEPER}")):
        given = f"ALTER VIEW {{view}} OWNER TO {owner};\n"
        yield Mutant(f"the owner of {view}", POLICIES, given, "")
    yield Mutant("a version, by its own labels", POLICIES, 'f"{version} AND {present', 'f"{present')
    yield Mutant(
        "a version, by the present ones",
        POLICIES,
        "f\"{version} AND {present.format('resource_history', 'rid')}\"",
        "version",
    )
    for word in ("ENABLE", "FORCE"):
        yield Mutant(
            f"{word} ROW LEVEL SECURITY",
            POLICIES,
            f'f"ALTER TABLE tl.{{table}} {word} ROW LEVEL SECURITY;\\n"',
            '""',
        )

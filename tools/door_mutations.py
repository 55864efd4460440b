"""What `tools/mutants.py` deletes of the functions by which the service reaches what its role cannot read.

They run as the keeper, whom no policy binds: each asks by itself who may come in. Those of `review.sql` answer
questions about consent, the rest compile grants, link persons and file what was written. Tests of each door:
`tests/consent/test_doors.py`. Neighbour: `tools.mutations`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from tools.mutant import POLICIES, ROUTINES, Mutant

REVIEW: Final = "app/storage/sql/review.sql"
DOORS: Final = ("tests/consent/test_doors.py",)

_review = partial(Mutant, path=REVIEW, first=DOORS)
_door = partial(Mutant, path=ROUTINES, first=DOORS)

_WHOSE = "x.patient = survivor OR x.co_subjects @> ARRAY[survivor]"
_ASKING = "is_officer(as_officer) OR survivor = ANY (caller_closure())"
_SEEN = "is_officer(as_officer) OR (survivor = ANY (caller_closure()) AND {readable})"

_REVIEWED = (
    _review(name="officer: the token says so", old="as_officer AND EXISTS", new="EXISTS"),
    _review(name="officer: the registration says so", old="c.privacy_officer AND "),
    _review(name="officer: the registration stands", old=" AND c.revoked_at IS NULL"),
    _review(
        name="officer: of the caller's organization",
        old="\n      AND c.organization = NULLIF(current_setting('tl.organization', true), '')::bigint",
    ),
    _review(
        name="under review: who asks may read it",
        old="({readable} AND (x.custodian = caller_organization()",
        new="((x.custodian = caller_organization()",
    ),
    _review(
        name="under review: its custodian's or survivor's to ask",
        old=" AND (x.custodian = caller_organization()\n"
        "         OR caller_closure() && (x.patient || coalesce(x.co_subjects, '{}')))",
    ),
    _review(
        name="under review: a Consent is named to who may read it",
        old="is_officer(as_officer) OR coalesce({readable}, false)",
        new="true",
    ),
    _review(
        name="under review: whose Consents",
        old=f"({_WHOSE}) AND NOT v.deleted",
        new="NOT v.deleted",
    ),
    _review(
        name="under review: who asks for Consents",
        old=f"({_ASKING}\n"
        "         OR EXISTS (SELECT FROM resource r WHERE r.custodian = caller_organization()\n"
        "                    AND (r.patient = survivor OR r.co_subjects @> ARRAY[survivor])))",
        new="true",
    ),
    _review(
        name="under review: a custodian asks for Consents",
        old="r.custodian = caller_organization()\n                    AND ",
    ),
    _review(
        name="under review: a custodian of this record",
        old="\n                    AND (r.patient = survivor OR r.co_subjects @> ARRAY[survivor])",
    ),
    _review(
        name="accounting: of whose record",
        old=f"({_WHOSE})\n      AND ({_SEEN})",
        new=f"({_SEEN})",
    ),
    _review(name="accounting: who asks", old=f"({_SEEN})", new="true"),
    _review(
        name="accounting: the survivor asks",
        old="(survivor = ANY (caller_closure()) AND {readable})",
        new="({readable})",
    ),
    _review(
        name="accounting: what who asks may read",
        old="(survivor = ANY (caller_closure()) AND {readable})",
        new="survivor = ANY (caller_closure())",
    ),
    _review(
        name="accounting: a resource is named to who may read it",
        old=" AND (is_officer(as_officer) OR {readable})",
    ),
    _review(
        name="accounting: whose Consents' moments",
        old=f"({_WHOSE})\n    AND ({_ASKING}) ORDER",
        new=f"({_ASKING}) ORDER",
    ),
    _review(
        name="accounting: who asks for moments",
        old=f"\n    AND ({_ASKING}) ORDER",
        new=" ORDER",
    ),
)

_MADE_NOW = " AND r.xmin = pg_current_xact_id()::xid"
_OPENED = (
    _door(
        name="written now: by this transaction",
        old=f"r.rid = row_rid{_MADE_NOW}",
        new="r.rid = row_rid",
    ),
    _door(
        name="may compile: a row of the survivor's, now",
        old=f"r.patient = survivor{_MADE_NOW}",
        new="r.patient = survivor",
    ),
    _door(
        name="may compile: a Consent of the survivor's, now",
        old=f" AND r.type = {{consent_type}}\n                {_MADE_NOW}",
        new=" AND r.type = {consent_type}",
    ),
    _door(
        name="may compile: a Consent, of the survivor's",
        old="r.patient = survivor AND r.type = {consent_type}",
        new="r.type = {consent_type}",
    ),
    _door(
        name="may compile: the survivor's Patient, now",
        old=f" AND r.type = {{patient_type}}\n                {_MADE_NOW}",
        new=" AND r.type = {patient_type}",
    ),
    _door(
        name="may compile: a Patient, the survivor's",
        old="r.patient = survivor AND r.type = {patient_type}",
        new="r.type = {patient_type}",
    ),
    _door(
        name="may compile: a row about the survivor too, now",
        old=f"r.co_subjects @> ARRAY[survivor]{_MADE_NOW}",
        new="r.co_subjects @> ARRAY[survivor]",
    ),
    _door(
        name="may compile: a policy, now",
        old=f"a.officer AND r.patient IS NULL{_MADE_NOW}",
        new="a.officer AND r.patient IS NULL",
    ),
    _door(
        name="may compile: a policy is an officer's",
        old=f"a.officer AND r.patient IS NULL{_MADE_NOW}",
        new=f"r.patient IS NULL{_MADE_NOW}",
    ),
    _door(
        name="may compile: a policy names no patient",
        old=f"a.officer AND r.patient IS NULL{_MADE_NOW}",
        new=f"a.officer{_MADE_NOW}",
    ),
    _door(
        name="in doubt: an end, taken up",
        old="e.patient = survivor AND e.taken_up AND e.xmin",
        new="e.patient = survivor AND e.xmin",
    ),
    _door(
        name="in doubt: an end, now",
        old="e.taken_up AND e.xmin = pg_current_xact_id()::xid",
        new="e.taken_up",
    ),
    _door(
        name="in doubt: an end of the survivor's",
        old="e.patient = survivor AND e.taken_up AND e.xmin",
        new="e.taken_up AND e.xmin",
    ),
    _door(
        name="in doubt: a Consent that names the survivor, now",
        old=f"      AND r.type = consent_type{_MADE_NOW}",
        new="      AND r.type = consent_type",
    ),
    _door(
        name="in doubt: a Consent that names the survivor",
        old=f"      AND r.type = consent_type{_MADE_NOW}",
        new=f"     {_MADE_NOW}",
    ),
    _door(
        name="in doubt: a Consent of the survivor's, now",
        old=f"r.patient = ANY (p.rids) AND r.type = consent_type{_MADE_NOW}",
        new="r.patient = ANY (p.rids) AND r.type = consent_type",
    ),
    _door(
        name="in doubt: a Consent, not any row of the survivor's",
        old=f"r.patient = ANY (p.rids) AND r.type = consent_type{_MADE_NOW}",
        new=f"r.patient = ANY (p.rids){_MADE_NOW}",
    ),
    _door(
        name="in doubt: a Consent about the survivor too, now",
        old=f"r.co_subjects && p.rids AND r.type = consent_type{_MADE_NOW}",
        new="r.co_subjects && p.rids AND r.type = consent_type",
    ),
    _door(
        name="in doubt: a Consent, not any row about the survivor too",
        old=f"r.co_subjects && p.rids AND r.type = consent_type{_MADE_NOW}",
        new=f"r.co_subjects && p.rids{_MADE_NOW}",
    ),
    _door(
        name="noted: of the version that was read",
        old="x.version IS DISTINCT FROM n.version OR ",
    ),
    _door(name="noted: a Task", old="OR x.type <> task_type ", new=""),
    _door(name="noted: the writer's own", old=" OR x.custodian <> me\n", new="\n"),
    _door(
        name="noted: of a survivor in doubt",
        old="\n      OR NOT EXISTS (SELECT FROM unnest(x.patient || coalesce(x.co_subjects, '{}')) AS s(rid)\n"
        "                     WHERE in_doubt(s.rid, consent_type))",
    ),
    _door(
        name="one person: who may correct both",
        old="(written_now(x.rid) OR x.custodian = me OR coalesce({correctable}, false))",
        new="true",
    ),
    _door(
        name="one person: the one links the other",
        old="\n     OR NOT EXISTS (SELECT FROM link l WHERE l.source = a AND l.target = b AND l.parameter = 0)",
    ),
    _door(
        name="one person: the other links the one",
        old="\n     OR NOT EXISTS (SELECT FROM link l WHERE l.source = b AND l.target = a AND l.parameter = 0)",
    ),
    _door(name="all survivors: to who may compile", old=" AND may_compile(0)"),
    _door(name="policies: an officer's", old="WHERE a.officer AND c.type", new="WHERE c.type"),
    _door(
        name="policies: of no patient",
        old=" AND c.patient IS NULL AND NOT c.deleted",
        new=" AND NOT c.deleted",
    ),
    _door(
        name="referred to: by what the caller sees",
        old="WHERE tl.row_seen(s.rid, NULL, NULL, NULL, NULL, NULL) OFFSET 0",
        new="OFFSET 0",
    ),
    _door(
        name="referred to: in an element that the caller sees",
        old="l.parameter = 0 AND {followed}",
        new="l.parameter = 0",
    ),
    _door(
        name="a Consent's scope: to its grantee",
        old="\n      AND g.grantee = ANY (NULLIF(current_setting('tl.closure', true), '')::bigint[])",
    ),
    _door(name="a Consent's scope: of that Consent", old=" AND g.consent = r.rid\n", new="\n"),
    _door(
        name="links: of rows of this transaction", old="\n    WHERE u.source = ANY (rids);", new=";"
    ),
)

_AUDITED = (
    _door(
        name="audit: notes kept back",
        old="(r.labels & {kept_back}) |",
        new="(0::bigint) |",
    ),
    _door(
        name="audit: records shared with somebody else",
        old="CASE WHEN r.co_subjects IS NULL THEN 0 ELSE {nopat} END AS kept",
        new="0 AS kept",
    ),
    _door(
        name="audit: a survivor is told nothing that is kept back",
        old="(-c.patient, {kept_back})",
        new="(-c.patient, 0)",
    ),
    _door(
        name="audit: a query is told to officers alone",
        old="CASE WHEN w.patient = 0 THEN d.query END",
        new="d.query",
    ),
)

_PRIVILEGES = (
    Mutant(
        "no way in but by functions: keeper's alone",
        POLICIES,
        "REVOKE EXECUTE ON FUNCTION tl.store_search, tl.tasks_about FROM {service_role};\n",
        "",
        DOORS,
    ),
    Mutant(
        "no way in but by functions: not for everybody",
        POLICIES,
        "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA tl FROM PUBLIC;\n",
        "",
        DOORS,
    ),
)


_REFUSAL: Final = re.compile(
    r"^  IF (?:(?!THEN\n).)*?THEN\n    RAISE EXCEPTION '.*?'insufficient_privilege';\n  END IF;\n",
    re.MULTILINE | re.DOTALL,
)
_REFUSED_TWICE: Final = {"put_grants": "put_ends, with which it ends"}
"""Function to another that refuses the same."""


def mutants(root: Path) -> list[Mutant]:
    """All of them, for the files as they stand."""
    text = (root / ROUTINES).read_text()
    return [*_REVIEWED, *_refusals(text), *_OPENED, *_AUDITED, *_PRIVILEGES]


def _refusals(text: str) -> Iterator[Mutant]:
    """Each refusal of a function as a whole."""
    functions = re.split(r"(?=^CREATE OR REPLACE FUNCTION tl\.)", text, flags=re.MULTILINE)
    for each in functions[1:]:
        name = each.partition("tl.")[2].partition("(")[0]
        for found in _REFUSAL.finditer(each):
            # The text of a refusal may stand in several functions: with what goes before, it stands once.
            old = each[: found.end()]
            if name not in _REFUSED_TWICE:
                yield _door(name=f"refused by {name}", old=old, new=each[: found.start()])

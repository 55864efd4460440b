"""Validation as an interaction: a resource against R4 and the profiles that the caller may read.

`$validate` tells all that is found; the guard refuses a write whose `meta.profile` claims what the
resource does not keep, where the setting asks for it. Neighbours: `app.fhir_mappings.validate`
judges, `app.interactions.conformance` brings the profiles.

Pinned: hl7.org/fhir/R4/resource-operation-validate.html, hl7.org/fhir/R4/profiling.html#meta.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.errors import FhirError, Issue, IssueCode
from app.fhir_mappings.profiles.check import profile_issues
from app.fhir_mappings.validate import validate
from app.interactions import conformance, writing
from app.interactions.guards import Moment
from app.interactions.operation import Operation
from app.interactions.write_plan import WriteRules
from app.interactions.write_references import placed
from app.storage.database import Caller, Database, Reader, TransactionReader

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """issues: all of them, warnings included; none where all is well. rids: for the audit row."""

    issues: list[Issue]
    rids: list[int]


async def judge(
    database: Reader,
    caller: Caller,
    resource: Json,
    *,
    expected_type: str | None = None,
    profiles: Iterable[str] = (),
) -> Judged:
    """Everything that is wrong with a resource, and what should be better; nothing is stored.

    profiles: canonical URLs to judge by, beside those that `meta.profile` claims; a claimed one that
    is not known here is told as a warning, an asked one as an error.
    """
    asked = list(dict.fromkeys(profiles))
    claimed = [url for url in claims(resource) if url not in asked]
    loaded = await conformance.profiles(database, caller, [*asked, *claimed])
    known = loaded.definitions
    usable = [url for url in claimed if known.knows(url)]
    issues = validate(
        resource,
        expected_type=expected_type,
        warnings=True,
        profiles=[*asked, *usable],
        definitions=known,
    )
    if len(usable) < len(claimed):
        what = "A profile of meta.profile is not known here, so it was not checked."
        where = (f"{resource.get('resourceType')}.meta.profile",)
        issues.append(Issue(IssueCode.NOT_FOUND, what, where, "warning"))
    return Judged(issues, loaded.rids)


class _UndoneError(Exception):
    """Ends a transaction that was carried out to see what comes of it."""


async def may_be_deleted(
    database: Database, caller: Caller, type_: str, id_: str, rules: WriteRules
) -> list[Issue]:
    """What would refuse the deletion of a resource that the caller sees; it is carried out, and undone."""
    try:
        async with database.write(caller) as connection:
            await writing.write_on(connection, caller, [Operation(type_, id_, None)], rules)
            raise _UndoneError
    except _UndoneError:
        return []
    except FhirError as error:
        if error.status >= 500:
            raise
        return list(error.issues)


def claims(resource: Json) -> list[str]:
    """The canonical URLs of `meta.profile`, each once."""
    meta = resource.get("meta")
    listed = meta.get("profile") if type(meta) is dict else None
    texts = [url for url in listed if type(url) is str] if type(listed) is list else []
    return list(dict.fromkeys(texts))


@dataclass(frozen=True, slots=True)
class ProfileGuard:
    """Refuses a write that does not keep the profiles which it claims.

    mode: `known`: those that are known here must be kept; `all`: and each must be known.
    """

    mode: Literal["known", "all"]

    async def before(self, moment: Moment) -> None:
        """422 with every fault of every planned resource."""
        claimed = {
            each.where + each.id: (each, claims(each.resource))
            for each in moment.planned
            if each.resource is not None and claims(each.resource)
        }
        if not claimed:
            return
        urls = {url for _, listed in claimed.values() for url in listed}
        reader = TransactionReader(moment.connection)
        loaded = await conformance.profiles(reader, moment.caller, sorted(urls))
        issues: list[Issue] = []
        for planned, listed in claimed.values():
            for url in listed:
                if self.mode == "known" and not loaded.definitions.knows(url):
                    continue
                issues += [
                    Issue(
                        each.code,
                        each.diagnostics,
                        tuple(placed(planned.where, e) for e in each.expression),
                        each.severity,
                    )
                    for each in profile_issues(planned.resource or {}, url, loaded.definitions)
                ]
        if issues:
            raise FhirError(issues, status=422)

    async def after(self, moment: Moment) -> Sequence[Operation]:
        """Nothing follows."""
        return ()

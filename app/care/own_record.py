"""What a survivor's own app may write: her answers, goals, words, Consents (`data/own-record.json`).

An agency's words stay an agency's: whatever names its speaker names the survivor, and nothing is ordered, only
asked for. Neighbour: `app.interactions.own_writing`, whose it is and about whom.
Pinned: docs/care/own-app.md; hl7.org/fhir/R4/goal.html (expressedBy), task.html (intent).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from app.care import reading
from app.care.data_files import packaged
from app.errors import FhirError, Issue, IssueCode
from app.interactions.guards import Moment, Planned
from app.interactions.operation import Operation

_TYPES: Final[Mapping[str, Mapping[str, Any]]] = packaged("own-record.json")["types"]


class OwnRecordGuard:
    """The guard of what survivors write themselves."""

    async def before(self, moment: Moment) -> None:
        """403 for a type that is not for the survivor's app to write, 422 for words put into other mouths."""
        if moment.caller.person is None:
            return
        issues = [issue for planned in moment.planned for issue in _faults(moment, planned)]
        if issues:
            raise FhirError(issues)

    async def after(self, moment: Moment) -> Sequence[Operation]:
        """Nothing."""
        return ()


def _faults(moment: Moment, planned: Planned) -> Iterator[Issue]:
    rule, resource = _TYPES.get(planned.type), planned.resource
    if rule is None:
        yield Issue(
            IssueCode.FORBIDDEN,
            f"A person's own app writes {', '.join(sorted(_TYPES))}; ask for other entries with a Task of "
            "intent proposal.",
            (reading.place(planned, ""),),
        )
        return
    if resource is None:
        return
    for name in rule.get("required", ()):
        if not resource.get(name):
            yield Issue(
                IssueCode.REQUIRED,
                "Say who speaks: a reference to the person's own Patient.",
                (reading.place(planned, name),),
            )
    for name in rule["speaker"]:
        for each in _many(resource.get(name)):
            if not _is_patient(moment, each):
                yield Issue(
                    IssueCode.BUSINESS_RULE,
                    "A person's own app speaks for that person only: refer to their own Patient.",
                    (reading.place(planned, name),),
                )
    for name, values in rule.get("only", {}).items():
        if resource.get(name) not in values:
            yield Issue(
                IssueCode.BUSINESS_RULE,
                f"In a person's own app this is {' or '.join(values)}.",
                (reading.place(planned, name),),
            )


def _is_patient(moment: Moment, reference: Mapping[str, Any]) -> bool:
    # Everything that is planned here is about the person alone, so any Patient in it is theirs.
    key = reading.local(reference, moment.base_urls)
    return key is not None and key[0] == "Patient"


def _many(element: Any) -> Sequence[Mapping[str, Any]]:
    if element is None:
        return ()
    return element if isinstance(element, list) else (element,)

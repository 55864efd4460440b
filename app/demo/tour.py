"""The story of the demo, played against a running service over real HTTP.

Psychiatry writes and primary care reads less; the shelter pulls its referral package and accepts;
the survivor withdraws and the shelter's next call is a 404; legal aid never knew. Each step says who
sees what and why, and checks it. The survivor is new each time, so that the tour can be repeated.
Neighbours: `app.demo.story` (what is written), `app.demo.agency` (how it is sent),
`app.demo.telling` (how it is shown), README.md (a part of it, to read).
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

import httpx
from rich.console import Console

from app.demo import story
from app.demo.agency import Agency, StoryEndedError, etag, reason
from app.demo.telling import Row, Telling

Json = dict[str, Any]

Tokens = Callable[[str, str], str]
"""(client, purpose of use) to a bearer token."""

_PURPOSE: Final = "COC"
_TIMEOUT: Final = 30.0
_UNCOMPARED: Final = frozenset({"date", "x-request-id"})
"""Headers that a server makes anew for each answer."""

_NAMES: Final = {
    "DocumentReference": "psychotherapy note",
    "MedicationRequest": "medicine",
    "OperationOutcome": "notice on passing it on",
    "Patient": "the person",
    "QuestionnaireResponse": "answers (PHQ-9)",
    "ServiceRequest": "request",
    "Task": "referral",
}


def run(
    base_url: str,
    token: Tokens,
    console: Console,
    agency: Callable[[httpx.Client, str, str], Agency] = Agency,
) -> int:
    """Play the tour; 0 where every expectation held, 1 otherwise.

    base_url: of the service (`http://127.0.0.1:8000`) or of its FHIR base. The demo must be loaded:
    its Organizations and the PHQ-9 are referred to. What `token` raises is passed on.
    agency: makes an agency's way to the service of a client, a name and a token.
    """
    base = base_url.rstrip("/")
    base = base if base.endswith("/fhir") else f"{base}/fhir"
    with httpx.Client(base_url=base, timeout=_TIMEOUT) as http:
        try:
            http.get("metadata").raise_for_status()
        except httpx.HTTPError:
            console.print(f"Nothing answers at {base}. Start it with: throughline demo")
            return 1
        tour = _Tour(
            Telling(console),
            river=agency(http, "River Clinic", token("river-clinic", _PURPOSE)),
            harbor=agency(http, "Harbor Psychiatry", token("harbor-psychiatry", _PURPOSE)),
            door=agency(http, "Open Door Shelter", token("open-door-shelter", _PURPOSE)),
            bridge=agency(http, "Bridge Legal Aid", token("bridge-legal-aid", _PURPOSE)),
        )
        try:
            tour.play()
        except StoryEndedError as ended:
            console.print(f"The story ends here. {ended}", style="red", markup=False)
            return 1
    return tour.telling.close()


@dataclass(frozen=True)
class _Tour:
    telling: Telling
    river: Agency
    harbor: Agency
    door: Agency
    bridge: Agency

    def play(self) -> None:
        """The whole story."""
        patient, first = self._first_visit()
        psychiatry = self._psychiatry(patient)
        release, task = self._refer(patient)
        self._poll(task, release)
        self._package(task, [*first[1:], *psychiatry])
        self._accept(task)
        self._withdraw(task, release)
        self._legal_aid(task)

    def _first_visit(self) -> tuple[str, list[Json]]:
        self.telling.heading(
            "River Clinic meets Noor",
            "She agrees that Harbor Psychiatry may read along. Nobody else is named, so nobody else\n"
            "learns that she exists.",
        )
        written = self.river.create(story.first_visit(_today()))
        why = "River wrote it; her consent names Harbor"
        self._who_reads((each, [self.river, self.harbor], why) for each in written)
        return _reference(written[0]), written

    def _psychiatry(self, patient: str) -> list[Json]:
        self.telling.heading(
            "Psychiatry writes, primary care reads less",
            "Harbor writes answers, a score, a medicine and a psychotherapy note. Noor lets River read\n"
            "what Harbor writes, but not the note: the consent's nested deny names its label, PSYTHPN.",
        )
        written = self.harbor.create(story.psychiatry_visit(patient, _today()))
        shared = ([self.river, self.harbor], "Harbor wrote it; her consent names River")
        kept = ([self.harbor], "Harbor wrote it; denied to River by its label")
        self._who_reads(
            (each, *(kept if each["resourceType"] == "DocumentReference" else shared))
            for each in written
        )
        listed = self.river.get("DocumentReference", patient=patient, _total="accurate").json()
        self.telling.expect(
            "River's search for documents finds none, and counts none",
            (len(listed.get("entry", ())), listed.get("total")),
            (0, 0),
        )
        return written

    def _refer(self, patient: str) -> tuple[Json, Json]:
        self.telling.heading(
            "River asks the shelter for a place to stay",
            "Noor releases to Open Door, for ninety days, who she is and this referral. The shelter may\n"
            "answer it (action `correct`, on Task only). What psychiatry wrote is not released.",
        )
        release, request, task = self.river.create(story.referral(patient, _today()))
        why = "River wrote it; released to Open Door; Harbor reads along"
        readers = [self.river, self.harbor, self.door]
        self._who_reads((each, readers, why) for each in (task, request, release))
        return release, task

    def _poll(self, task: Json, release: Json) -> None:
        self.telling.heading(
            "The shelter asks what is new",
            "GET Task?owner=Organization/open-door-shelter&_lastUpdated=ge…&_include=Task:focus",
        )
        found = self._polled(release)
        self.telling.expect(
            "one new Task, and its ServiceRequest with it",
            Counter((e["search"]["mode"], e["resource"]["resourceType"]) for e in found),
            Counter([("match", "Task"), ("include", "ServiceRequest")]),
        )
        self.telling.expect(
            "it is this referral",
            [e["resource"]["id"] for e in found if e["search"]["mode"] == "match"],
            [task["id"]],
        )

    def _polled(self, release: Json) -> list[Json]:
        """What the shelter's poll finds since the release was written."""
        answer = self.door.get(
            "Task",
            owner="Organization/open-door-shelter",
            _lastUpdated=f"ge{release['meta']['lastUpdated']}",
            _include="Task:focus",
        )
        if answer.status_code != httpx.codes.OK:
            raise StoryEndedError(f"The shelter could not search: {reason(answer)}")
        entries: list[Json] = answer.json().get("entry", [])
        return entries

    def _package(self, task: Json, unreleased: Sequence[Json]) -> None:
        self.telling.heading(
            "The shelter pulls the referral package",
            f"GET {_reference(task)}/$referral-package: all that Noor released, and nothing else.",
        )
        answer = self.door.get(f"{_reference(task)}/$referral-package")
        self.telling.expect("the package comes", answer.status_code, 200)
        inside = [entry["resource"] for entry in answer.json().get("entry", ())]
        self.telling.listing(
            "In the package", [(_title(each), each.get("id", "")) for each in inside]
        )
        self.telling.expect(
            "referral, request, consent and a minimal person",
            sorted({each["resourceType"] for each in inside} - {"OperationOutcome"}),
            ["Consent", "Patient", "ServiceRequest", "Task"],
        )
        self.telling.expect(
            "nothing of the visit, nothing that psychiatry wrote",
            {each.get("id") for each in inside} & {each["id"] for each in unreleased},
            set(),
        )
        self.telling.expect(
            "the person comes without her telephone number",
            ["telecom" in each for each in inside if each["resourceType"] == "Patient"],
            [False],
        )

    def _accept(self, task: Json) -> None:
        self.telling.heading(
            "The shelter accepts", "PUT Task with If-Match, so that no answer overwrites another."
        )
        current = self.door.get(_reference(task))
        accepted = current.json() | {"status": "accepted"}
        answer = self.door.put(accepted, if_match=etag(current))
        self.telling.expect("the shelter may correct this Task", answer.status_code, 200)
        again = self.door.put(accepted | {"status": "in-progress"}, if_match=etag(current))
        self.telling.expect("the same If-Match a second time is stale", again.status_code, 412)
        seen = self.river.get(_reference(task)).json()
        self.telling.expect("River sees it accepted", seen.get("status"), "accepted")

    def _withdraw(self, task: Json, release: Json) -> None:
        self.telling.heading(
            "Noor withdraws",
            "She wants the shelter to know no more. River sets the consent inactive; that counts from\n"
            "the very next statement.",
        )
        current = self.river.get(_reference(release))
        withdrawn = self.river.put(current.json() | {"status": "inactive"}, if_match=etag(current))
        self.telling.expect("the consent is inactive", withdrawn.status_code, 200)
        self._expect_status("the shelter's next call is a 404", self.door, task, 404)
        package = self.door.get(f"{_reference(task)}/$referral-package")
        self.telling.expect("so is its call for the package", package.status_code, 404)
        self.telling.expect("its search finds nothing", self._polled(release), [])
        self._same_as_missing("to the shelter", self.door, task)
        self._expect_status("River, who wrote the referral, still reads it", self.river, task, 200)
        why = "River wrote it, Harbor reads along; the release is withdrawn"
        self._who_reads((each, [self.river, self.harbor], why) for each in (task, release))

    def _legal_aid(self, task: Json) -> None:
        self.telling.heading(
            "Legal aid never knew",
            "Nobody released anything to Bridge Legal Aid. What it gets for a referral that is there is,\n"
            "byte for byte, what it gets for an id that never was.",
        )
        self._expect_status("legal aid gets a 404", self.bridge, task, 404)
        self._same_as_missing("to legal aid", self.bridge, task)

    def _same_as_missing(self, whom: str, agency: Agency, resource: Json) -> None:
        made_up = f"{resource['resourceType']}/{uuid.uuid4()}"
        self.telling.expect(
            f"{whom} the answer is that of a made-up id: status, headers and body",
            _compared(agency.get(_reference(resource))),
            _compared(agency.get(made_up)),
        )

    def _expect_status(self, sentence: str, agency: Agency, resource: Json, expected: int) -> None:
        self.telling.expect(sentence, agency.get(_reference(resource)).status_code, expected)

    def _who_reads(self, resources: Iterable[tuple[Json, Sequence[Agency], str]]) -> None:
        """Ask for each resource as each agency; with it, who should read it, and why."""
        agencies = (self.river, self.harbor, self.door, self.bridge)
        self.telling.who_reads(
            [agency.name for agency in agencies],
            [
                Row(
                    _title(each),
                    [agency.get(_reference(each)).status_code for agency in agencies],
                    [agency.name for agency in readers],
                    why,
                )
                for each, readers, why in resources
            ],
        )


def _today() -> date:
    return datetime.now(UTC).date()


def _reference(resource: Json) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def _title(resource: Json) -> str:
    """What a resource of the story is called."""
    if resource["resourceType"] == "Observation":
        return "score (PHQ-9)" if "valueQuantity" in resource else "blood pressure"
    if resource["resourceType"] == "Consent":
        recipient = resource["provision"]["actor"][0]["reference"]["reference"]
        return f"consent to {recipient.removeprefix('Organization/').split('-')[0].title()}"
    return _NAMES[resource["resourceType"]]


def _compared(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    headers = [(k, v) for k, v in answer.headers.multi_items() if k not in _UNCOMPARED]
    return answer.status_code, answer.content, sorted(headers)

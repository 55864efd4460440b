"""Chains, `_has` and includes through canonical URLs (hl7.org/fhir/R4/references.html#canonical)."""

from __future__ import annotations

import pytest

from tests.search.conftest import HARBOR, LEGAL, Searcher
from tests.spine.conftest import actor, consent

CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
FORM = "http://example.org/fhir/Questionnaire/mood"


def form(title: str, version: str = "", **more: object) -> dict[str, object]:
    made = {"resourceType": "Questionnaire", "url": FORM, "title": title, "status": "active"}
    return made | ({"version": version} if version else {}) | more


def answers(patient: str, questionnaire: str) -> dict[str, object]:
    return {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        "questionnaire": questionnaire,
        "subject": {"reference": f"Patient/{patient}"},
    }


@pytest.fixture(scope="module")
async def clinic(river: Searcher) -> Searcher:
    """A form in two versions and one beside it; answers to either, to any, and to the other; a plan."""
    ana = await river.write("ana", {"resourceType": "Patient", "name": [{"family": "Ana"}]})
    await river.write("one", form("Mood", "1", publisher="House"))
    await river.write("two", form("Mood, shorter", "2"))
    await river.write("other", form("Sleep", "1") | {"url": f"{FORM}-sleep"})
    await river.write("to-one", answers(ana, f"{FORM}|1"))
    await river.write("to-two", answers(ana, f"{FORM}|2"))
    await river.write("to-any", answers(ana, FORM))
    await river.write("to-part", answers(ana, f"{FORM}|1#page"))
    await river.write("to-other", answers(ana, f"{FORM}-sleep"))
    await river.write("to-nothing", answers(ana, f"{FORM}|3"))
    await river.write(
        "protocol",
        {
            "resourceType": "PlanDefinition",
            "url": "http://example.org/protocol",
            "title": "Protocol",
            "status": "active",
            "action": [{"definitionCanonical": f"{FORM}|2"}],
        },
    )
    await river.write(
        "plan",
        {
            "resourceType": "CarePlan",
            "status": "active",
            "intent": "plan",
            "subject": {"reference": f"Patient/{ana}"},
            "instantiatesCanonical": ["http://example.org/protocol"],
        },
    )
    permit = consent(ana, type="permit", actor=actor(HARBOR))
    assert (await river.agency.post("/Consent", permit)).status_code == 201
    return river


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("QuestionnaireResponse?questionnaire.title=mood", {"to-one", "to-two", "to-any", "to-part"}),
        ("QuestionnaireResponse?questionnaire.version=2", {"to-two", "to-any"}),
        ("QuestionnaireResponse?questionnaire:Questionnaire.publisher=house", {"to-one", "to-any", "to-part"}),
        ("QuestionnaireResponse?questionnaire.title:exact=Sleep", {"to-other"}),
        ('QuestionnaireResponse?_filter=questionnaire.title co "shorter"', {"to-two", "to-any"}),
        ("CarePlan?instantiates-canonical:PlanDefinition.title=protocol", {"plan"}),
        ("CarePlan?instantiates-canonical.title=protocol", {"plan"}),
        ("CarePlan?instantiates-canonical:PlanDefinition.definition:Questionnaire.title=sleep", set()),
        ("CarePlan?instantiates-canonical:PlanDefinition.definition:Questionnaire.version=2", {"plan"}),
        ("CarePlan?instantiates-canonical:PlanDefinition.definition:Questionnaire.version=1", set()),
        ("Patient?_has:QuestionnaireResponse:subject:questionnaire.title=sleep", {"ana"}),
        ("Questionnaire?_has:QuestionnaireResponse:questionnaire:patient.family=ana", {"one", "two", "other"}),
        ("Questionnaire?_has:PlanDefinition:definition:title=protocol", {"two"}),
        (
            "Questionnaire?_has:PlanDefinition:definition:_has:CarePlan:instantiates-canonical:status=active",
            {"two"},
        ),
    ],
)  # fmt: skip
async def test_what_a_canonical_names_is_followed_by_its_url_and_version(
    clinic: Searcher, query: str, expected: set[str]
) -> None:
    assert await clinic.finds(f"/{query}") == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("PlanDefinition?_include=PlanDefinition:definition", {"two"}),
        ("PlanDefinition?_include=*", {"two"}),
        ("PlanDefinition?_include=PlanDefinition:definition:ActivityDefinition", set()),
        ("CarePlan?_include=CarePlan:instantiates-canonical", {"protocol"}),
        (
            (
                "CarePlan?_include=CarePlan:instantiates-canonical"
                "&_include:iterate=PlanDefinition:definition"
            ),
            {"protocol", "two"},
        ),
        (
            "Questionnaire?version=2&_revinclude=QuestionnaireResponse:questionnaire",
            {"to-two", "to-any"},
        ),
        ("Questionnaire?version=2&_revinclude=PlanDefinition:*", {"protocol"}),
        ("PlanDefinition?_revinclude=*", {"plan"}),
        (
            (
                "Questionnaire?version=2&_revinclude=PlanDefinition:definition"
                "&_revinclude:iterate=CarePlan:instantiates-canonical"
            ),
            {"protocol", "plan"},
        ),
    ],
)
async def test_includes_follow_canonicals_both_ways(
    clinic: Searcher, query: str, expected: set[str]
) -> None:
    included = clinic.named(await clinic.bundle(f"/{query}"), "include")
    assert set(included) == expected
    assert len(included) == len(expected)


async def test_a_definition_that_is_hidden_carries_no_chain(clinic: Searcher) -> None:
    """What its custodian alone may read answers no question of Harbor's, who sees the answers to it."""
    label = {"security": [{"system": CONFIDENTIALITY, "code": "R"}]}
    hidden = form("Hidden", "9", meta=label) | {"url": f"{FORM}-hidden"}
    ana = next(id_ for id_, name in clinic.names.items() if name == "ana")
    await clinic.write("hidden", hidden)
    await clinic.write("to-hidden", answers(ana, f"{FORM}-hidden"))
    harbor, legal = clinic.world[HARBOR], clinic.world[LEGAL]
    path = "/QuestionnaireResponse?questionnaire.title=hidden"
    assert await clinic.finds(path) == {"to-hidden"}
    assert await clinic.finds("/QuestionnaireResponse?questionnaire.title=sleep", harbor) == {
        "to-other"
    }
    assert await clinic.finds(path, harbor) == set()
    named = f"/QuestionnaireResponse?questionnaire={FORM}-hidden"
    shown = await clinic.bundle(f"{named}&_include=QuestionnaireResponse:questionnaire", harbor)
    assert clinic.named(shown, "include") == []
    # Legal aid sees every form, and no answer: whether there are any it does not learn.
    back = "/Questionnaire?_has:QuestionnaireResponse:questionnaire:status=completed"
    assert await clinic.finds(back, legal) == set()
    listed = await clinic.bundle(
        "/Questionnaire?_revinclude=QuestionnaireResponse:questionnaire", legal
    )
    assert clinic.named(listed, "include") == []
    assert "hidden" not in clinic.named(listed)


async def test_a_definition_written_later_is_what_was_named_before(clinic: Searcher) -> None:
    path = "/QuestionnaireResponse?questionnaire.title=later"
    assert await clinic.finds(path) == set()
    await clinic.write("three", form("Later", "3"))
    assert await clinic.finds(path) == {"to-nothing", "to-any"}

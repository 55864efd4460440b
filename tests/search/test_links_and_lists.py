"""Chains, `_has`, includes, lists, text, `_filter`, several types and sorting, over HTTP."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.search.conftest import HARBOR, RIVER, Searcher
from tests.spine.conftest import ACT_CODE, actor, consent

RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
TO_PATIENT = "_include=Observation:patient"
SYSTEM = "http://example.org/animals"


@pytest.fixture(scope="module")
async def clinic(river: Searcher) -> Searcher:
    """Ana with a tree of resources, and Bo beside her; concepts in a hierarchy."""
    house = await river.write("house", {"resourceType": "Organization", "name": "House"})
    ward = await river.write(
        "ward",
        {
            "resourceType": "Organization",
            "name": "Ward",
            "partOf": {"reference": f"Organization/{house}"},
        },
    )
    room = await river.write(
        "room",
        {
            "resourceType": "Organization",
            "name": "Room",
            "partOf": {"reference": f"Organization/{ward}"},
        },
    )
    people = {}
    for name, gender, born in (("ana", "female", "1990"), ("bo", "male", "1980-05")):
        people[name] = await river.write(
            name,
            {
                "resourceType": "Patient",
                "name": [{"family": name.title()}],
                "gender": gender,
                "birthDate": born,
                "managingOrganization": {"reference": f"Organization/{room}"},
                "text": {
                    "status": "generated",
                    "div": '<div xmlns="http://www.w3.org/1999/xhtml">'
                    f"<p>Prefers &#233;vening calls, {name}</p></div>",
                },
            },
        )
    for name, patient, code, word in (
        ("cat-ana", "ana", "cat", "purrs loudly"),
        ("dog-ana", "ana", "dog", "barks"),
        ("cat-bo", "bo", "cat", "sleeps"),
    ):
        made = await river.write(
            name,
            {
                "resourceType": "Observation",
                "status": "final",
                "code": {"coding": [{"system": SYSTEM, "code": code}]},
                "subject": {"reference": f"Patient/{people[patient]}"},
                "note": [{"text": word}],
                "meta": {"tag": [{"system": "urn:tag", "code": code}]},
            },
        )
        if name == "dog-ana":
            await river.write(
                "report",
                {
                    "resourceType": "DiagnosticReport",
                    "status": "final",
                    "code": {"text": "Report"},
                    "subject": {"reference": f"Patient/{people['ana']}"},
                    "result": [{"reference": f"Observation/{made}"}],
                    "meta": {"security": [{"system": ACT_CODE, "code": "ETHUD"}]},
                },
            )
            await river.write(
                "favourites",
                {
                    "resourceType": "List",
                    "status": "current",
                    "mode": "working",
                    "subject": {"reference": f"Patient/{people['ana']}"},
                    "entry": [{"item": {"reference": f"Observation/{made}"}}],
                },
            )
    await river.write(
        "animals",
        {
            "resourceType": "CodeSystem",
            "url": SYSTEM,
            "status": "active",
            "content": "complete",
            "concept": [
                {"code": "animal", "concept": [{"code": "mammal", "concept": [{"code": "cat"}]}]},
                {"code": "dog", "property": [{"code": "parent", "valueCode": "mammal"}]},
            ],
        },
    )
    await river.write(
        "pets",
        {
            "resourceType": "ValueSet",
            "url": "http://example.org/pets",
            "status": "active",
            "compose": {
                "include": [
                    {
                        "system": SYSTEM,
                        "filter": [{"property": "concept", "op": "is-a", "value": "mammal"}],
                    }
                ],
                "exclude": [{"system": SYSTEM, "concept": [{"code": "dog"}]}],
            },
        },
    )
    return river


def id_of(clinic: Searcher, name: str) -> str:
    return next(id_ for id_, known in clinic.names.items() if known == name)


CASES: list[tuple[str, set[str]]] = [
    # chains of any depth, with and without a type
    ("Observation?subject:Patient.family=ana", {"cat-ana", "dog-ana"}),
    ("Observation?patient.family=bo", {"cat-bo"}),
    ("Observation?subject.name=ana&code=cat", {"cat-ana"}),
    ("Observation?patient.organization.name=room&code=dog", {"dog-ana"}),
    ("Observation?patient.organization.partof.partof.name=house", {"cat-ana", "dog-ana", "cat-bo"}),
    ("Observation?patient.gender:not=male", {"cat-ana", "dog-ana"}),
    ("DiagnosticReport?result.patient.birthdate=lt1995", {"report"}),
    # reverse chains, nested
    (f"Patient?_has:Observation:patient:code={SYSTEM}|dog", {"ana"}),
    ("Patient?_has:Observation:patient:code=cat", {"ana", "bo"}),
    ("Patient?_has:Observation:patient:_has:DiagnosticReport:result:status=final", {"ana"}),
    ("Organization?_has:Patient:organization:_has:Observation:patient:code=dog", {"room"}),
    ("Observation?patient._has:DiagnosticReport:patient:status=final", {"cat-ana", "dog-ana"}),
    # hierarchies of resources
    ("Organization?partof:below={house}", {"ward", "room"}),
    ("Patient?organization:below=Organization/{ward}", {"ana", "bo"}),
    ("Patient?organization:above=Organization/{room}&gender=male", {"bo"}),
    ("Organization?partof:above=Organization/{ward}", {"ward", "room"}),
    # terminology
    ("Observation?code:in=http://example.org/pets", {"cat-ana", "cat-bo"}),
    ("Observation?code:not-in=http://example.org/pets", {"dog-ana"}),
    ("Observation?code:in=ValueSet/{pets}&patient.family=ana", {"cat-ana"}),
    (f"Observation?code:below={SYSTEM}|mammal", {"cat-ana", "dog-ana", "cat-bo"}),
    (f"Observation?code:above={SYSTEM}|cat", {"cat-ana", "cat-bo"}),
    (
        "Observation?status:in=http://hl7.org/fhir/ValueSet/observation-status|4.0.1&code=dog",
        {"dog-ana"},
    ),
    ("Patient?_has:Observation:patient:code:in=http://example.org/pets", {"ana", "bo"}),
    (f"DiagnosticReport?_security:below={ACT_CODE}|SUD", {"report"}),
    (f"DiagnosticReport?_security:below={ACT_CODE}|OPIOIDUD", set()),
    (f"DiagnosticReport?_security:above={ACT_CODE}|ETHUD", {"report"}),
    # lists, tags, words
    ("Observation?_list={favourites}", {"dog-ana"}),
    ("Observation?_list=List/{favourites}&code=cat", set()),
    ("Observation?_tag=urn:tag|dog", {"dog-ana"}),
    ("Patient?_text=EVENING", {"ana", "bo"}),
    ("Patient?_text=evening ana", {"ana"}),
    ('Patient?_text="calls evening"', set()),
    ("Patient?_text=evening -ana", {"bo"}),
    ("Observation?_content=purrs", {"cat-ana"}),
    ("Observation?_content=purrs or barks", {"cat-ana", "dog-ana"}),
    # _filter
    (f'Observation?_filter=code eq {SYSTEM}|cat and patient.family sw "an"', {"cat-ana"}),
    ('Observation?_filter=not (code eq cat) or patient.family eq "Bo"', {"dog-ana", "cat-bo"}),
    (
        "Observation?_filter=patient[gender eq female].birthdate ge 1990 and code eq dog",
        {"dog-ana"},
    ),
    ('Patient?_filter=family co "N" and birthdate gt 1985', {"ana"}),
    ('Patient?_filter=family ew "o"', {"bo"}),
    ("Patient?_filter=birthdate po 1980", {"bo"}),
    ("Patient?_filter=birthdate po 1980-05-31", {"bo"}),
    ("Patient?_filter=birthdate po 1980-06", set()),
    ("Patient?_id:not={ana}", {"bo"}),
    ("Observation?patient:not={ana}", {"cat-bo"}),
    ("Patient?_filter=identifier pr false and gender ne male", {"ana"}),
    (
        'Observation?_filter=code in http://example.org/pets and patient.family eq "Ana"',
        {"cat-ana"},
    ),
]


@pytest.mark.parametrize(("query", "expected"), CASES, ids=[query for query, _ in CASES])
async def test_a_search_through_links_finds_what_the_specification_says(
    clinic: Searcher, query: str, expected: set[str]
) -> None:
    ids = {name: id_ for id_, name in clinic.names.items()}
    path, _, text = query.format(**ids).partition("?")
    assert await clinic.finds(f"/{path}?{quote(text, safe='=&:,|$')}") == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("_include=Observation:subject", {"ana"}),
        ("_include=Observation:subject&_include:iterate=Patient:organization", {"ana", "room"}),
        (
            f"{TO_PATIENT}&_include:iterate=Patient:organization&_include:iterate=Organization:partof",
            {"ana", "room", "ward", "house"},
        ),
        ("_include=Observation:subject:Group", set()),
        ("_include=*", {"ana"}),
        ("_revinclude=DiagnosticReport:result", {"report"}),
        ("_revinclude=DiagnosticReport:*", {"report"}),
        ("_revinclude=*", {"report", "favourites"}),
        ("_revinclude=List:item&_include=Observation:patient", {"favourites", "ana"}),
        (
            "_include=Observation:patient&_revinclude:iterate=Observation:patient",
            {"ana", "cat-ana"},
        ),
    ],
)
async def test_includes_follow_links_once_or_again(
    clinic: Searcher, query: str, expected: set[str]
) -> None:
    bundle = await clinic.bundle(f"/Observation?code=dog&{query}")
    assert clinic.named(bundle) == ["dog-ana"]
    included = clinic.named(bundle, "include")
    assert set(included) == expected
    assert len(included) == len(expected)


async def test_a_system_wide_search_asks_what_all_types_have(clinic: Searcher) -> None:
    ana, dog = id_of(clinic, "ana"), id_of(clinic, "dog-ana")
    assert await clinic.finds(f"?_id={ana},{dog}") == {"ana", "dog-ana"}
    assert await clinic.finds("?_tag=urn:tag|dog,urn:tag|cat") == {"cat-ana", "dog-ana", "cat-bo"}
    assert await clinic.finds(f"?_type=Observation,DiagnosticReport&patient={ana}") == {
        "cat-ana",
        "dog-ana",
        "report",
    }
    assert await clinic.finds("?_type=Observation,DiagnosticReport&patient.family=bo") == {"cat-bo"}
    both = await clinic.bundle("?_type=Observation,DiagnosticReport&_tag=urn:tag|dog&_include=*")
    assert (clinic.named(both), clinic.named(both, "include")) == (["dog-ana"], ["ana"])
    refused = await clinic.agency.get("?_type=Observation,Patient&birthdate=1990")
    assert refused.status_code == 400


SORTS = [
    ("Patient?_sort=birthdate", ["bo", "ana"]),
    ("Patient?_sort=-birthdate", ["ana", "bo"]),
    ("Patient?_sort=-family", ["bo", "ana"]),
    ("Patient?_sort=gender", ["ana", "bo"]),
    ("Observation?_sort=code,-_lastUpdated", ["cat-bo", "cat-ana", "dog-ana"]),
    ("Observation?_sort=-code,_lastUpdated", ["dog-ana", "cat-ana", "cat-bo"]),
    ("Observation?_sort=_lastUpdated", ["cat-ana", "dog-ana", "cat-bo"]),
    ("Observation?", ["cat-bo", "dog-ana", "cat-ana"]),
]


@pytest.mark.parametrize(("query", "expected"), SORTS)
async def test_a_page_is_sorted_by_several_parameters_both_ways(
    clinic: Searcher, query: str, expected: list[str]
) -> None:
    assert clinic.named(await clinic.bundle(f"/{query}")) == expected


async def test_a_page_is_sorted_by_the_id_of_what_is_referred_to(clinic: Searcher) -> None:
    people = sorted(("ana", "bo"), key=lambda name: id_of(clinic, name))
    for sort, order in (("patient,code", people), ("-patient,code", people[::-1])):
        found = clinic.named(await clinic.bundle(f"/Observation?_sort={sort}"))
        assert [each.rpartition("-")[2] for each in found] == [
            person for person in order for _ in range(2 if person == "ana" else 1)
        ]
    # Those that have nothing above them come last.
    found = clinic.named(await clinic.bundle("/Organization?_sort=partof"))
    assert set(found[:2]) == {"ward", "room"}


async def test_an_intermediate_resource_that_is_hidden_carries_no_chain(clinic: Searcher) -> None:
    """Harbor may see Ana's Observations and nothing else: what lies behind them tells it nothing."""
    only = [{"system": RESOURCE_TYPES, "code": "Observation"}]
    ana = id_of(clinic, "ana")
    harbor = clinic.world[HARBOR]
    permit = consent(ana, type="permit", actor=actor(HARBOR), **{"class": only})
    made = await clinic.world[RIVER].post("/Consent", permit)
    assert made.status_code == 201
    assert await clinic.finds("/Observation", harbor) == {"cat-ana", "dog-ana"}
    for hidden in (
        "patient.family=ana",
        "patient.gender:not=male",
        "patient.family:missing=false",
        "patient.organization.name=room",
        "_has:DiagnosticReport:result:status=final",
        f"_list={id_of(clinic, 'favourites')}",
        "patient._text=evening",
        quote('_filter=patient.family eq "Ana"', safe="=_"),
        quote("_filter=patient[gender pr true].birthdate pr false", safe="=_"),
    ):
        assert await clinic.finds(f"/Observation?{hidden}", harbor) == set(), hidden
    for path in ("/Patient?_text=evening", "/Patient?_has:Observation:patient:code=dog"):
        assert await clinic.finds(path, harbor) == set(), path
    bundle = await clinic.bundle(
        "/Observation?code=dog&_include=*&_revinclude=DiagnosticReport:result"
        "&_include:iterate=Patient:organization",
        harbor,
    )
    assert clinic.named(bundle, "include") == []

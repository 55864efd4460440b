"""Every type of search parameter, with its prefixes, modifiers and escapes, over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.search.conftest import Searcher

UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"


def quantity(value: float, code: str, **more: Any) -> dict[str, Any]:
    return {"value": value, "unit": code, "system": UCUM, "code": code} | more


@pytest.fixture(scope="module")
async def clinic(river: Searcher) -> Searcher:
    ana = await river.write(
        "ana",
        {
            "resourceType": "Patient",
            "name": [{"family": "Núñez", "given": ["Ana María"]}],
            "gender": "female",
            "birthDate": "1998-04",
            "identifier": [
                {
                    "system": "urn:mrn",
                    "value": "a|1,2$3",
                    "type": {
                        "coding": [{"system": "urn:types", "code": "MR"}],
                        "text": "Medical record",
                    },
                }
            ],
        },
    )
    await river.write(
        "bea",
        {
            "resourceType": "Patient",
            "name": [{"family": "Nunes"}],
            "birthDate": "2001-11-30",
            "link": [{"other": {"reference": f"Patient/{ana}"}, "type": "seealso"}],
        },
    )

    def observation(code: str, **more: Any) -> dict[str, Any]:
        return {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": LOINC, "code": code, "display": f"Test {code}"}]},
            "subject": {"reference": f"Patient/{ana}"},
        } | more

    await river.write("5mg", observation("A", valueQuantity=quantity(5.0, "mg")))
    await river.write("0.0054g", observation("A", valueQuantity=quantity(0.0054, "g")))
    await river.write("6mL", observation("B", valueQuantity=quantity(6, "mL")))
    await river.write("<2", observation("B", valueQuantity=quantity(2, "[IU]/L", comparator="<")))
    await river.write(
        "pressure",
        observation(
            "P",
            effectivePeriod={"start": "2024-01-10", "end": "2024-01-20"},
            component=[
                {
                    "code": {"coding": [{"system": LOINC, "code": "sys"}]},
                    "valueQuantity": quantity(120, "mm[Hg]"),
                },
                {
                    "code": {"coding": [{"system": LOINC, "code": "dia"}]},
                    "valueQuantity": quantity(80, "mm[Hg]"),
                },
            ],
        ),
    )
    await river.write(
        "dated", observation("D", effectiveDateTime="2024-01-15T10:00:00Z", status="amended")
    )
    for name, probability in (("low", 0.25), ("high", 0.75)):
        await river.write(
            name,
            {
                "resourceType": "RiskAssessment",
                "status": "final",
                "subject": {"reference": f"Patient/{ana}"},
                "prediction": [{"probabilityDecimal": probability}],
            },
        )
    for name, url in (
        ("root", "http://example.org/fhir"),
        ("leaf", "http://example.org/fhir/vs/leaf"),
        ("other", "http://example.org/fhirs"),
    ):
        await river.write(name, {"resourceType": "ValueSet", "url": url, "status": "draft"})
    await river.write(
        "harbour",
        {
            "resourceType": "Location",
            "name": "Harbour",
            "position": {"latitude": 40.70, "longitude": -74.01},
        },
    )
    await river.write(
        "airport",
        {
            "resourceType": "Location",
            "name": "Airport",
            "position": {"latitude": 40.64, "longitude": -73.78},
        },
    )
    return river


CASES: list[tuple[str, set[str]]] = [
    # number: precision of what is written, exact with a prefix
    ("RiskAssessment?probability=0.25", {"low"}),
    ("RiskAssessment?probability=0.3", {"low"}),
    ("RiskAssessment?probability=3e-1", {"low"}),
    ("RiskAssessment?probability=0.30", set()),
    ("RiskAssessment?probability=gt0.25", {"high"}),
    ("RiskAssessment?probability=ge0.25", {"low", "high"}),
    ("RiskAssessment?probability=ne0.25", {"high"}),
    ("RiskAssessment?probability=ap0.27", {"low"}),
    ("RiskAssessment?probability=lt0.25,gt0.7", {"high"}),
    # quantity: canonical units, units as written, comparators
    ("Observation?value-quantity=5", {"5mg"}),
    (f"Observation?value-quantity=5|{UCUM}|mg", {"5mg", "0.0054g"}),
    (f"Observation?value-quantity=5.0|{UCUM}|mg", {"5mg"}),
    (f"Observation?value-quantity=5000|{UCUM}|ug", {"5mg"}),
    (f"Observation?value-quantity=gt0.0051|{UCUM}|g", {"0.0054g"}),
    (f"Observation?value-quantity=gt5|{UCUM}|mg", {"0.0054g"}),
    (f"Observation?value-quantity=le0.006|{UCUM}|L", {"6mL"}),
    ("Observation?value-quantity=6||mL", {"6mL"}),
    ("Observation?value-quantity=6||mg", set()),
    (f"Observation?value-quantity=lt1|{UCUM}|[IU]/L", {"<2"}),
    (f"Observation?value-quantity=gt1.9|{UCUM}|[IU]/L", {"<2"}),
    (f"Observation?value-quantity=gt2|{UCUM}|[IU]/L", set()),
    (f"Observation?value-quantity=eb2|{UCUM}|[IU]/L", {"<2"}),
    ("Observation?value-quantity:missing=false", {"5mg", "0.0054g", "6mL", "<2"}),
    # composite: components of the same element
    (f"Observation?code-value-quantity={LOINC}|A$gt5.1|{UCUM}|mg", {"0.0054g"}),
    (f"Observation?code-value-quantity=B$5|{UCUM}|mg", set()),
    (f"Observation?component-code-value-quantity=sys$120|{UCUM}|mm[Hg]", {"pressure"}),
    (f"Observation?component-code-value-quantity=dia$120|{UCUM}|mm[Hg]", set()),
    (f"Observation?combo-code-value-quantity=dia$80,A$lt5.2|{UCUM}|mg", {"pressure", "5mg"}),
    # date: ranges of partial dates, and Periods
    ("Patient?birthdate=1998", {"ana"}),
    ("Patient?birthdate=1998-04-10", set()),
    ("Patient?birthdate=ge1998-04-10", {"ana", "bea"}),
    ("Patient?birthdate=sa1998-04-10", {"bea"}),
    ("Observation?date=2024-01-15", {"dated"}),
    ("Observation?date=2024-01", {"dated", "pressure"}),
    ("Observation?date=gt2024-01-15", {"pressure"}),
    ("Observation?date=ge2024-01-15", {"pressure", "dated"}),
    ("Observation?date=sa2024-01-09", {"pressure", "dated"}),
    ("Observation?date=sa2024-01-10", {"dated"}),
    ("Observation?date=eb2024-01-20", {"dated"}),
    ("Observation?date=lt2024-01-12", {"pressure"}),
    ("Observation?date=ge2024-01-12&date=le2024-01-13", {"pressure"}),
    # string
    ("Patient?family=nun", {"ana", "bea"}),
    ("Patient?family:exact=Nunes", {"bea"}),
    ("Patient?family:contains=ñe", {"ana", "bea"}),
    ("Patient?given=maria", set()),
    ("Patient?given:contains=MARIA", {"ana"}),
    # token
    (r"Patient?identifier=urn:mrn|a\|1\,2\$3", {"ana"}),
    ("Patient?identifier=urn:mrn|", {"ana"}),
    (r"Patient?identifier:of-type=urn:types|MR|a\|1\,2\$3", {"ana"}),
    (r"Patient?identifier:of-type=urn:types|SS|a\|1\,2\$3", set()),
    ("Patient?identifier:text=medical", {"ana"}),
    ("Patient?gender:not=male", {"ana", "bea"}),
    ("Patient?gender:missing=true", {"bea"}),
    ("Observation?code:text=test a", {"5mg", "0.0054g"}),
    ("Observation?code=A,D", {"5mg", "0.0054g", "dated"}),
    ("Observation?status:not=final", {"dated"}),
    # uri
    ("ValueSet?url=http://example.org/fhir", {"root"}),
    ("ValueSet?url:below=http://example.org/fhir", {"root", "leaf"}),
    ("ValueSet?url:below=http://example.org/fhir/", {"leaf"}),
    ("ValueSet?url:above=http://example.org/fhir/vs/leaf/deeper", {"root", "leaf"}),
    # what every resource has
    ("ValueSet?_id:missing=true", set()),
    ("ValueSet?_lastUpdated:missing=false&url:below=http://example.org/fhir", {"root", "leaf"}),
    # special
    ("Location?near=40.70|-74.00|5|km", {"harbour"}),
    ("Location?near=40.70|-74.00|50", {"harbour", "airport"}),
    ("Location?near=40.70|-74.00|3|[mi_i]", {"harbour"}),
]


@pytest.mark.parametrize(("query", "expected"), CASES, ids=[query for query, _ in CASES])
async def test_a_search_finds_what_the_specification_says(
    clinic: Searcher, query: str, expected: set[str]
) -> None:
    path, _, text = query.partition("?")
    assert await clinic.finds(f"/{path}?{quote(text, safe='=&:,|$')}") == expected


async def test_a_reference_is_found_by_id_type_url_identifier_and_type_modifier(
    clinic: Searcher,
) -> None:
    ana = next(id_ for id_, name in clinic.names.items() if name == "ana")
    base = clinic.world.service.settings.fhir_base
    for value in (
        f"subject={ana}",
        f"subject=Patient/{ana}",
        f"subject={base}/Patient/{ana}",
        f"subject:Patient={ana}",
        f"patient={ana}",
    ):
        assert await clinic.finds(f"/RiskAssessment?{value}") == {"low", "high"}
    assert await clinic.finds(f"/RiskAssessment?subject:Group={ana}") == set()
    assert await clinic.finds(f"/Patient?link={ana}") == {"bea"}


@pytest.mark.parametrize(
    "query",
    [
        "Observation?value-quantity=five",
        "Observation?value-quantity=5|mg",
        "Observation?code-value-quantity=A",
        "Observation?code-value-quantity:missing=true",
        "RiskAssessment?probability=1/4",
        "Patient?identifier:of-type=MR|1",
        "Location?near=north",
        "Location?near=40|-74|3|kg",
        "Observation?code:above=A",
    ],
)
async def test_a_value_that_cannot_be_searched_is_refused_by_name(
    clinic: Searcher, query: str
) -> None:
    answer = await clinic.agency.get(f"/{query}")
    assert answer.status_code == 400
    name = query.partition("?")[2].partition("=")[0]
    assert answer.json()["issue"][0]["expression"] == [name]

"""Language, interpreters, culture: the same score in two languages; a refused interpreter is not booked."""

from __future__ import annotations

from tests.care.conftest import (
    RIVER,
    Json,
    World,
    created,
    new_patient,
    reference,
)
from tests.care.instruments import phq9, phq9_answers, response

TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"
REFUSED = "https://throughline.example/fhir/StructureDefinition/refused-participant"


async def test_one_instrument_in_two_languages_gives_the_same_codes_and_score(
    world: World,
) -> None:
    patient = await new_patient(world[RIVER])
    asked = phq9()
    asked["language"] = "en"
    for item in asked["item"]:
        item["text"] = f"Question {item['linkId']}"
        parts = [
            {"url": "lang", "valueCode": "es"},
            {"url": "content", "valueString": f"Pregunta {item['linkId']}"},
        ]
        item["_text"] = {"extension": [{"url": TRANSLATION, "extension": parts}]}
    stored = await created(world[RIVER], asked)
    path = f"/Questionnaire/{stored['id']}/$populate?subject=Patient/{patient}"
    made = {}
    for language in ("en", "es"):
        begun = (await world[RIVER].get(path, **{"Accept-Language": language})).json()
        answers = {
            item["linkId"]: item["answer"] for item in response(phq9_answers(*[1] * 9))["item"]
        }
        for item in begun["item"]:
            item["answer"] = answers[item["linkId"]]
        given = await created(world[RIVER], begun | {"status": "completed"})
        bundle = (await world[RIVER].get(f"/QuestionnaireResponse/{given['id']}/$extract")).json()
        score = bundle["entry"][0]["resource"]
        made[given["language"]] = (
            begun["item"][0]["text"].split()[0],
            score["code"],
            score["valueQuantity"],
        )
    assert made["en"][0] == "Question"
    assert made["es"][0] == "Pregunta"
    assert made["en"][1:] == made["es"][1:]


async def test_a_refused_interpreter_cannot_be_booked(world: World) -> None:
    cousin = await created(world[RIVER], {"resourceType": "Practitioner", "name": [{"text": "X"}]})
    other = await created(world[RIVER], {"resourceType": "Practitioner", "name": [{"text": "Y"}]})
    refused = reference(f"Practitioner/{cousin['id']}")
    patient = await created(
        world[RIVER],
        {
            "resourceType": "Patient",
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/patient-interpreterRequired",
                    "valueBoolean": True,
                },
                {"url": REFUSED, "valueReference": refused},
            ],
        },
    )

    def booking(interpreter: str) -> Json:
        return {
            "resourceType": "Appointment",
            "status": "booked",
            "start": "2026-12-01T10:00:00Z",
            "end": "2026-12-01T11:00:00Z",
            "participant": [
                {"status": "accepted", "actor": reference(f"Patient/{patient['id']}")},
                {"status": "accepted", "actor": reference(f"Practitioner/{interpreter}")},
            ],
        }

    answer = await world[RIVER].post("/Appointment", booking(cousin["id"]))
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Appointment.participant[1].actor"]
    assert (await world[RIVER].post("/Appointment", booking(other["id"]))).status_code == 201

"""Search by GET and POST: parameters of every kind served, and consent inside page, total and include."""

from __future__ import annotations

from tests.spine.conftest import AGENCIES, World, actor, consent, new_patient, observation

RIVER, HARBOR, SHELTER, LEGAL = AGENCIES


def ids(bundle: dict[str, object], mode: str = "match") -> list[str]:
    entries = bundle.get("entry", [])
    assert isinstance(entries, list)
    return [e["resource"]["id"] for e in entries if e["search"]["mode"] == mode]


async def test_token_reference_date_and_id_find_what_was_written(world: World) -> None:
    river, patient = world[RIVER], await new_patient(world[RIVER])
    made = (await river.post("/Observation", observation(patient))).json()["id"]
    for query in (
        "code=http://loinc.org|85354-9",
        "code=85354-9",
        f"patient={patient}",
        f"subject=Patient/{patient}",
        "date=2026-03-01",
        "date=ge2026-02",
        "status=final",
        f"_id={made}",
        "_lastUpdated=gt2026-01-01",
        f"patient={patient}&code=85354-9&date=lt2027",
    ):
        answer = await river.get(f"/Observation?{query}")
        assert answer.status_code == 200, answer.text
        assert ids(answer.json()) == [made], query
    for query in (
        "code=0000-0",
        "date=2025",
        "status=preliminary",
        "_id=none",
        "date=sa2026-03-02",
    ):
        assert ids((await river.get(f"/Observation?{query}")).json()) == [], query


async def test_string_search_folds_case_and_accents(world: World) -> None:
    river = world[RIVER]
    made = await river.post("/Patient", {"resourceType": "Patient", "name": [{"family": "Núñez"}]})
    for query in ("family=nun", "name=NUNEZ", "family:exact=Núñez", "family:contains=uñe"):
        found = await river.get(f"/Patient?{query}")
        assert ids(found.json()) == [made.json()["id"]], query


async def test_hidden_rows_are_in_no_page_and_no_total(world: World) -> None:
    patient = await new_patient(world[RIVER])
    await world[RIVER].post("/Observation", observation(patient))
    for query in ("code=85354-9", f"patient={patient}", "", "code:not=1-1"):
        answer = await world[LEGAL].get(f"/Observation?{query}&_total=accurate".replace("?&", "?"))
        assert answer.status_code == 200, answer.text
        assert answer.json()["total"] == 0
        assert "entry" not in answer.json()


async def test_search_after_permit_shows_and_after_withdrawal_hides(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = (await world[RIVER].post("/Observation", observation(patient))).json()["id"]
    permit = (
        await world[RIVER].post("/Consent", consent(patient, type="permit", actor=actor(HARBOR)))
    ).json()
    answer = (await world[HARBOR].get(f"/Observation?patient={patient}&_total=accurate")).json()
    assert (ids(answer), answer["total"]) == ([made], 1)
    await world[RIVER].put(f"/Consent/{permit['id']}", permit | {"status": "inactive"})
    answer = (await world[HARBOR].get(f"/Observation?patient={patient}&_total=accurate")).json()
    assert (ids(answer), answer["total"]) == ([], 0)


async def test_include_brings_only_what_may_be_seen(world: World) -> None:
    patient = await new_patient(world[RIVER])
    made = (await world[RIVER].post("/Observation", observation(patient))).json()["id"]
    only = [{"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}]
    await world[RIVER].post(
        "/Consent", consent(patient, type="permit", actor=actor(HARBOR), **{"class": only})
    )
    query = f"/Observation?_id={made}&_include=Observation:patient"
    full = (await world[RIVER].get(query)).json()
    assert (ids(full), ids(full, "include")) == ([made], [patient])
    less = (await world[HARBOR].get(query)).json()
    assert (ids(less), ids(less, "include")) == ([made], [])


async def test_pages_follow_each_other_and_cursors_belong_to_their_caller(world: World) -> None:
    river, patient = world[RIVER], await new_patient(world[RIVER])
    made = {(await river.post("/Observation", observation(patient))).json()["id"] for _ in range(5)}
    seen: list[str] = []
    path = f"/Observation?patient={patient}&_count=2&_sort=-date"
    while path:
        bundle = (await river.get(path)).json()
        seen += ids(bundle)
        following = [li["url"] for li in bundle["link"] if li["relation"] == "next"]
        path = following[0].removeprefix(world.service.settings.fhir_base) if following else ""
        if path:
            foreign = await world[LEGAL].get(path)
            assert foreign.status_code == 400
    assert len(seen) == 5
    assert set(seen) == made


async def test_post_search_equals_get_search(world: World) -> None:
    river, patient = world[RIVER], await new_patient(world[RIVER])
    await river.post("/Observation", observation(patient))
    got = (await river.get(f"/Observation?patient={patient}")).json()
    posted = await world.http.post(
        "/fhir/Observation/_search", headers=river.headers, data={"patient": patient}
    )
    assert posted.json() == got


async def test_unknown_parameter_is_refused_because_an_ignored_filter_over_shares(
    world: World,
) -> None:
    answer = await world[RIVER].get("/Observation?no-such=1")
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == ["no-such"]

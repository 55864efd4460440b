"""Data-informed adjustment: small numbers are withheld, and cannot be worked out."""

from __future__ import annotations

import pytest

from app.care.measures import withheld
from app.consent.labels import PROGRAM_SYSTEM
from app.security import clients
from tests.care.conftest import (
    LEGAL,
    RIVER,
    SHELTER,
    Agency,
    Json,
    World,
    actor,
    classes,
    concept,
    consent,
    created,
    done,
    found,
    new_patient,
    observation,
    post,
    saved,
    transaction,
)
from tests.spine.conftest import ACT_REASON

QUERY = "application/x-fhir-query"


def measure(*components: str) -> Json:
    population = {"criteria": {"language": QUERY, "expression": "Observation?status=final,amended"}}
    strata = [
        {
            "code": {"text": each},
            "criteria": {"language": QUERY, "expression": f"Observation?{each}"},
        }
        for each in components
    ]
    return {
        "resourceType": "Measure",
        "status": "active",
        "group": [{"population": [population], "stratifier": [{"component": strata}]}],
    }


def counts(report: Json) -> tuple[int | None, list[int | None]]:
    (group,) = report["group"]
    strata = group["stratifier"][0]["stratum"]
    return (
        group["population"][0].get("count"),
        [each["population"][0].get("count") for each in strata],
    )


async def test_cells_of_1_to_10_are_withheld_and_not_derivable(world: World) -> None:
    patient = await new_patient(world[SHELTER])
    entries = [post(observation(patient)) for _ in range(15)]
    entries += [post(observation(patient, status="amended")) for _ in range(3)]
    await done(world[SHELTER], transaction(*entries))
    stored = await created(world[SHELTER], measure("status=final", "status=amended"))
    path = f"/Measure/{stored['id']}/$evaluate-measure?periodStart=2020-01-01&periodEnd=2030-01-01"
    report = (await world[SHELTER].get(path)).json()
    assert counts(report) == (18, [None, None])
    assert patient not in str(report)
    assert report["type"] == "summary"
    # An aggregate of what may be seen: for who sees nobody it is the report of an empty service.
    assert counts((await world[LEGAL].get(path)).json()) == (0, [0, 0])


async def researcher(world: World) -> Agency:
    """Legal aid's organization as one that does research: a client of its own, for that purpose alone."""
    world.secrets["study"] = (
        await clients.add_client(
            world.service.database.pool,
            client_id="study",
            organization=world.organizations[LEGAL],
            scope="system/*.rs",
            purposes_of_use=("HRESCH",),
        )
        or ""
    )
    answer = await world.token("study")
    return Agency(world.http, {"Authorization": f"Bearer {answer.json()['access_token']}"})


async def test_research_reads_what_was_agreed_to_for_research_and_nobody_else_reads_it_so(
    world: World,
) -> None:
    patient, study = await new_patient(world[RIVER]), await researcher(world)
    score = concept("https://throughline.example/fhir/CodeSystem/score", "life-quality")
    agreed = await created(world[RIVER], observation(patient, code=score))
    other = await created(world[RIVER], observation(patient))
    assert await found(study, "/Observation") == []
    permit = await created(
        world[RIVER],
        consent(
            patient,
            type="permit",
            period={"start": "2026-01-01", "end": "2027-12-31"},
            actor=actor(LEGAL),
            purpose=[{"system": ACT_REASON, "code": "HRESCH"}],
            code=[score],
            **{"class": classes("Observation")},
        ),
    )
    everything = "/Observation?_include=Observation:subject&_total=accurate"
    assert [each["id"] for each in await found(study, everything)] == [agreed["id"]]
    # The answer names nobody: the reference stays, and what it points at is as missing.
    for path in (
        f"/Patient/{patient}",
        f"/Patient/{patient}/$summary",
        f"/Observation/{other['id']}",
    ):
        assert (await study.get(path)).status_code == 404, path
    # The same organization asking for treatment: for that nobody agreed.
    assert (await world[LEGAL].get(f"/Observation/{agreed['id']}")).status_code == 404
    assert (await study.get(f"/Observation/{agreed['id']}")).status_code == 200
    await saved(world[RIVER], permit | {"status": "inactive"})
    hidden = await study.get(f"/Observation/{agreed['id']}")
    missing = await study.get("/Observation/none")
    assert (hidden.status_code, hidden.content) == (404, missing.content)


async def test_a_consent_to_treatment_is_none_to_research(world: World) -> None:
    patient, study = await new_patient(world[RIVER]), await researcher(world)
    await created(world[RIVER], observation(patient))
    treatment = [{"system": ACT_REASON, "code": "TREAT"}]
    permit = consent(patient, type="permit", actor=actor(LEGAL), purpose=treatment)
    await created(world[RIVER], permit)
    assert len(await found(world[LEGAL], "/Observation")) == 1
    assert await found(study, "/Observation") == []


async def test_a_victim_service_provider_hands_out_counts_and_no_persons(world: World) -> None:
    organization = (await world[SHELTER].get(f"/Organization/{SHELTER}")).json()
    program = {"coding": [{"system": PROGRAM_SYSTEM, "code": "victim-service"}]}
    await saved(world[SHELTER], organization | {"type": [program]})
    stored = await created(world[SHELTER], measure("status=final"))
    patient = await new_patient(world[SHELTER])
    await done(world[SHELTER], transaction(*(post(observation(patient)) for _ in range(12))))
    path = f"/Measure/{stored['id']}/$evaluate-measure?periodStart=2020-01-01&periodEnd=2030-01-01"
    report = (await world[SHELTER].get(path)).json()
    assert counts(report) == (12, [12])
    assert report["type"] == "summary"
    assert "Patient/" not in str(report)
    for more in (f"subject=Patient/{patient}", "reportType=subject", "practitioner=x"):
        assert (await world[SHELTER].get(f"{path}&{more}")).status_code == 400, more
    for path in ("/$export", "/Patient/$export", "/Group/all/$export"):
        assert (await world[SHELTER].get(path)).status_code in (400, 403, 404), path


async def test_a_report_needs_the_scope_to_search_what_it_counts(world: World) -> None:
    stored = await created(world[SHELTER], measure("status=final"))
    path = f"/fhir/Measure/{stored['id']}/$evaluate-measure?periodStart=2020&periodEnd=2030"
    token = (await world.token(SHELTER, scope="system/Measure.r")).json()["access_token"]
    answer = await world.http.get(path, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("total", "cells", "hidden"),
    [
        (0, [0, 0], set()),
        (100, [60, 40], set()),
        (7, [7, 0], None),
        (65, [60, 5], {0, 1}),
        (100, [50, 30, 15, 5], {2, 3}),
        (113, [50, 40, 20, 2, 1], {2, 3, 4}),
        (12, [6, 6], {0, 1}),
        (11, [10, 1], None),
        (15, [5, 5, 5], {0, 1, 2}),
        (4, [2, 2], None),
    ],
)
def test_what_is_withheld(total: int, cells: list[int], hidden: set[int] | None) -> None:
    found_ = withheld(total, [cells])
    assert (None if found_ is None else found_[0]) == hidden


def possible(total: int, shown: dict[int, int], cells: int) -> dict[int, set[int]]:
    """Every value that each hidden cell of two or three can have, by trying all of them."""
    hidden = [i for i in range(cells) if i not in shown]
    rest = total - sum(shown.values())
    values: dict[int, set[int]] = {i: set() for i in hidden}

    def fill(left: list[int], taken: list[int]) -> None:
        if len(left) == 1:
            last = rest - sum(taken)
            if last >= 1:
                for i, v in zip(hidden, [*taken, last], strict=True):
                    values[i].add(v)
            return
        for v in range(1, rest - sum(taken)):
            fill(left[1:], [*taken, v])

    fill(hidden, [])
    return values


@pytest.mark.parametrize("small", range(1, 11))
def test_no_withheld_cell_can_be_worked_out_from_those_that_are_shown(small: int) -> None:
    for cells in ([small, 12, 30], [small, small, 25], [small, 11, 11, 40]):
        total = sum(cells)
        chosen = withheld(total, [cells])
        assert chosen is not None
        shown = {i: c for i, c in enumerate(cells) if i not in chosen[0]}
        for values in possible(total, shown, len(cells)).values():
            assert len(values) > 10

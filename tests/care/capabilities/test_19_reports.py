"""Data-informed adjustment: small numbers are withheld, and cannot be worked out."""

from __future__ import annotations

import pytest

from app.care.measures import withheld
from tests.care.conftest import (
    LEGAL,
    SHELTER,
    Json,
    World,
    created,
    done,
    new_patient,
    observation,
    post,
    transaction,
)

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

"""Every way of reading, asked whether it shows one resource: they must all agree.

Each path answers True (shown), False (not shown) or `Silent`: not to be told by this path, because the resource
that leads to the one asked for is not shown to the caller itself; the asker holds that against the decision
about that resource. A path that refuses in other words than for a missing resource fails on the spot, and so
does one that the server does not serve.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from tests.consent.stage import Agency

MISSING = "00000000-0000-4000-8000-00000000dead"


@dataclass
class Asked:
    """The question: does `agency` see `Type/id`, to which a Provenance, a Task and its request lead."""

    agency: Agency
    type: str
    id: str
    provenance: str
    task: str
    request: str
    patient: str


@dataclass(frozen=True)
class Silent:
    """Not to be told, because `lead` (`Type/id`) is not shown."""

    lead: str


Answer = bool | Silent
ReadPath = Callable[[Asked], Awaitable[Answer]]


def plain(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """What a caller can compare, request ids and times aside."""
    masked = ("x-request-id", "x-correlation-id", "date")
    return (
        answer.status_code,
        answer.content,
        sorted((k, v) for k, v in answer.headers.items() if k not in masked),
    )


def ids(answer: httpx.Response) -> set[str]:
    """`Type/id` of every entry of a Bundle."""
    assert answer.status_code == 200, answer.text
    return {
        f"{e['resource']['resourceType']}/{e['resource'].get('id')}"
        for e in answer.json().get("entry", ())
    }


async def _as_missing(asked: Asked, answer: httpx.Response, path: str) -> Answer:
    if answer.status_code == 200:
        return True
    missing = await asked.agency.get(path)
    assert plain(answer) == plain(missing)
    return False


async def read(asked: Asked) -> Answer:
    answer = await asked.agency.get(f"/{asked.type}/{asked.id}")
    return await _as_missing(asked, answer, f"/{asked.type}/{MISSING}")


async def vread(asked: Asked) -> Answer:
    answer = await asked.agency.get(f"/{asked.type}/{asked.id}/_history/1")
    return await _as_missing(asked, answer, f"/{asked.type}/{MISSING}/_history/1")


async def history(asked: Asked) -> Answer:
    answer = await asked.agency.get(f"/{asked.type}/{asked.id}/_history")
    return await _as_missing(asked, answer, f"/{asked.type}/{MISSING}/_history")


async def _empty(asked: Asked, answer: httpx.Response, path: str) -> Answer:
    """Whether the search shows it; if not, that the page is the page of a missing one."""
    if f"{asked.type}/{asked.id}" in ids(answer):
        return True
    missing = await asked.agency.get(path)
    assert answer.text.replace(asked.id, MISSING) == missing.text
    return False


async def search(asked: Asked) -> Answer:
    path = f"/{asked.type}?_id={{}}&_total=accurate"
    answer = await asked.agency.get(path.format(asked.id))
    shown = await _empty(asked, answer, path.format(MISSING))
    assert answer.json()["total"] == (1 if shown else 0)
    return shown


async def search_by_post(asked: Asked) -> Answer:
    answer = await asked.agency.send("POST", f"/{asked.type}/_search", data={"_id": asked.id})
    return f"{asked.type}/{asked.id}" in ids(answer)


async def count(asked: Asked) -> Answer:
    answer = await asked.agency.get(f"/{asked.type}?_id={asked.id}&_summary=count")
    assert answer.status_code == 200, answer.text
    return bool(answer.json()["total"])


async def include(asked: Asked) -> Answer:
    path = f"/Provenance?_id={asked.provenance}&_include=Provenance:target"
    found = ids(await asked.agency.get(path))
    if f"Provenance/{asked.provenance}" not in found:
        assert not found
        return Silent(f"Provenance/{asked.provenance}")
    return f"{asked.type}/{asked.id}" in found


async def revinclude(asked: Asked) -> Answer:
    path = f"/{asked.type}?_id={{}}&_revinclude=Provenance:target"
    answer = await asked.agency.get(path.format(asked.id))
    return await _empty(asked, answer, path.format(MISSING))


async def chain(asked: Asked) -> Answer:
    visible = await asked.agency.get(f"/Provenance/{asked.provenance}")
    found = ids(await asked.agency.get(f"/Provenance?target:{asked.type}._id={asked.id}"))
    if visible.status_code != 200:
        assert f"Provenance/{asked.provenance}" not in found
        return Silent(f"Provenance/{asked.provenance}")
    return f"Provenance/{asked.provenance}" in found


async def has(asked: Asked) -> Answer:
    visible = await asked.agency.get(f"/Provenance/{asked.provenance}")
    path = f"/{asked.type}?_has:Provenance:target:_id={asked.provenance}"
    found = ids(await asked.agency.get(path))
    if visible.status_code != 200:
        assert not found
        return Silent(f"Provenance/{asked.provenance}")
    return f"{asked.type}/{asked.id}" in found


async def everything(asked: Asked) -> Answer:
    answer = await asked.agency.get(f"/Patient/{asked.patient}/$everything?_count=200")
    if answer.status_code == 404:
        return Silent(f"Patient/{asked.patient}")
    return f"{asked.type}/{asked.id}" in ids(answer)


async def package(asked: Asked) -> Answer:
    answer = await asked.agency.get(f"/Task/{asked.task}/$referral-package")
    if answer.status_code == 404:
        return Silent(f"Task/{asked.task}")
    found = ids(answer)
    if f"ServiceRequest/{asked.request}" not in found:
        return Silent(f"ServiceRequest/{asked.request}")
    return f"{asked.type}/{asked.id}" in found


ALL: dict[str, ReadPath] = {
    "read": read,
    "vread": vread,
    "history": history,
    "search": search,
    "search by POST": search_by_post,
    "count": count,
    "include": include,
    "revinclude": revinclude,
    "chain": chain,
    "_has": has,
    "$everything": everything,
    "referral package": package,
}


def provenance(id_: str, target: str) -> dict[str, Any]:
    """A Provenance that leads to a resource."""
    return {
        "resourceType": "Provenance",
        "id": id_,
        "target": [{"reference": target}],
        "recorded": "2026-02-20T10:00:00Z",
        "agent": [{"who": {"reference": "Organization/river"}}],
    }

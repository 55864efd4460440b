"""Pages: each row once whatever is written meanwhile, cursors that nobody else can read or use."""

from __future__ import annotations

import asyncio
import secrets
import time
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from asyncpg.pool import PoolConnectionProxy

from app.interactions.cursors import LIFETIME, Cursors
from app.storage.database import Caller
from tests.search.conftest import HARBOR, LEGAL, RIVER, Searcher
from tests.spine.conftest import actor, consent


def link(bundle: dict[str, Any], relation: str) -> str | None:
    return next((each["url"] for each in bundle["link"] if each["relation"] == relation), None)


async def follow(clinic: Searcher, url: str, **more: Any) -> dict[str, Any]:
    return await clinic.bundle(url.removeprefix(clinic.world.service.settings.fhir_base), **more)


def condition(patient: str, number: int) -> dict[str, Any]:
    dated = {"onsetDateTime": f"2024-01-{1 + number // 2:02}"} if number % 3 else {}
    return {
        "resourceType": "Condition",
        "subject": {"reference": f"Patient/{patient}"},
        "code": {"text": f"number {number}"},
    } | dated


@pytest.fixture(scope="module")
async def clinic(river: Searcher) -> Searcher:
    ana = await river.write("ana", {"resourceType": "Patient"})
    for number in range(9):
        await river.write(f"c{number}", condition(ana, number))
    return river


SORTS = ["", "_sort=onset-date", "_sort=-onset-date", "_sort=_lastUpdated", "_sort=_id"]


@pytest.mark.parametrize("sort", SORTS)
async def test_every_row_comes_once_though_rows_are_inserted_meanwhile(
    clinic: Searcher, sort: str
) -> None:
    ana = next(id_ for id_, name in clinic.names.items() if name == "ana")
    whole = clinic.named(await clinic.bundle(f"/Condition?{sort}&_count=100"))
    bundle = await clinic.bundle(f"/Condition?{sort}&_count=2")
    seen: list[str] = []
    firsts: list[list[str]] = []
    while True:
        firsts.append(clinic.named(bundle))
        seen += firsts[-1]
        assert len(firsts) < 100, seen[-20:]
        if len(firsts) < 4:
            await clinic.write(f"new {sort} {len(firsts)}", condition(ana, len(firsts)))
        onward = link(bundle, "next")
        if onward is None:
            break
        bundle = await follow(clinic, onward)
    assert len(seen) == len(set(seen))
    assert [name for name in seen if name in whole] == whole
    # And back again: what was inserted may now be seen, what was there is where it was.
    back: list[str] = clinic.named(bundle)
    while (url := link(bundle, "previous")) is not None:
        bundle = await follow(clinic, url)
        back = clinic.named(bundle) + back
        assert len(back) < 200, back[:20]
    assert len(back) == len(set(back))
    assert [name for name in back if name in whole] == whole


async def test_first_next_and_previous_lead_where_they_say(clinic: Searcher) -> None:
    first = await clinic.bundle("/Condition?_sort=_id&_count=3")
    assert link(first, "previous") is None
    second = await follow(clinic, link(first, "next") or "")
    again = await follow(clinic, link(second, "previous") or "")
    assert clinic.named(again) == clinic.named(first)
    assert link(again, "previous") is None
    assert clinic.named(await follow(clinic, link(second, "first") or "")) == clinic.named(first)
    assert clinic.named(await follow(clinic, link(second, "self") or "")) == clinic.named(second)
    onward = await follow(clinic, link(again, "next") or "")
    assert clinic.named(onward) == clinic.named(second)


async def test_nothing_of_the_search_can_be_read_in_a_link(clinic: Searcher) -> None:
    bundle = await clinic.bundle("/Condition?code:text=number&_count=1")
    url = link(bundle, "next") or ""
    parameters = parse_qs(urlsplit(url).query)
    assert list(parameters) == ["_cursor"]
    assert "number" not in url
    assert len(url) < 2000


async def test_a_cursor_is_of_one_caller_and_one_list_and_cannot_be_made(clinic: Searcher) -> None:
    url = link(await clinic.bundle("/Condition?_count=1"), "next") or ""
    path = url.removeprefix(clinic.world.service.settings.fhir_base)
    altered = path[:-8] + ("A" * 8 if path[-8:] != "A" * 8 else "B" * 8)
    for agency, asked in (
        (clinic.world[LEGAL], path),
        (clinic.agency, path.replace("/Condition", "/Observation")),
        (clinic.agency, altered),
        (clinic.agency, "/Condition?_cursor=x"),
        (clinic.agency, "/Condition?_cursor=" + quote("ü")),
        (clinic.agency, f"{path}&code=1"),
    ):
        answer = await agency.get(asked)
        assert answer.status_code == 400, asked
        assert answer.json()["issue"][0]["expression"] == ["_cursor"]


async def test_an_expired_cursor_is_gone(clinic: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = await clinic.bundle("/Condition?_count=1")
    url = link(bundle, "next") or ""
    later = SimpleNamespace(now=lambda: time.time() + LIFETIME + 5)
    monkeypatch.setattr("app.interactions.cursors.clock", later)
    answer = await clinic.agency.get(url.removeprefix(clinic.world.service.settings.fhir_base))
    assert answer.status_code == 410


async def test_a_long_search_has_short_links(clinic: Searcher) -> None:
    many = ",".join(f"urn:example:{number:05}|code" for number in range(900))
    form = {"code:not": many, "_count": "2"}
    answer = await clinic.world.http.post(
        "/fhir/Condition/_search", headers=clinic.agency.headers, data=form
    )
    assert answer.status_code == 200
    bundle = answer.json()
    assert all(len(each["url"]) < 2000 for each in bundle["link"])
    onward = await follow(clinic, link(bundle, "next") or "")
    assert not set(clinic.named(onward)) & set(clinic.named(bundle))
    assert clinic.named(await follow(clinic, link(onward, "first") or "")) == clinic.named(bundle)


async def test_what_is_withdrawn_between_two_pages_is_in_no_later_page(clinic: Searcher) -> None:
    ana = next(id_ for id_, name in clinic.names.items() if name == "ana")
    harbor, river = clinic.world[HARBOR], clinic.world[RIVER]
    permit = (await river.post("/Consent", consent(ana, type="permit", actor=actor(HARBOR)))).json()
    first = await clinic.bundle("/Condition?_count=2&_total=accurate", harbor)
    assert len(clinic.named(first)) == 2
    await river.put(f"/Consent/{permit['id']}", permit | {"status": "inactive"})
    second = await follow(clinic, link(first, "next") or "", agency=harbor)
    assert clinic.named(second) == []
    assert second["total"] == 0


async def test_count_of_zero_and_summary_of_count_answer_a_total_alone(clinic: Searcher) -> None:
    for query in ("_count=0", "_summary=count"):
        bundle = await clinic.bundle(f"/Condition?{query}")
        assert "entry" not in bundle
        assert bundle["total"] >= 9
    estimated = await clinic.bundle("/Condition?_total=estimate")
    assert estimated["total"] == bundle["total"]
    assert "total" not in await clinic.bundle("/Condition?_total=none")


BOUND = "http://hl7.org/fhir/ValueSet"
STATEMENTS = [
    ("/Condition?code=1", 1),
    ("/Condition?code=1&onset-date=2024&_sort=-onset-date&subject:Patient.gender=male", 1),
    ("/Condition?_total=accurate", 2),
    ("/Condition?_summary=count", 1),
    ("/Condition?_include=*&_include:iterate=Patient:link&_revinclude=List:item", 2),
    ("/Patient?_has:Condition:patient:_has:List:item:title=x", 1),
    ("?_id=1", 1),
    ("?_type=Condition,Observation&patient.family=x&_include=*&_total=accurate", 2),
    ("/Patient/1/Condition?code=1", 1),
    ("/Patient/1/*", 1),
    ("/Condition?subject:Patient.organization.partof.name=x", 1),
    ("/Condition?_sort=code,-patient,_id&_count=2", 1),
    ("/Condition?patient.organization:below=Organization/1&_list=1", 1),
    ("/Condition?_text=x&_content=x", 1),
    ("/Condition?_filter=code eq 1 or patient[gender eq male].birthdate po 1990", 1),
    ("/Condition?_revinclude=*&_revinclude:iterate=Provenance:target", 2),
    ("/QuestionnaireResponse?questionnaire.title=x&patient.link._has:Condition:patient:code=1", 1),
    ("/Questionnaire?_has:QuestionnaireResponse:questionnaire:status=completed", 1),
    ("/Questionnaire?_revinclude=QuestionnaireResponse:questionnaire&_include=*", 1),
    (f"/Condition?code:in={BOUND}/observation-status&code:not-in={BOUND}/encounter-status", 3),
]


@pytest.mark.parametrize(("path", "expected"), STATEMENTS)
async def test_a_search_takes_a_fixed_number_of_statements(
    clinic: Searcher, path: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await clinic.bundle(path)
    texts: list[str] = []
    for name in ("fetch", "fetchrow", "fetchval", "execute", "executemany"):
        original = getattr(PoolConnectionProxy, name)

        async def counted(
            self: PoolConnectionProxy, query: str, *args: Any, _original: Any = original, **kw: Any
        ) -> Any:
            # The process looks for new search parameters every few seconds, whoever searches.
            if (task := asyncio.current_task()) and task.get_name() != "definitions":
                texts.append(query)
            return await _original(self, query, *args, **kw)

        monkeypatch.setattr(PoolConnectionProxy, name, counted)
    await clinic.bundle(path)
    assert len(texts) == expected, texts


async def test_content_that_is_long_is_kept_sealed_and_named_by_the_cursor(
    clinic: Searcher,
) -> None:
    service = clinic.world.service
    cursors = Cursors(service.cursor_key)
    caller = Caller((1,), (1,), 1, 1, 1)
    content = {"p": [secrets.token_hex(8) for _ in range(500)]}
    cursor = await cursors.seal(service.database, caller, "test", content)
    assert len(cursor) < 500
    assert await cursors.open(service.database, caller, "test", cursor) == content
    kept = await service.database.pool.fetchval("SELECT sealed FROM tl.kept_cursor LIMIT 1")
    assert content["p"][0].encode() not in kept

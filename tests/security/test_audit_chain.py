"""The audit's hash chain: it holds for what the service wrote, and names the first row that does not follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import pytest

from app.storage import audit
from app.storage.audit import AuditRow, AuditWriter
from app.storage.audit_chain import verify
from tests.spine.conftest import AGENCIES, World, new_patient

RIVER = AGENCIES[0]


@pytest.fixture(autouse=True)
def one_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    """One lane a writer, so that a row's place in it is known; those who ask about two set it again."""
    monkeypatch.setattr(audit, "LANES", 1)


def row(number: int, **more: object) -> AuditRow:
    values: dict[str, object] = {
        "recorded": datetime.now(UTC),
        "action": b"R",
        "interaction": "read",
        "outcome": 0,
        "client_id": RIVER,
        "organization": 1,
        "practitioner": None,
        "purpose": "TREAT",
        "emergency_reason": None,
        "type": 1,
        "resource_id": f"r{number}",
        "rids": [number],
        "query": None,
        "request_id": uuid4(),
    }
    return AuditRow(**(values | more))  # type: ignore[arg-type]


async def _write(world: World, count: int) -> None:
    writer = world.service.audit
    await asyncio.gather(*(writer.write(row(n)) for n in range(count)))


async def test_the_chain_holds_for_everything_that_was_served(
    world: World, owner: asyncpg.Connection
) -> None:
    patient = await new_patient(world[RIVER])
    await asyncio.gather(*(world[RIVER].get(f"/Patient/{patient}") for _ in range(20)))
    found = await verify(owner)
    assert found.broken is None
    assert found.rows == await owner.fetchval("SELECT count(*) FROM tl.audit_event")
    assert found.rows > 20


async def test_an_altered_row_is_named(world: World, owner: asyncpg.Connection) -> None:
    await _write(world, 30)
    await owner.execute("UPDATE tl.audit_event SET client_id = 'somebody' WHERE seq = 17")
    found = await verify(owner)
    assert found.broken is not None
    assert found.broken.seq == 17


async def test_a_removed_row_is_named_by_the_one_after_it(
    world: World, owner: asyncpg.Connection
) -> None:
    await _write(world, 30)
    await owner.execute("DELETE FROM tl.audit_event WHERE seq = 17")
    found = await verify(owner)
    assert found.broken is not None
    assert (found.broken.seq, found.broken.fault) == (18, "rows before it are missing")


async def test_an_end_cut_off_shows_against_a_head_noted_elsewhere(
    world: World, owner: asyncpg.Connection
) -> None:
    await _write(world, 30)
    (head,) = (await verify(owner)).heads
    noted = {(head.lane, head.seq): head.hash}
    await _write(world, 5)
    assert (await verify(owner, noted)).broken is None
    await owner.execute("DELETE FROM tl.audit_event WHERE seq > 20")
    assert (await verify(owner)).broken is None
    found = await verify(owner, noted)
    assert found.broken is not None
    assert found.broken.seq == head.seq


async def test_old_months_may_be_dropped_and_the_rest_still_holds(
    world: World, owner: asyncpg.Connection
) -> None:
    await asyncio.gather(
        *(
            world.service.audit.write(row(n, recorded=datetime(2024, month, 3, tzinfo=UTC)))
            for month in (1, 2)
            for n in range(5)
        )
    )
    await _write(world, 5)
    assert (await verify(owner)).broken is None
    # The tokens of the agencies came first, in this month: they are dropped as well.
    await owner.execute(
        "DELETE FROM tl.audit_event WHERE seq < "
        "(SELECT min(seq) FROM tl.audit_event WHERE recorded < '2025-01-01')"
    )
    await owner.execute("DROP TABLE tl.audit_event_2024_01")
    found = await verify(owner)
    assert found.broken is None
    assert found.rows == 10


async def test_two_processes_write_lanes_of_their_own_and_both_hold(
    world: World, owner: asyncpg.Connection
) -> None:
    second = AuditWriter(world.database.service_url)
    await second.start()
    await asyncio.gather(
        *(w.write(row(n)) for n in range(200) for w in (world.service.audit, second))
    )
    found = await verify(owner)
    assert found.broken is None
    assert len(found.heads) == 2
    await second.stop()
    third = AuditWriter(world.database.service_url)
    await third.start()
    await third.write(row(1))
    await third.stop()
    found = await verify(owner)
    assert found.broken is None
    assert max(head.seq for head in found.heads if head.lane == 2) == 201


@pytest.fixture
async def writer(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AuditWriter]:
    """One with two lanes, beside the service's own."""
    monkeypatch.setattr(audit, "LANES", 2)
    made = AuditWriter(world.database.service_url)
    await made.start()
    yield made
    await made.stop()


class Slow:
    """Stands for a disk on which the first batch takes until `go` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = asyncio.Event()
        self.batches: list[int] = []
        real = audit._copy

        async def copy(connection: asyncpg.Connection, records: list[tuple[object, ...]]) -> None:
            self.batches.append(len(records))
            if len(self.batches) == 1:
                await self.go.wait()
            await real(connection, records)

        monkeypatch.setattr(audit, "_copy", copy)


async def _begun(writer: AuditWriter, number: int) -> asyncio.Task[None]:
    """The writing of a row, once it has had the time to be under way."""
    task = asyncio.create_task(writer.write(row(number)))
    await asyncio.sleep(0.01)
    return task


async def test_a_batch_goes_beside_one_that_takes_long(
    writer: AuditWriter, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)
    first = await _begun(writer, 1)
    await asyncio.gather(*(writer.write(row(n)) for n in range(2, 7)))
    assert not first.done()
    await writer.write(row(7))  # by the lane that has just become free
    slow.go.set()
    await first
    assert slow.batches == [1, 5, 1]
    found = await verify(owner)
    assert found.broken is None
    assert {1, 6} <= {head.seq for head in found.heads}


async def test_what_comes_while_a_batch_is_young_waits_and_goes_together(
    writer: AuditWriter, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "LATE_SECONDS", 60.0)
    slow = Slow(monkeypatch)
    writing = [await _begun(writer, n) for n in range(5)]
    slow.go.set()
    await asyncio.gather(*writing)
    assert slow.batches == [1, 4]
    assert (await verify(owner)).broken is None


async def test_a_writer_that_ends_waits_for_what_is_under_way_but_not_for_ever(
    writer: AuditWriter, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)
    first = await _begun(writer, 1)
    stopping = asyncio.create_task(writer.stop())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    slow.go.set()
    await stopping
    await first
    monkeypatch.setattr(audit, "_CLOSING_SECONDS", 0.01)
    slow.go.clear()
    slow.batches.clear()
    await writer.start()
    stuck = await _begun(writer, 2)
    await writer.stop()
    with pytest.raises(asyncio.CancelledError):
        await stuck
    await writer.start()
    await writer.write(row(3))
    assert (await verify(owner)).broken is None


async def test_a_lane_that_cannot_connect_again_leaves_the_other_to_write(
    writer: AuditWriter, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = list(writer._free)
    await lanes[-1].close()  # whose turn it would be

    async def refused() -> asyncpg.Connection:
        raise asyncpg.TooManyConnectionsError

    monkeypatch.setattr(lanes[-1], "connect", refused)
    with pytest.raises(asyncpg.TooManyConnectionsError):
        await writer.write(row(1))
    for n in range(2, 5):
        await writer.write(row(n))
    assert (await verify(owner)).broken is None


async def test_both_lanes_lost_at_once_are_had_again_and_each_row_is_there_once(
    writer: AuditWriter, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "LATE_SECONDS", 0.0)
    before = await owner.fetchval("SELECT count(*) FROM tl.audit_event")
    for n in range(10):
        await asyncio.gather(
            *(writer.write(row(10 * n + each)) for each in range(3)),
            _end_the_writers_session(owner),
            *(writer.write(row(10 * n + each)) for each in range(3, 6)),
        )
    await _each_row_once(owner)
    assert await owner.fetchval("SELECT count(*) FROM tl.audit_event") == before + 60


async def _end_the_writers_session(owner: asyncpg.Connection) -> None:
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'throughline audit' AND datname = current_database()"
    )


async def _each_row_once(owner: asyncpg.Connection) -> None:
    assert (await verify(owner)).broken is None
    twice = "SELECT request_id FROM tl.audit_event GROUP BY 1 HAVING count(*) > 1"
    assert await owner.fetch(twice) == []


async def test_no_answer_fails_because_the_writers_session_was_ended(
    world: World, owner: asyncpg.Connection
) -> None:
    before = await owner.fetchval("SELECT count(*) FROM tl.audit_event")
    for _ in range(20):
        # The server ends the session while a batch waits, is on its way, or has just been written.
        await asyncio.gather(_write(world, 3), _end_the_writers_session(owner), _write(world, 2))
    await _each_row_once(owner)
    assert await owner.fetchval("SELECT count(*) FROM tl.audit_event") == before + 100


@pytest.mark.parametrize("durable", [False, True])
async def test_a_batch_whose_connection_is_lost_is_written_once_whether_or_not_it_was_durable(
    world: World, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    await _write(world, 3)
    lost = False

    async def copy(connection: asyncpg.Connection, records: list[tuple[object, ...]]) -> None:
        nonlocal lost
        if lost or durable:
            await real(connection, records)
        if not lost:
            lost = True
            await connection.close()
            raise asyncpg.InternalClientError("cannot switch to state 12")

    real = audit._copy
    monkeypatch.setattr(audit, "_copy", copy)
    await _write(world, 2)
    assert lost
    await _each_row_once(owner)
    rows = "SELECT count(*) FROM tl.audit_event WHERE resource_id = 'r1'"
    assert await owner.fetchval(rows) == 2


async def test_a_batch_fails_where_nobody_can_tell_whether_it_was_written(
    world: World, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _write(world, 3)

    async def copy(connection: asyncpg.Connection, records: list[tuple[object, ...]]) -> None:
        # Another process takes the lane as soon as the session is gone.
        await connection.close()
        await owner.execute("SELECT tl.audit_lane()")
        raise ConnectionResetError

    with monkeypatch.context() as patched:
        patched.setattr(audit, "_copy", copy)
        with pytest.raises(ConnectionResetError):
            await _write(world, 1)
    await _write(world, 3)
    await _each_row_once(owner)


async def test_a_month_without_a_partition_gets_one(
    world: World, owner: asyncpg.Connection
) -> None:
    later = datetime(2031, 5, 31, 23, 59, 59, tzinfo=UTC)
    await world.service.audit.write(row(1, recorded=later))
    assert await owner.fetchval("SELECT count(*) FROM tl.audit_event_2031_05") == 1


async def test_text_that_postgresql_refuses_fails_nobody_elses_batch(
    world: World, owner: asyncpg.Connection
) -> None:
    answer = await world[RIVER].get("/Patient/a%00b")
    assert answer.status_code == 400
    await asyncio.gather(
        *(world.service.audit.write(row(n, resource_id="a\0b\ud800")) for n in range(2))
    )
    assert (await verify(owner)).broken is None


async def test_the_service_role_can_neither_read_nor_change_the_audit(world: World) -> None:
    await _write(world, 1)
    service = await asyncpg.connect(world.database.service_url)
    try:
        for statement in (
            "SELECT * FROM tl.audit_event",
            "UPDATE tl.audit_event SET outcome = 0",
            "DELETE FROM tl.audit_event",
            "TRUNCATE tl.audit_event",
            "DROP TABLE tl.audit_event",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(statement)
    finally:
        await service.close()

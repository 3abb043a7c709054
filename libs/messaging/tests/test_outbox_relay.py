"""Outbox and relay on a real PostgreSQL, with a bus that refuses, breaks and forgets to answer."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
from botocore.exceptions import ClientError
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import create_async_engine

from messaging import Envelope, MessageTooLarge, Outbox, Relay
from messaging.envelope import MAX_ENTRY_BYTES

Make = Callable[..., Envelope]


class FakeBus:
    """PutEvents as AWS answers it: HTTP 200 with an answer for each entry.

    The emulator cannot play this part, since it refuses no entry.
    """

    def __init__(self, seen_before_answer: Callable[[], Any] | None = None) -> None:
        self.published: list[str] = []
        self.requests: list[int] = []
        self.refuse: dict[str, str] = {}
        self.broken = 0
        self.lose_answer = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self._seen_before_answer = seen_before_answer

    async def put_events(self, Entries: list[dict[str, str]]) -> dict[str, Any]:
        self.requests.append(len(Entries))
        assert len(Entries) <= 10
        assert sum(len(entry["Detail"]) for entry in Entries) <= MAX_ENTRY_BYTES
        if self.broken:
            self.broken -= 1
            raise ConnectionError("the bus is down")
        answers = []
        for entry in Entries:
            message_id = orjson.loads(entry["Detail"])["id"]
            code = self.refuse.get(message_id)
            if code is None:
                self.published.append(message_id)
            answers.append({"ErrorCode": code, "ErrorMessage": "no"} if code else {"EventId": "1"})
        if self._seen_before_answer is not None:
            await self._seen_before_answer()
        self.asked.set()
        await self.gate.wait()
        if self.lose_answer:
            self.lose_answer -= 1
            raise TimeoutError("the answer is lost")
        return {"FailedEntryCount": sum("ErrorCode" in a for a in answers), "Entries": answers}


def relay_on(toy: Any, bus: FakeBus, **arguments: Any) -> Relay:
    arguments = {"grace_seconds": 0, "sweep_seconds": 0.02, **arguments}
    return Relay(toy.engine, toy.tables, bus, bus="bookstore", **arguments)


async def write(toy: Any, *messages: Envelope, outbox: Outbox | None = None) -> list[str]:
    async with (outbox or toy.outbox).transaction() as transaction:
        transaction.send(messages)
    return [each.id for each in messages]


async def rows(toy: Any) -> dict[str, Any]:
    async with toy.engine.connect() as connection:
        return {row.id: row for row in await connection.execute(select(toy.tables.outbox))}


async def unsent(toy: Any) -> dict[str, Any]:
    async with toy.engine.connect() as connection:
        found = await connection.execute(select(toy.tables.unsent))
        return {row.message_id: row for row in found}


async def published(toy: Any) -> set[str]:
    return set(await rows(toy)) - set(await unsent(toy))


async def let_all_be_due(toy: Any) -> None:
    """Let the pauses between tries pass, by the clock that keeps them."""
    async with toy.engine.begin() as connection:
        await connection.execute(
            update(toy.tables.unsent).values(next_attempt_at=func.now() - timedelta(seconds=1))
        )


async def test_messages_commit_with_the_state_and_wake_the_relay(toy: Any, message: Make) -> None:
    sent = message()
    async with toy.outbox.transaction() as transaction:
        transaction.send([sent])
        assert toy.committed == []
    (row,) = (await rows(toy)).values()
    assert (row.id, row.type, row.subject) == (sent.id, "RestockItems", sent.subject)
    assert Envelope.decode(orjson.loads(row.detail)) == sent
    assert [each for _, each in toy.committed] == [sent]


async def test_after_a_rollback_there_is_nothing_to_send(toy: Any, message: Make) -> None:
    async def change_ones_mind() -> None:
        async with toy.outbox.transaction() as transaction:
            transaction.send([message()])
            raise ValueError("changed my mind")

    with pytest.raises(ValueError, match="changed my mind"):
        await change_ones_mind()
    assert await rows(toy) == {}
    assert toy.committed == []


async def test_a_message_too_large_for_the_bus_is_refused_where_it_is_written(
    toy: Any, message: Make
) -> None:
    fits = message()
    large = Envelope(
        **{name: getattr(fits, name) for name in Envelope.__slots__ if name != "data"},
        data={"text": "x" * MAX_ENTRY_BYTES},
    )
    with pytest.raises(MessageTooLarge, match="RestockItems"):
        await write(toy, fits, large)
    assert await rows(toy) == {}
    assert toy.committed == []


async def test_the_same_message_written_again_is_one_row(toy: Any, message: Make) -> None:
    sent = message()
    await write(toy, sent)
    await write(toy, sent, message())
    assert len(await rows(toy)) == 2


async def test_what_is_committed_here_goes_out_at_once_without_a_sweep(
    toy: Any, message: Make, until: Any
) -> None:
    bus = FakeBus()
    relay = relay_on(toy, bus, grace_seconds=3600)
    outbox = Outbox(toy.engine, toy.tables, relay.wake)
    running = asyncio.create_task(relay.run())
    ids = await write(toy, *(message() for _ in range(25)), outbox=outbox)

    async def all_marked() -> bool:
        return await published(toy) == set(ids)

    await until(all_marked)
    relay.stop()
    await running
    assert sorted(bus.published) == sorted(ids)
    assert sorted(bus.requests) == [5, 10, 10]


async def test_stopping_sends_what_is_committed_first(toy: Any, message: Make) -> None:
    bus = FakeBus()
    relay = relay_on(toy, bus, grace_seconds=3600)
    ids = await write(
        toy, *(message() for _ in range(30)), outbox=Outbox(toy.engine, toy.tables, relay.wake)
    )
    relay.stop()
    async with asyncio.timeout(5):
        await relay.run()
    assert await published(toy) == set(ids) == set(bus.published)


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_row_is_marked_only_after_the_bus_has_it(
    toy: Any, message: Make, fresh: bool
) -> None:
    marked_too_early: list[set[str]] = []

    async def look() -> None:
        marked_too_early.append(await published(toy))

    bus = FakeBus(look)
    relay = relay_on(toy, bus, grace_seconds=3600 if fresh else 0)
    outbox = Outbox(toy.engine, toy.tables, relay.wake if fresh else lambda _: None)
    ids = await write(toy, message(), outbox=outbox)
    if fresh:
        relay.stop()
        await relay.run()
    else:
        await relay.sweep()
    assert marked_too_early == [set()]
    assert await published(toy) == set(ids)


async def test_the_sweep_picks_up_what_a_crash_left_behind(toy: Any, message: Make) -> None:
    ids = await write(toy, *(message() for _ in range(12)))
    bus = FakeBus()
    relay = relay_on(toy, bus)
    assert await relay.sweep() == 12
    assert await relay.sweep() == 0
    assert sorted(bus.published) == sorted(ids)
    assert await published(toy) == set(ids)


async def test_the_sweep_leaves_young_rows_to_the_process_that_wrote_them(
    toy: Any, message: Make
) -> None:
    await write(toy, message())
    assert await relay_on(toy, FakeBus(), grace_seconds=60).sweep() == 0


async def test_a_refused_entry_in_an_answer_of_200_is_retried_then_parked_and_holds_up_nobody(
    toy: Any, message: Make
) -> None:
    good, poison, busy = ids = await write(toy, message(), message(), message())
    bus = FakeBus()
    bus.refuse = {poison: "MalformedDetail", busy: "ThrottlingException"}
    relay = relay_on(toy, bus)
    assert await relay.sweep() == 3
    assert await published(toy) == {good}
    assert await relay.sweep() == 0, "a refused row waits before its next try"
    for _ in range(2):
        await let_all_be_due(toy)
        assert await relay.sweep() == 2
    parked = (await unsent(toy))[poison]
    assert (parked.parked_reason, parked.attempts) == ("MalformedDetail", 3)
    assert (await toy.outbox.census())["outbox"] == {"pending": 1, "parked": 1}
    bus.refuse = {}
    await let_all_be_due(toy)
    assert await relay.sweep() == 1, "what is only throttled is never given up so soon"
    assert await published(toy) == {good, busy}
    assert await relay.sweep() == 0
    assert bus.published == [good, busy]
    assert set(ids) == set(await rows(toy))


async def test_an_entry_refused_at_first_sight_is_left_to_the_sweep(
    toy: Any, message: Make, until: Any
) -> None:
    bus = FakeBus()
    relay = relay_on(toy, bus)
    first, second = message(), message()
    bus.refuse = {first.id: "InternalFailure"}
    await write(toy, first, second, outbox=Outbox(toy.engine, toy.tables, relay.wake))
    running = asyncio.create_task(relay.run())
    await until(lambda: second.id in bus.published)
    bus.refuse = {}

    async def all_published() -> bool:
        await let_all_be_due(toy)
        return len(await published(toy)) == 2

    await until(all_published)
    relay.stop()
    await running


async def test_a_crash_between_publish_and_mark_publishes_again_with_the_same_id(
    toy: Any, message: Make
) -> None:
    (message_id,) = await write(toy, message())
    bus = FakeBus()
    bus.gate.clear()
    dying = asyncio.create_task(relay_on(toy, bus).sweep())
    await bus.asked.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert await published(toy) == set()
    bus.gate.set()
    assert await relay_on(toy, bus).sweep() == 1
    assert bus.published == [message_id, message_id]
    assert await published(toy) == {message_id}


async def test_an_answer_that_is_lost_is_made_good_by_the_sweep(
    toy: Any, message: Make, until: Any
) -> None:
    bus = FakeBus()
    bus.lose_answer = 1
    relay = relay_on(toy, bus)
    (message_id,) = await write(toy, message(), outbox=Outbox(toy.engine, toy.tables, relay.wake))
    running = asyncio.create_task(relay.run())

    async def marked() -> bool:
        return await published(toy) == {message_id}

    await until(marked)
    relay.stop()
    await running
    assert bus.published == [message_id, message_id]


async def test_a_bus_that_is_down_loses_nothing(toy: Any, message: Make, until: Any) -> None:
    bus = FakeBus()
    bus.broken = 4
    relay = relay_on(toy, bus)
    outbox = Outbox(toy.engine, toy.tables, relay.wake)
    ids = await write(toy, *(message() for _ in range(30)), outbox=outbox)
    running = asyncio.create_task(relay.run())

    async def all_marked() -> bool:
        return await published(toy) == set(ids)

    await until(all_marked)
    relay.stop()
    await running


async def test_two_relays_leave_each_others_rows_alone(toy: Any, message: Make) -> None:
    ids = await write(toy, *(message() for _ in range(8)))
    bus = FakeBus()
    bus.gate.clear()
    first = asyncio.create_task(relay_on(toy, bus).sweep())
    await bus.asked.wait()
    later = await write(toy, message())
    bus.asked.clear()
    second = asyncio.create_task(relay_on(toy, bus).sweep())
    async with asyncio.timeout(5):
        await bus.asked.wait()
    bus.gate.set()
    assert list(await asyncio.gather(first, second)) == [8, 1]
    assert sorted(bus.published[:8]) == sorted(ids)
    assert bus.published[8:] == later


async def test_a_request_never_exceeds_what_the_bus_takes_in_all(toy: Any, message: Make) -> None:
    fits = message()
    wide = [
        Envelope(
            **{
                name: getattr(fits, name)
                for name in Envelope.__slots__
                if name not in ("data", "id")
            },
            id=message().id,
            data={"text": "x" * 100_000},
        )
        for _ in range(5)
    ]
    ids = await write(toy, *wide)
    bus = FakeBus()
    await relay_on(toy, bus).sweep()
    assert await published(toy) == set(ids)
    assert bus.requests == [2, 2, 1]


async def test_the_census_counts_what_was_sent_by_type(toy: Any, message: Make) -> None:
    await write(toy, message(), message())
    assert await toy.outbox.census() == {
        "sent": {"RestockItems": 2},
        "outbox": {"pending": 2, "parked": 0},
    }
    await relay_on(toy, FakeBus()).sweep()
    assert (await toy.outbox.census())["outbox"] == {"pending": 0, "parked": 0}


class SternBus(FakeBus):
    """Refuses a whole request for one entry, with a 400, as AWS does for what it cannot parse."""

    def __init__(self, poison: str) -> None:
        super().__init__()
        self._poison = poison

    async def put_events(self, Entries: list[dict[str, str]]) -> dict[str, Any]:
        if any(self._poison in entry["Detail"] for entry in Entries):
            raise ClientError(
                {
                    "Error": {"Code": "ValidationException", "Message": "no"},
                    "ResponseMetadata": {"HTTPStatusCode": 400},
                },
                "PutEvents",
            )
        return await super().put_events(Entries)


async def test_a_row_that_spoils_its_whole_request_is_parked_and_holds_up_nobody(
    toy: Any, message: Make
) -> None:
    ids = await write(toy, *(message() for _ in range(30)))
    poison = ids[15]
    bus = SternBus(poison)
    relay = relay_on(toy, bus)
    await relay.sweep()
    assert await published(toy) == set(ids) - {poison}
    for _ in range(2):
        await let_all_be_due(toy)
        await relay.sweep()
    assert (await unsent(toy))[poison].parked_reason == "ValidationException"
    assert sorted(bus.published) == sorted(set(ids) - {poison}), "nothing went out twice"


async def test_a_signature_that_is_refused_is_no_rows_fault(toy: Any, message: Make) -> None:
    (row,) = await write(toy, message())

    class Doubting(FakeBus):
        async def put_events(self, Entries: list[dict[str, str]]) -> dict[str, Any]:
            raise ClientError(
                {
                    "Error": {"Code": "InvalidSignatureException", "Message": "expired"},
                    "ResponseMetadata": {"HTTPStatusCode": 403},
                },
                "PutEvents",
            )

    with pytest.raises(ClientError, match="expired"):
        await relay_on(toy, Doubting()).sweep()
    assert (await unsent(toy))[row].attempts == 0


async def test_what_went_out_before_the_bus_failed_is_marked(toy: Any, message: Make) -> None:
    await write(toy, *(message() for _ in range(30)))

    class Failing(FakeBus):
        async def put_events(self, Entries: list[dict[str, str]]) -> dict[str, Any]:
            if len(self.published) >= 20:
                raise OSError("the bus is gone")
            return await super().put_events(Entries)

    with pytest.raises(OSError, match="gone"):
        await relay_on(toy, bus := Failing()).sweep()
    assert len(bus.published) == 20
    assert await published(toy) == set(bus.published)


async def test_a_row_that_another_relay_holds_keeps_no_other_from_being_marked(
    toy: Any, message: Make, until: Any
) -> None:
    bus = FakeBus()
    relay = relay_on(toy, bus, grace_seconds=60)
    held, *others = [message() for _ in range(4)]
    await write(toy, held, *others)
    unsent_table = toy.tables.unsent
    async with toy.engine.begin() as other_relay:
        lock = select(unsent_table).where(unsent_table.c.message_id == held.id).with_for_update()
        await other_relay.execute(lock)
        relay.wake([(each.encode().decode(), each) for each in (held, *others)])
        running = asyncio.create_task(relay.run())
        await until(lambda: len(bus.published) == 4)
        relay.stop()
        async with asyncio.timeout(10):
            await running
        assert set(await unsent(toy)) == {held.id}


async def test_a_sweep_outlasts_a_bus_that_tries_the_servers_patience(
    toy: Any, message: Make
) -> None:
    """The server ends sessions that stand idle in a transaction, as a sweep's does meanwhile."""
    (sent,) = await write(toy, message())
    async with toy.engine.connect() as connection:
        schema = (await connection.execute(select(func.current_schema()))).scalar_one()
    settings = {"search_path": schema, "idle_in_transaction_session_timeout": "200ms"}
    impatient = create_async_engine(toy.engine.url, connect_args={"server_settings": settings})

    async def let_server_lose_patience() -> None:
        # Idle since a moment later than the sweep: when this session has ended, so would the other.
        async with impatient.connect() as canary:
            await canary.execute(select(1))
            driver = (await canary.get_raw_connection()).driver_connection
            async with asyncio.timeout(10):
                while not driver.is_closed():
                    await asyncio.sleep(0.01)
            await canary.invalidate()

    bus = FakeBus(let_server_lose_patience)
    relay = Relay(impatient, toy.tables, bus, bus="bookstore", grace_seconds=0)
    try:
        assert await relay.sweep() == 1
    finally:
        await impatient.dispose()
    assert (bus.published, await unsent(toy)) == ([sent], {})

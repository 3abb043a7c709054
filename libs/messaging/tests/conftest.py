"""A toy participant on real tables, which counts how often each order's command took effect, and
a consumer on a real queue of its own.
"""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.models.catalog import ItemsRestocked, ReleaseStock, RestockItems, StockReleased
from idempotency import Ledger
from messaging import (
    Attempt,
    Consumer,
    Envelope,
    Outbox,
    Route,
    Sender,
    Transactions,
    Work,
    dispatcher,
    messaging_tables,
)

METADATA = MetaData()
TABLES = messaging_tables(METADATA)
EFFECTS = Table(
    "effects", METADATA, Column("order_id", Text, primary_key=True), Column("times", Integer)
)
PATIENCE_SECONDS = 15.0
FAIL_FIRST_COMMIT = (
    "CREATE SEQUENCE commits",
    """CREATE FUNCTION fail_first() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('commits') = 1 THEN
            RAISE 'the disk is full' USING ERRCODE = 'disk_full';
        END IF;
        RETURN NULL;
    END $$""",
    """CREATE CONSTRAINT TRIGGER fail_first AFTER INSERT ON effects
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail_first()""",
)

Script = Callable[[], Awaitable[None] | None]


class ToyWork(Work):
    """What the toy's handlers may touch."""

    def __init__(self, message: Envelope) -> None:
        super().__init__(message, Sender("test"))
        self.restocked: list[str] = []


class ToyUnit:
    """Adds the works' effects to the table; the scripted failures of flushing happen here."""

    def __init__(self, toy: "Toy") -> None:
        self._toy = toy
        self._works: list[ToyWork] = []

    def work(self, message: Envelope) -> ToyWork:
        work = ToyWork(message)
        self._works.append(work)
        return work

    async def load(self, connection: AsyncConnection, attempts: Sequence[Attempt[ToyWork]]) -> None:
        self._toy.batches.append(len(attempts))
        self._works += [each.work for each in attempts if each.work is not None]

    async def flush(self, connection: AsyncConnection) -> None:
        if self._toy.flush_errors:
            raise self._toy.flush_errors.pop(0)
        await self._toy.before_commit()
        for order_id in sorted(each for work in self._works for each in work.restocked):
            statement = insert(EFFECTS).values(order_id=order_id, times=1)
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["order_id"], set_={"times": EFFECTS.c.times + 1}
                )
            )


class Toy:
    """The participant, what it was asked, and errors to raise by order id, one a call."""

    def __init__(self, engine: AsyncEngine, ledger: Ledger | None = None) -> None:
        self.engine = engine
        self.tables = TABLES
        self.committed: list[tuple[str, Envelope]] = []
        self.calls: list[str] = []
        self.asked_outside: list[str] = []
        self.batches: list[int] = []
        self.errors: defaultdict[str, list[Exception]] = defaultdict(list)
        self.flush_errors: list[Exception] = []
        self.outside_gate = asyncio.Event()
        self.outside_gate.set()
        self.commit_gate = asyncio.Event()
        self.commit_gate.set()
        self.at_commit = asyncio.Event()
        self.outbox = Outbox(engine, TABLES, self.committed.extend)
        transactions: Transactions[ToyWork] = Transactions(
            outbox=self.outbox,
            tables=TABLES,
            unit_of_work=lambda: ToyUnit(self),
            ledger=ledger,
        )
        self.handle = dispatcher(
            [Route(RestockItems, self.restock), Route(ReleaseStock, self.ask_outside)],
            transactions,
        )

    def restock(self, command: RestockItems, work: ToyWork) -> None:
        self.calls.append(command.order_id)
        if self.errors[command.order_id]:
            raise self.errors[command.order_id].pop(0)
        work.restocked.append(command.order_id)
        work.reply(ItemsRestocked(order_id=command.order_id))

    async def ask_outside(self, command: ReleaseStock, work: ToyWork) -> None:
        self.asked_outside.append(command.order_id)
        await self.outside_gate.wait()
        if self.errors[command.order_id]:
            raise self.errors[command.order_id].pop(0)
        work.restocked.append(command.order_id)
        work.reply(StockReleased(order_id=command.order_id))

    async def before_commit(self) -> None:
        self.at_commit.set()
        await self.commit_gate.wait()

    async def fail_first_commit(self) -> None:
        """The first COMMIT that would let an effect through fails; a sequence outlives that."""
        async with self.engine.begin() as connection:
            for statement in FAIL_FIRST_COMMIT:
                await connection.execute(text(statement))

    async def effects(self) -> dict[str, int]:
        async with self.engine.connect() as connection:
            rows = await connection.execute(select(EFFECTS.c.order_id, EFFECTS.c.times))
            return {row.order_id: row.times for row in rows}

    async def outbox_types(self) -> list[str]:
        async with self.engine.connect() as connection:
            rows = await connection.scalars(
                select(TABLES.outbox.c.type).order_by(TABLES.outbox.c.position)
            )
            return list(rows)

    async def received(self) -> int:
        async with self.engine.connect() as connection:
            return await connection.scalar(select(func.count()).select_from(TABLES.inbox)) or 0


@pytest.fixture
async def database(new_database: Any) -> AsyncEngine:
    engine: AsyncEngine = await new_database(METADATA)
    return engine


@pytest.fixture
async def toy(database: AsyncEngine) -> Toy:
    return Toy(database)


@pytest.fixture
async def new_toy(database: AsyncEngine) -> Callable[..., Toy]:
    """Several processes of one participant: each its own toy, on the same database."""
    return lambda **arguments: Toy(database, **arguments)


@pytest.fixture
def message() -> Callable[..., Envelope]:
    """`message()` is a command about a new order; the model may be given."""

    def make(model: Any = RestockItems, order_id: str | None = None) -> Envelope:
        order_id = order_id or str(uuid.uuid4())
        return Sender("order").envelope(
            model(order_id=order_id), cause=order_id, subject=order_id, correlation_id=order_id
        )

    return make


@pytest.fixture
def event_body() -> Callable[[Envelope], str]:
    """The text that the bus puts into a queue for a message."""

    def wrap(message: Envelope) -> str:
        detail = orjson.loads(message.encode())
        document = {"version": "0", "detail-type": message.type, "source": "s", "detail": detail}
        return orjson.dumps(document).decode()

    return wrap


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Awaitable[None]]:
    """Wait for a condition that is spread over servers and so signals nobody."""

    async def wait(condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                met = condition()
                if asyncio.iscoroutine(met):
                    met = await met
                if met:
                    return
                await asyncio.sleep(0.02)

    return wait


class Handler:
    """A `handle` that records, waits at a gate and raises what it is told to, one a call."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.done: list[str] = []
        self.errors: dict[str, list[Exception]] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = 0
        self.most_at_once = 0

    async def __call__(self, message: Envelope) -> bool:
        self.seen.append(message.id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        if self.errors.get(message.id):
            raise self.errors[message.id].pop(0)
        self.done.append(message.id)
        return True


@pytest.fixture
def new_handler() -> type[Handler]:
    return Handler


@pytest.fixture
def consumer_of(aws: Any, queue: Any) -> Callable[..., Consumer]:
    def create(handle: Callable[[Envelope], Awaitable[bool]], **arguments: Any) -> Consumer:
        settings = {"visibility_seconds": 30, "wait_seconds": 1, "pollers": 1, **arguments}
        sqs = settings.pop("sqs", aws.sqs)
        return Consumer(
            sqs, queue_url=queue.url, dead_letter_url=queue.dead_letter_url, handle=handle,
            **settings,
        )  # fmt: skip

    return create


@pytest.fixture
def consuming(consumer_of: Callable[..., Consumer]) -> Callable[..., Any]:
    """`async with consuming(handle):` runs a consumer for as long as the body."""

    @asynccontextmanager
    async def run(handle: Any, **arguments: Any) -> AsyncIterator[Consumer]:
        consumer = consumer_of(handle, **arguments)
        running = asyncio.create_task(consumer.run())
        try:
            yield consumer
        finally:
            consumer.stop()
            async with asyncio.timeout(10):
                await running

    return run


@pytest.fixture
def put(aws: Any, queue: Any) -> Callable[..., Awaitable[None]]:
    async def send(*bodies: str) -> None:
        for start in range(0, len(bodies), 10):
            entries = [
                {"Id": str(i), "MessageBody": body}
                for i, body in enumerate(bodies[start : start + 10])
            ]
            answer = await aws.sqs.send_message_batch(QueueUrl=queue.url, Entries=entries)
            assert not answer.get("Failed")

    return send


@pytest.fixture
def depth(aws: Any, queue: Any) -> Callable[[], Awaitable[tuple[int, int]]]:
    """Messages that can be received, and messages that are out with somebody."""

    async def ask() -> tuple[int, int]:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = await aws.sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=names)
        return int(answer["Attributes"][names[0]]), int(answer["Attributes"][names[1]])

    return ask


@pytest.fixture
def empty(depth: Any) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return await depth() == (0, 0)  # type: ignore[no-any-return]

    return ask

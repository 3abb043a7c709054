"""The service as it runs in production: a Node process, over the bus, its queue and its tables.

Guarantee: each test has orders of its own, and every process that it starts is gone at its end. The
emulator is this suite's own, so nobody else's messages come between.
"""

import asyncio
import importlib.util
import os
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from aiobotocore.session import AioSession

from contracts import load_topology, parse
from contracts.models.common import Money, OrderLine
from contracts.models.order import OrderCancelled, OrderConfirmed
from messaging import Envelope, Sender
from messaging.topology import Applied, apply
from stack import EmbeddedServers, find_node
from stack.ports import PortAllocator

FOLDER = Path(__file__).parents[1]
# The binary itself: the environment's `node` command is a Python process that stands before it, and
# passes no signal on.
NODE = find_node()
REGION = "us-east-1"
PATIENCE_SECONDS = 30.0
LINE = OrderLine(
    book_id=str(uuid.uuid4()), quantity=2, unit_price=Money(amount_minor=1699, currency="EUR")
)


@dataclass(frozen=True)
class Order:
    """One order, and the events about it; `trace` is the traceparent that they come with."""

    order_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    conversation: str = field(default_factory=lambda: str(uuid.uuid4()))
    traceparent: str = field(
        default_factory=lambda: f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
    )

    @property
    def confirmed(self) -> Envelope:
        total = Money(amount_minor=3398, currency="EUR")
        return self._envelope(
            OrderConfirmed(order_id=self.order_id, customer_id="c-1", lines=[LINE], total=total)
        )

    @property
    def cancelled(self) -> Envelope:
        refunded = Money(amount_minor=3398, currency="EUR")
        return self._envelope(
            OrderCancelled(order_id=self.order_id, customer_id="c-1", refunded=refunded)
        )

    def _envelope(self, event: Any) -> Envelope:
        message = Sender("order").envelope(
            event, cause=self.order_id, subject=self.order_id, correlation_id=self.conversation
        )
        fields = {name: getattr(message, name) for name in message.__slots__}
        return Envelope(**{**fields, "traceparent": self.traceparent})


@dataclass(frozen=True)
class Aws:
    """The suite's emulator, with the topology applied."""

    endpoint_url: str
    events: Any
    sqs: Any
    dynamodb: Any
    applied: Applied

    async def publish(self, *messages: Envelope) -> None:
        """Over the bus, as the order service does."""
        for start in range(0, len(messages), 10):
            entries = [
                {
                    "EventBusName": "bookstore",
                    "Source": each.source,
                    "DetailType": each.type,
                    "Detail": each.encode().decode(),
                }
                for each in messages[start : start + 10]
            ]
            answer = await self.events.put_events(Entries=entries)
            assert not answer["FailedEntryCount"]

    async def put(self, body: str) -> None:
        """Into the service's queue, whatever it is."""
        await self.sqs.send_message(
            QueueUrl=self.applied.queue_urls["fulfillment"], MessageBody=body
        )


class Witness:
    """Reads what the service tells from the order service's queue; nobody else does, here."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._heard: list[Envelope] = []

    async def told(self, order: Order) -> list[Envelope]:
        """Every message about the order, copies included, each checked against its contract."""
        url = self._aws.applied.queue_urls["order"]
        while True:
            answer = await self._aws.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0
            )
            if not answer.get("Messages"):
                return [each for each in self._heard if each.subject == order.order_id]
            for message in answer["Messages"]:
                await self._aws.sqs.delete_message(
                    QueueUrl=url, ReceiptHandle=message["ReceiptHandle"]
                )
                heard = Envelope.decode(orjson.loads(message["Body"])["detail"])
                parse(heard.type, heard.version, heard.data)
                self._heard.append(heard)

    async def types(self, order: Order) -> list[str]:
        """The names of these messages, in the order of their times."""
        return [each.type for each in sorted(await self.told(order), key=lambda each: each.time)]


class Running:
    """One process of the service."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10)
        self.lines: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(orjson.loads(line))

    def messages(self) -> list[str]:
        """What it has logged."""
        return [line["message"] for line in self.lines]

    async def status(self, order: Order) -> str | None:
        """The shipment's status, None where there is none."""
        answer = await self.http.get(f"/shipments/{order.order_id}")
        return str(answer.json()["status"]) if answer.status_code == 200 else None

    async def census(self) -> Any:
        return (await self.http.get("/ops/messages")).json()

    async def stop(self, signum: int = signal.SIGTERM) -> int:
        """Its exit code, after the signal."""
        if self.process.returncode is None:
            self.process.send_signal(signum)
        code = await asyncio.wait_for(self.process.wait(), PATIENCE_SECONDS)
        await self._reading
        await self.http.aclose()
        return code


@pytest.fixture(name="aws", scope="session")
async def own_aws() -> AsyncIterator[Aws]:
    async with EmbeddedServers(valkey=False) as servers, AsyncExitStack() as stack:
        url = servers.aws_endpoint_url
        session = AioSession()
        session.set_credentials("test", "test")
        applied = await apply(load_topology(), session, endpoint_url=url, region=REGION)
        events, sqs, dynamodb = [
            await stack.enter_async_context(
                session.create_client(name, endpoint_url=url, region_name=REGION)
            )
            for name in ("events", "sqs", "dynamodb")
        ]
        yield Aws(url, events, sqs, dynamodb, applied)


@pytest.fixture
async def gate(aws: Aws) -> AsyncIterator[Any]:
    """What stands between a test's processes and the emulator."""
    # Tests are collected by their files, not as a package.
    spec = importlib.util.spec_from_file_location("fulfillment_gate", FOLDER / "tests" / "gate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    async with module.open_gate(aws.endpoint_url, PortAllocator().pick()) as gate:
        yield gate


@pytest.fixture(scope="session")
def heard(aws: Aws) -> Witness:
    return Witness(aws)


@pytest.fixture
def new_order() -> type[Order]:
    return Order


@pytest.fixture
def order() -> Order:
    return Order()


@pytest.fixture
def environment(gate: Any) -> dict[str, str]:
    """What every process gets; a parcel stays in the house unless a test is in a hurry."""
    return {
        "AWS_ENDPOINT_URL": gate.url,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "VISIBILITY_SECONDS": "2",
        "PACKING_SECONDS": "3600",
        "TRANSIT_SECONDS": "3600",
        "SWEEP_SECONDS": "0.1",
    }


@pytest.fixture
async def start(
    aws: Aws, environment: dict[str, str]
) -> AsyncIterator[Callable[..., Awaitable[Running]]]:
    """`await start("worker", PACKING_SECONDS="0")`: a process that is ready."""
    # What the processes of the test before had not deleted yet when they were killed.
    await aws.sqs.purge_queue(QueueUrl=aws.applied.queue_urls["fulfillment"])
    started: list[Running] = []

    async def run(role: str = "all", *, ready: bool = True, **settings: str) -> Running:
        port = PortAllocator().pick()
        process = await asyncio.create_subprocess_exec(
            str(NODE), "src/main.ts", role,
            cwd=FOLDER,
            env={**environment, "HTTP_PORT": str(port), **settings},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1024 * 1024,
        )  # fmt: skip
        running = Running(process, port)
        started.append(running)
        if ready:
            await eventually(lambda: answers(running, "/health/ready"))
        return running

    yield run
    for each in started:
        if each.process.returncode is None:
            os.kill(each.process.pid, signal.SIGKILL)
        await each.stop()


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Awaitable[None]]:
    return eventually


async def eventually(condition: Callable[[], Awaitable[Any]]) -> None:
    """Wait for what is spread over processes and so signals nobody."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.05)


async def answers(running: Running, path: str) -> bool:
    assert running.process.returncode is None, "the process has ended: " + str(running.messages())
    try:
        return (await running.http.get(path)).status_code == 200
    except httpx.TransportError:
        return False

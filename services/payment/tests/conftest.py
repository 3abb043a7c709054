"""The payment service as it runs, on real servers: PostgreSQL, the AWS emulator, the simulator.

Tests play the order service: they put commands on the bus and read the replies from its queue.
"""

import asyncio
import socket
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from pydantic import BaseModel
from sqlalchemy import delete, func, update

from chassis.migrations import migrate
from chassis.sql import SqlResources, open_sql_resources
from chassis.web import build_app
from contracts.models.common import Money
from contracts.models.payment import (
    AuthorizePayment,
    CapturePayment,
    RefundPayment,
    VoidPayment,
)
from contracts.topology import load_topology
from messaging import Sender
from messaging.topology import Applied, apply
from observability.tracing import Tracing
from payment_service.app import SERVICE, compose
from payment_service.settings import PaymentSettings
from payment_service.store import PAYMENTS, SWEEPS
from stack import EmbeddedServers
from stripe_simulator.testing import RunningSimulator, running_simulator

API_KEY = "sk_test_bookstore"
WEBHOOK_SECRET = "whsec_for_tests"
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class World:
    """The servers of the session."""

    database_url: str
    aws_url: str
    simulator: RunningSimulator
    applied: Applied


@pytest.fixture(scope="session")
async def world() -> AsyncIterator[World]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "test")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        simulated = {
            "STRIPE_API_KEY": API_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STRIPE_WEBHOOK_RETRY_SECONDS": "0.05",
            "STRIPE_SIMULATOR_REFUND_SECONDS": "600",
        }
        async with (
            EmbeddedServers(databases=["payment"], valkey=False) as servers,
            running_simulator(environment=simulated) as simulator,
        ):
            url = servers.postgres_url("payment")
            await migrate(url, SERVICE.package)
            applied = await apply(
                load_topology(), endpoint_url=servers.aws_endpoint_url, region="us-east-1"
            )
            yield World(url, servers.aws_endpoint_url, simulator, applied)


@dataclass(frozen=True)
class Purchase:
    """One order's payment, and the commands about it."""

    payment_method: str = "pm_card_visa"
    amount_minor: int = 1999
    order_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    payment_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def ids(self) -> dict[str, str]:
        return {"order_id": self.order_id, "payment_id": self.payment_id}

    def authorize(self) -> AuthorizePayment:
        return AuthorizePayment(
            **self.ids,
            customer_id="ada",
            amount=Money(amount_minor=self.amount_minor, currency="EUR"),
            payment_method=self.payment_method,
        )

    def void(self) -> VoidPayment:
        return VoidPayment(**self.ids)

    def capture(self) -> CapturePayment:
        return CapturePayment(**self.ids)

    def refund(self) -> RefundPayment:
        return RefundPayment(**self.ids)


@pytest.fixture
def purchase() -> type[Purchase]:
    """Builds an order's payment: `purchase("pm_card_visa")`."""
    return Purchase


class ShortPolls:
    """SQS without long polls: a cancelled one goes on in the emulator and swallows a message."""

    def __init__(self, sqs: Any) -> None:
        self._sqs = sqs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sqs, name)

    async def receive_message(self, **given: Any) -> Any:
        answer = await self._sqs.receive_message(**{**given, "WaitTimeSeconds": 0})
        if not answer.get("Messages"):
            await asyncio.sleep(0.03)
        return answer


class Shop:
    """The running payment service as the order service, its readers and the gateway see it."""

    def __init__(
        self,
        world: World,
        resources: SqlResources,
        http: httpx.AsyncClient,
        parts: Any,
        events: Any,
    ) -> None:
        self.world = world
        self.simulator = world.simulator
        self.resources = resources
        self.http = http
        self.consumer, self.sweep = parts.workers
        self._events = events
        self._sender = Sender("order")
        self._replies: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        self._arrived = asyncio.Condition()

    async def send(self, command: BaseModel, message_id: str | None = None) -> str:
        """Put a command on the bus; its message id."""
        subject = getattr(command, "order_id", None) or command.model_dump()["batch_id"]
        message = self._sender.envelope(
            command,
            cause=message_id or str(uuid.uuid4()),
            subject=subject,
            correlation_id=subject,
        )
        await self._events.put_events(
            Entries=[
                {
                    "EventBusName": "bookstore",
                    "Source": message.source,
                    "DetailType": message.type,
                    "Detail": message.encode().decode(),
                }
            ]
        )
        return message.id

    async def replies(self, subject: str, count: int = 1) -> list[tuple[str, dict[str, Any]]]:
        """All replies about the order so far, once there are `count`: (name, data)."""
        async with self._arrived, asyncio.timeout(PATIENCE_SECONDS):
            await self._arrived.wait_for(lambda: len(self._replies[subject]) >= count)
        return self._replies[subject]

    async def ask(self, command: BaseModel) -> tuple[str, dict[str, Any]]:
        """Send a command and await the next reply about its order."""
        subject = getattr(command, "order_id", None) or command.model_dump()["batch_id"]
        known = len(self._replies[subject])
        await self.send(command)
        return (await self.replies(subject, known + 1))[known]

    async def payment(self, purchase: Purchase) -> dict[str, Any]:
        answer = await self.http.get(f"/payments/{purchase.payment_id}")
        return dict(answer.json())

    async def until(self, purchase: Purchase, status: str) -> dict[str, Any]:
        """The payment, once it has this status."""

        async def reached() -> dict[str, Any] | None:
            found = await self.payment(purchase)
            return found if found.get("status") == status else None

        return await eventually(reached)

    async def moves(self, purchase: Purchase) -> dict[str, int]:
        """How often the simulator's ledger has each kind of move for the payment."""
        path = f"ledger?metadata[payment_id]={purchase.payment_id}"
        listed = (await self.simulator.admin("GET", path))["moves"]
        kinds = [move["kind"] for move in listed]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}

    async def fault(self, operation: str, kind: str, *, purchase: Purchase, **given: Any) -> str:
        """Hit the gateway's calls for one payment (`times`, `nth` go to the match)."""
        match: dict[str, Any] = {
            "operation": operation,
            "metadata": {"payment_id": purchase.payment_id},
        }
        match |= {name: given.pop(name) for name in ("times", "nth") if name in given}
        return await self.simulator.fault(match, {"kind": kind, **given})

    async def set_row(self, purchase: Purchase, **values: Any) -> None:
        """Change the payment's row behind the service's back."""
        statement = update(PAYMENTS).where(PAYMENTS.c.payment_id == purchase.payment_id)
        async with self.resources.engine.begin() as connection:
            await connection.execute(statement.values(**values))

    async def forget_answer(self, purchase: Purchase, *, age: timedelta = timedelta(0)) -> None:
        """As if we had crashed between the gateway's answer and our commit, that long ago."""
        await self.set_row(
            purchase, status="authorizing", intent_id=None, started_at=func.now() - age
        )

    async def dead_letters(self, count: int) -> list[dict[str, str]]:
        """Reason codes and bodies of that many dead letters, which are then gone."""
        url = self.world.applied.dead_letter_urls["payment"]
        letters: list[dict[str, str]] = []

        async def enough() -> bool:
            answer = await self.resources.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            )
            for message in answer.get("Messages", []):
                code = message["MessageAttributes"]["reason_code"]["StringValue"]
                letters.append({"code": code, "body": message["Body"]})
                await self.resources.sqs.delete_message(
                    QueueUrl=url, ReceiptHandle=message["ReceiptHandle"]
                )
            return len(letters) >= count

        await eventually(enough)
        return letters

    async def intent(self, purchase: Purchase) -> dict[str, Any]:
        """The payment's newest intent, from the gateway itself."""
        query = f"metadata['payment_id']:'{purchase.payment_id}'"
        return (await self._stripe("GET", "payment_intents/search", params={"query": query}))[
            "data"
        ][0]

    async def hold_behind_our_back(self, purchase: Purchase) -> None:
        """A hold under the payment's id that the service did not ask for."""
        form = {
            "amount": "1999",
            "currency": "eur",
            "capture_method": "manual",
            "confirm": "true",
            "payment_method": "pm_card_visa",
            "payment_method_types[0]": "card",
            "metadata[payment_id]": purchase.payment_id,
            "metadata[order_id]": purchase.order_id,
        }
        await self._stripe("POST", "payment_intents", data=form)

    async def _stripe(self, method: str, path: str, **given: Any) -> Any:
        answer = await self.http.request(
            method,
            f"{self.simulator.url}/v1/{path}",
            headers={"Authorization": f"Bearer {API_KEY}"},
            **given,
        )
        answer.raise_for_status()
        return answer.json()

    async def circuit_is(self, *, closed: bool) -> None:
        """Return once the circuit breaker shows this in the metrics."""
        line = f"payment_gateway_circuit_closed {float(closed)}"

        async def reached() -> bool:
            return line in (await self.http.get("/metrics")).text

        await eventually(reached)

    async def webhooks_delivered(self) -> int:
        """How many the simulator has delivered in its life."""
        return int((await self.simulator.admin("GET", "webhooks"))["deliveries"]["delivered"])

    async def all_webhooks_delivered(self, at_least: int = 0) -> None:
        """Return once the simulator has nothing left to deliver."""

        async def reached() -> bool:
            told = (await self.simulator.admin("GET", "webhooks"))["deliveries"]
            return told["pending"] == 0 and told["delivered"] >= at_least

        await eventually(reached)

    async def sweep_is_due(self) -> None:
        """As if the last sweep were long ago."""
        async with self.resources.engine.begin() as connection:
            await connection.execute(delete(SWEEPS))

    async def run_sweep(self) -> None:
        """One sweep over the last hour, due or not."""
        await self.sweep.sweep(datetime.now(UTC) - timedelta(hours=1))

    async def listen(self) -> None:
        """Read the order service's queue, for ever."""
        url = self.world.applied.queue_urls["order"]
        while True:
            answer = await self.resources.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5
            )
            async with self._arrived:
                for message in answer.get("Messages", []):
                    detail = orjson.loads(message["Body"])["detail"]
                    self._replies[detail["subject"]].append((detail["type"], detail["data"]))
                    await self.resources.sqs.delete_message(
                        QueueUrl=url, ReceiptHandle=message["ReceiptHandle"]
                    )
                self._arrived.notify_all()


async def eventually(probe: Callable[[], Awaitable[Any]]) -> Any:
    """The probe's first true answer; asks again until PATIENCE_SECONDS have passed."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = await probe()
        if answer:
            return answer
        assert time.monotonic() < give_up_at, "it did not happen in time"
        await asyncio.sleep(0.05)


OpenShop = Callable[..., AbstractAsyncContextManager[Shop]]


@pytest.fixture
def open_shop(world: World) -> OpenShop:
    """Runs the whole service in this process, with settings of the test's choice."""

    @asynccontextmanager
    async def opened(*, webhooks: bool = True, **overrides: Any) -> AsyncIterator[Shop]:
        await world.simulator.admin("DELETE", "webhooks")
        await world.simulator.admin("POST", "reset")
        listener = socket.create_server(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = _settings(world, **overrides)
        async with (
            open_sql_resources(
                "payment", settings, SERVICE.tables, Tracing(None)
            ) as opened_resources,
            httpx.AsyncClient(base_url=base) as http,
        ):
            clients = {**opened_resources.clients, "sqs": ShortPolls(opened_resources.sqs)}
            resources = replace(opened_resources, clients=clients)
            for url in (world.applied.queue_urls["payment"], world.applied.queue_urls["order"]):
                await resources.sqs.purge_queue(QueueUrl=url)
            parts = await compose(resources)
            app = build_app(SERVICE.title, resources, parts.routers())
            server = _Server(uvicorn.Config(app, log_config=None, lifespan="off"))
            shop = Shop(world, resources, http, parts, resources.events)
            tasks = [
                asyncio.create_task(server.serve(sockets=[listener])),
                asyncio.create_task(resources.relay.run()),
                asyncio.create_task(shop.consumer.run()),
            ]
            listening = asyncio.create_task(shop.listen())
            if webhooks:
                await world.simulator.admin("POST", "webhooks", {"url": f"{base}/webhooks/stripe"})
            try:
                yield shop
            finally:
                shop.consumer.stop()
                await asyncio.wait([tasks[2]])
                server.should_exit = True
                resources.relay.stop()
                listening.cancel()
                await asyncio.wait([*tasks, listening])
                for close in parts.closers:
                    await close()

    return opened


@pytest.fixture
async def shop(open_shop: OpenShop) -> AsyncIterator[Shop]:
    """The service with settings for the impatient, webhooks arriving."""
    async with open_shop() as opened:
        yield opened


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Signals belong to pytest."""


def _settings(world: World, **overrides: Any) -> PaymentSettings:
    given: dict[str, Any] = {
        "database_url": world.database_url,
        "aws_endpoint_url": world.aws_url,
        "stripe_api_key": API_KEY,
        "stripe_api_base": world.simulator.url,
        "stripe_webhook_secret": WEBHOOK_SECRET,
        "gateway_attempt_seconds": 0.5,
        "gateway_budget_seconds": 3,
        "gateway_hard_seconds": 5,
        "circuit_failures": 50,
        "visibility_seconds": 5,
        **overrides,
    }
    return PaymentSettings(**given)

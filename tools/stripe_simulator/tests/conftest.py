"""A real simulator process, the official SDK against it, and a webhook receiver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import stripe
from aiohttp import web

from stripe_simulator.testing import RunningSimulator, running_simulator

API_KEY = "sk_test_bookstore"
SECRET = "whsec_for_tests"


class Gateway:
    """The SDK's view of a simulator, and the simulator itself."""

    def __init__(self, simulator: RunningSimulator, client: stripe.StripeClient) -> None:
        self.simulator = simulator
        self.client = client
        self.intents: Any = client.v1.payment_intents
        self.refunds: Any = client.v1.refunds
        self.events: Any = client.v1.events

    async def authorize(self, *, key: str | None = None, **changes: Any) -> Any:
        """Hold money as the payment service does: manual capture, confirmed at once."""
        parameters = {
            "amount": 1999,
            "currency": "usd",
            "capture_method": "manual",
            "confirm": True,
            "payment_method": "pm_card_visa",
            "payment_method_types": ["card"],
            "metadata": {"order_id": "order-1", "payment_id": "payment-1"},
            **changes,
        }
        return await self.intents.create_async(
            parameters, {"idempotency_key": key} if key else None
        )

    async def captured(self, **changes: Any) -> Any:
        held = await self.authorize(**changes)
        return await self.intents.capture_async(held.id)


Start = Callable[..., AbstractAsyncContextManager[Gateway]]


@asynccontextmanager
async def started(*arguments: str, **environment: str) -> AsyncIterator[Gateway]:
    environment = {
        "STRIPE_API_KEY": API_KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_WEBHOOK_RETRY_SECONDS": "0.02",
        "STRIPE_SIMULATOR_REFUND_SECONDS": "600",
        **environment,
    }
    async with (
        running_simulator(*arguments, environment=environment) as simulator,
        aiohttp.ClientSession() as session,
    ):
        transport = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=10), session=session)
        client = stripe.StripeClient(
            API_KEY,
            base_addresses={"api": simulator.url},
            http_client=transport,
            max_network_retries=0,
        )
        yield Gateway(simulator, client)


@pytest.fixture
def start() -> Start:
    return started


@pytest.fixture(scope="session")
async def shared() -> AsyncIterator[Gateway]:
    async with started() as gateway:
        yield gateway


@pytest.fixture
async def gateway(shared: Gateway) -> Gateway:
    """The shared simulator, emptied."""
    await shared.simulator.admin("DELETE", "webhooks")
    await shared.simulator.admin("POST", "reset")
    return shared


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "data" / "journal.jsonl"


@dataclass
class Receiver:
    """A webhook endpoint that verifies as the SDK does and answers as it is told to."""

    url: str = ""
    events: list[Any] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def receive(self, request: web.Request) -> web.Response:
        event = stripe.Webhook.construct_event(
            await request.read(), request.headers["Stripe-Signature"], SECRET, api_key=API_KEY
        )
        status = self.statuses.pop(0) if self.statuses else 200
        async with self._arrived:
            self.events.append(event)
            self._arrived.notify_all()
        return web.Response(status=status)

    async def until(self, count: int) -> list[str]:
        """The events' types, once there are `count`."""
        async with self._arrived, asyncio.timeout(10):
            await self._arrived.wait_for(lambda: len(self.events) >= count)
        return [event.type for event in self.events]


@pytest.fixture
async def receiver(gateway: Gateway) -> AsyncIterator[Receiver]:
    """Registered with the shared simulator."""
    receiving = Receiver()
    application = web.Application()
    application.router.add_post("/webhooks", receiving.receive)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiving.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
    await gateway.simulator.admin("POST", "webhooks", {"url": receiving.url})
    yield receiving
    await gateway.simulator.admin("DELETE", "webhooks")
    await runner.cleanup()

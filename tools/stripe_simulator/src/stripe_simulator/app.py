"""Composition root: one store behind three doors, /v1, /_simulator and /health.

Guarantee: importing it reads no environment and opens nothing; the lifespan starts and stops all.
"""

from __future__ import annotations

from stripe_simulator.admin import Admin
from stripe_simulator.dispatch import Dispatcher
from stripe_simulator.faults import Faults
from stripe_simulator.settings import Settings
from stripe_simulator.store import Store
from stripe_simulator.webhooks import Endpoint, Webhooks
from stripe_simulator.wire import Receive, Scope, Send, reply


class Simulator:
    """The ASGI application."""

    def __init__(self, settings: Settings) -> None:
        self.store = Store(settings)
        self.faults = Faults()
        self.webhooks = Webhooks(
            self.faults,
            retry_seconds=settings.webhook_retry_seconds,
            attempts=settings.webhook_attempts,
        )
        if settings.webhook_url is not None:
            self.webhooks.endpoints.append(
                Endpoint(settings.webhook_url, settings.webhook_secret, settings.webhook_events)
            )
        self.store.publish = self.webhooks.publish
        self._stripe = Dispatcher(self.store, self.faults)
        self._admin = Admin(self.store, self.faults, self.webhooks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if path.startswith("/v1/"):
            await self._stripe(scope, receive, send)
        elif path.startswith("/_simulator/"):
            await self._admin(scope, receive, send)
        elif path in ("/health/live", "/health/ready"):
            await reply(send, 200, b'{"status":"ok"}')
        else:
            await reply(send, 404, b'{"error":{"message":"There are /v1, /_simulator, /health."}}')

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.webhooks.start()
        self.store.agenda.run_due()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.webhooks.stop()
        self.store.close()
        await send({"type": "lifespan.shutdown.complete"})


def create_app(settings: Settings) -> Simulator:
    return Simulator(settings)

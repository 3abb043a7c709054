"""The payment gateway of a world: the Stripe simulator itself, reached through a process's gate.

Guarantee: what the services' SDK sends and gets is what it would over HTTP; the simulator's ledger
is what invariants about money are read from.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from chassis import HttpConnections
from chassis.connections import Answer
from faults.world import Incarnation, World, in_process
from stripe_simulator.app import Simulator
from stripe_simulator.dispatch import Dispatcher
from stripe_simulator.events import Event
from stripe_simulator.settings import DEFAULT_WEBHOOK_EVENTS, Settings

API_KEY = "sk_test_faults"
# A request that is late takes effect once its sender has given up waiting for it.
LATE_SECONDS = 40.0
# Stripe repeats an event that was not taken for three days; some tries are enough here.
WEBHOOK_TRIES = 8
WEBHOOK_RETRY_SECONDS = 5.0
_ID = re.compile(r"/(?:pi|re|ch)_\w+")
_LATE = Answer(0, {}, b"")


class WorldGateway:
    """One simulator; `application()` is the payment service's taker of events."""

    def __init__(
        self, world: World, application: Callable[[], Any], *, late_seconds: float
    ) -> None:
        self._world = world
        self._application = application
        self._late_seconds = late_seconds
        self._under_way = 0
        # Whether events are told at all; nothing but the services' own doing is left without them.
        self.webhooks = True
        # How many answers were a key's stored ones.
        self.replays = 0
        self.simulator = Simulator(Settings(api_key=API_KEY))
        self.store = self.simulator.store
        self.store.publish = self._publish
        self._door = Dispatcher(self.store, self.simulator.faults)

    @property
    def is_idle(self) -> bool:
        """Whether no request and no event is on its way."""
        return not self._under_way

    def moves(self, payment_id: str) -> Counter[str]:
        """How often each kind of move was made for a payment, by the ledger."""
        return Counter(
            move.kind
            for move in self.store.ledger.moves
            if move.metadata.get("payment_id") == payment_id
        )

    def connect(self, life: Incarnation) -> Callable[..., HttpConnections]:
        """What a process opens its connections with."""

        def opened(url: str, *, answer_seconds: float, **_: Any) -> Any:
            return _Connections(self, life, urlsplit(url).netloc, answer_seconds)

        return opened

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, twist: str | None
    ) -> Answer:
        """Let a request take effect now."""
        fault = None
        if twist is not None:
            action = {"kind": "status", "when": twist.removeprefix("fail_"), "status": 500}
            fault = self.simulator.faults.add({"match": {"operation": "any"}, "action": action})
        try:
            return self._ask(method, target, headers, body)
        finally:
            if fault is not None:
                self.simulator.faults.remove(fault.id)

    def take_effect_later(self, *request: Any) -> Answer:
        """Let a request take effect after its sender has gone."""
        self._under_way += 1

        def arrive() -> None:
            self._under_way -= 1
            self._ask(*request)

        self._world.loop.call_later(LATE_SECONDS, arrive)
        return _LATE

    def _ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(n.lower().encode(), str(v).encode("latin-1")) for n, v in headers.items()],
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        coroutine = self._door(scope, receive, send)
        try:
            coroutine.send(None)
        except StopIteration:
            pass
        else:
            raise RuntimeError("the simulator waits for something, which only its faults let it do")
        start, content = sent
        answered = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        self.replays += answered.get("idempotent-replayed") == "true"
        return Answer(start["status"], answered, content["body"])

    def _publish(self, event: Event) -> None:
        if not self.webhooks or event.type not in DEFAULT_WEBHOOK_EVENTS:
            return
        world = self._world
        fault = world.visit(
            "gateway", "deliver", [event.type], ("lose", "duplicate", "late", "reorder")
        )
        if fault == "lose":
            return
        delay = {"late": self._late_seconds, "reorder": WEBHOOK_RETRY_SECONDS}.get(fault or "", 0)
        for _ in range(2 if fault == "duplicate" else 1):
            self._under_way += 1
            world.loop.call_later(delay + world.latency(), self._deliver, event, 1)

    def _deliver(self, event: Event, attempt: int) -> None:
        life = self._world.life_of("payment-web")

        async def take() -> None:
            await self._application().take(orjson.loads(event.body))

        def ended(task: asyncio.Task[None]) -> None:
            failed = task.cancelled() or task.exception() is not None
            if failed and attempt < WEBHOOK_TRIES:
                wait = WEBHOOK_RETRY_SECONDS * 2 ** (attempt - 1)
                self._world.loop.call_later(wait, self._deliver, event, attempt + 1)
            else:
                self._under_way -= 1

        in_process(life, lambda: self._world.loop.create_task(take())).add_done_callback(ended)


class _Connections:
    """Looks like HttpConnections to the SDK's client."""

    def __init__(
        self, gateway: WorldGateway, life: Incarnation, host: str, answer_seconds: float
    ) -> None:
        self.host = host
        self._gateway = gateway
        self._life = life
        self._answer_seconds = answer_seconds

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        request = (method, target, headers, body)

        def effect(twist: str | None) -> Answer:
            if twist == "late":
                return self._gateway.take_effect_later(*request)
            return self._gateway.answer(*request, twist)

        answer = await self._life.call(
            "gateway_post" if method == "POST" else "gateway_get",
            [_ID.sub("", target.partition("?")[0].removeprefix("/v1"))],
            effect,
            error=lambda reason: ConnectionResetError(reason),
            twists=("late", "fail_before", "fail_after") if method == "POST" else (),
        )
        if answer is _LATE:
            await asyncio.sleep(self._answer_seconds)
            raise TimeoutError
        return answer

    def close(self) -> None:
        """There is nothing to close."""

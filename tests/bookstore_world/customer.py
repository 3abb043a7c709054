"""A careful customer: repeats a request until it is answered, with the same key.

Guarantee: an order counts as acknowledged only once an answer with 2xx has arrived.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bookstore_world.stage import BOOK_ID, PRICE_MINOR, Stage
from chassis import Problem
from contracts.models.common import OrderLine
from faults.world import in_process
from order_service.domain import Refused

AGAIN_SECONDS = 2.0
# Longer than two pauses of the process that is asked.
PATIENCE_SECONDS = 1_000.0
_ONE_COPY = {
    "book_id": BOOK_ID,
    "unit_price": {"amount_minor": PRICE_MINOR, "currency": "EUR"},
}


class Unanswered(Exception):
    """Nobody answered for longer than any fault lasts."""


class Customer:
    """Talks to the order service's application as its HTTP routes do."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.acknowledged: list[str] = []
        self._keys: set[str] = set()

    @property
    def asked(self) -> int:
        """With how many different keys: there may be no more orders."""
        return len(self._keys)

    async def place(self, key: str, *, card: str, copies: int = 1) -> str:
        """Order some copies of the one book; the order's id. Raises Problem if it is refused."""
        self._keys.add(key)
        lines = [OrderLine.model_validate({**_ONE_COPY, "quantity": copies})]

        async def ask() -> Any:
            orders = self._stage.processes["order-web"].application
            return await orders.place(
                customer_id="ada",
                lines=lines,
                payment_method=card,
                idempotency_key=key,
                wait_seconds=0,
            )

        answer = await self._until_answered(ask)
        order_id = str(answer.headers["Location"].rpartition("/")[2])
        # A repeat may find the order rejected already: then it exists all the same.
        self.acknowledged.append(order_id)
        return order_id

    async def cancel(self, order_id: str) -> None:
        """Ask for the cancellation until it is under way, done, or refused for good."""

        async def ask() -> Any:
            orders = self._stage.processes["order-web"].application
            return await orders.cancel(order_id, wait_seconds=0)

        await self._until_answered(ask)

    async def _until_answered(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        loop = self._stage.world.loop
        give_up_at = loop.time() + PATIENCE_SECONDS
        while loop.time() < give_up_at:
            life = self._stage.world.life_of("order-web")
            if not life.dead and self._stage.processes["order-web"].application is not None:
                asked = in_process(life, lambda: loop.create_task(_coroutine(ask)))
                await asyncio.wait([asked])
                error = asked.exception() if not asked.cancelled() else None
                if not asked.cancelled() and error is None:
                    return asked.result()
                if isinstance(error, Refused) and error.code not in _NOT_YET:
                    return None
                if isinstance(error, Problem) and error.status not in (409, 500, 503):
                    raise error
            await asyncio.sleep(AGAIN_SECONDS)
        raise Unanswered


_NOT_YET = frozenset({"order_pending"})


async def _coroutine(ask: Callable[[], Awaitable[Any]]) -> Any:
    return await ask()

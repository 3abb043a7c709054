"""Lets requests wait for the outcome of their order.

Guarantee: however many wait, one statement every few hundredths of a second asks for all of them,
and nobody waits past their time.
"""

import asyncio
import logging
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from order_service.store import settled_orders

log = logging.getLogger(__name__)

POLL_SECONDS = 0.04


class Outcomes:
    """A worker of the web role that watches the orders somebody waits for."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: dict[str, set[asyncio.Future[Any]]] = {}
        self._wanted = asyncio.Event()
        self._stopping = False

    async def wait_for(self, order_id: str, seconds: float) -> Any | None:
        """The settled order's row, or None if it is not settled in time."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(order_id, set()).add(future)
        self._wanted.set()
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return None
        finally:
            waiters = self._waiting.get(order_id, set())
            waiters.discard(future)
            if not waiters:
                self._waiting.pop(order_id, None)

    async def run(self) -> None:
        """Ask for what is awaited until `stop`."""
        while not self._stopping:
            if not self._waiting:
                self._wanted.clear()
                await self._wanted.wait()
                continue
            await asyncio.sleep(POLL_SECONDS)
            try:
                rows = await settled_orders(self._engine, list(self._waiting))
            except (SQLAlchemyError, OSError) as error:
                log.warning("cannot ask for outcomes: %s", error)
                continue
            for row in rows:
                for future in self._waiting.pop(str(row.order_id), set()):
                    if not future.done():
                        future.set_result(row)

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping = True
        self._wanted.set()

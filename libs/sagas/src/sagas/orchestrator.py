"""Moves saga instances inside an open transaction, on behalf of handlers, endpoints and sweeps.

Guarantee: an instance runs under the definition of the version it was started with.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from prometheus_client import Counter
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from messaging import Envelope, Outbox, Sender, interruptible_sleep, utc_now
from sagas.definition import Saga
from sagas.engine import Advance, DeadlinePassed, Instance, Reply, Status, advance, begin
from sagas.store import SagaStore

log = logging.getLogger(__name__)

ENDED = Counter("sagas_ended_total", "Saga instances by how they ended", ["saga", "status"])
DEADLINES = Counter("saga_deadlines_total", "Deadlines that passed", ["saga"])


class UnknownSaga(LookupError):
    """An instance of a saga or version that this process does not define."""


class Orchestrator:
    """Knows every saga of a service, in each version that may still have instances."""

    def __init__(self, sagas: Iterable[Saga[Any]], store: SagaStore, sender: Sender) -> None:
        self.store = store
        self._sender = sender
        self._sagas = {(saga.name, saga.version): saga for saga in sagas}
        self._saga_of_reply = {
            reply: saga.name for saga in self._sagas.values() for reply in saga.replies
        }

    @property
    def replies(self) -> list[type[BaseModel]]:
        """Every message that moves one of the sagas."""
        return list(self._saga_of_reply)

    @property
    def names(self) -> list[str]:
        """The sagas' names."""
        return sorted({name for name, _ in self._sagas})

    def begin(
        self, saga: Saga[Any], instance_id: str, data: BaseModel
    ) -> tuple[Instance, list[Envelope]]:
        """A new instance and its first message; the caller stores and sends them."""
        moved = begin(saga, instance_id, data, utc_now())
        return moved.instance, self.envelopes(moved)

    def on_reply(self, instance: Instance, message: Envelope, payload: BaseModel) -> Advance:
        """Move an instance by a participant's reply."""
        reply = Reply(payload, sent_at=message.time)
        return self._counted(instance, advance(self._of(instance), instance, reply, utc_now()))

    def on_deadline(self, instance: Instance) -> Advance:
        """Move an instance whose deadline has passed."""
        DEADLINES.labels(instance.saga).inc()
        passed = DeadlinePassed(instance.turn)
        return self._counted(instance, advance(self._of(instance), instance, passed, utc_now()))

    def saga_of(self, payload: BaseModel) -> str:
        """The name of the saga that this reply moves."""
        return self._saga_of_reply[type(payload)]

    def envelopes(self, moved: Advance, causation_id: str | None = None) -> list[Envelope]:
        """What an advance has to say, ready for the outbox."""
        return [
            self._sender.envelope(
                outgoing.payload,
                cause=outgoing.cause,
                subject=moved.instance.id,
                correlation_id=moved.instance.id,
                causation_id=causation_id,
            )
            for outgoing in moved.outgoing
        ]

    def _of(self, instance: Instance) -> Saga[Any]:
        saga = self._sagas.get((instance.saga, instance.version))
        if saga is None:
            raise UnknownSaga(
                f"{instance.saga} {instance.id} runs version {instance.version}, which this "
                "process does not define: keep old versions until their last instance has ended"
            )
        return saga

    def _counted(self, before: Instance, moved: Advance) -> Advance:
        after = moved.instance
        if after.status is not before.status and (
            after.status.is_final or after.status is Status.PARKED
        ):
            ENDED.labels(after.saga, str(after.status)).inc()
            if after.status is Status.PARKED:
                log.error("%s %s is parked: a human has to look", after.saga, after.id)
        return moved


class DeadlineSweeper:
    """Finds instances whose deadline has passed and moves them; several may run.

    `on_moved` lets the service follow up in the same transaction (its own rows).
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        outbox: Outbox,
        on_moved: Callable[[AsyncConnection, Sequence[Instance]], Awaitable[None]],
        *,
        interval_seconds: float = 1.0,
        lot: int = 100,
    ) -> None:
        self._orchestrator = orchestrator
        self._outbox = outbox
        self._on_moved = on_moved
        self._interval_seconds = interval_seconds
        self._lot = lot
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Sweep until `stop`."""
        while not self._stopping.is_set():
            try:
                while await self.sweep() == self._lot and not self._stopping.is_set():
                    pass
            except Exception:
                log.warning("the deadline sweep failed and will be repeated", exc_info=True)
            pause = self._interval_seconds * random.uniform(0.75, 1.25)
            await interruptible_sleep(pause, self._stopping)

    def stop(self) -> None:
        """Let `run` return after the sweep under way."""
        self._stopping.set()

    async def sweep(self) -> int:
        """Move one lot of instances; how many were due."""
        async with self._outbox.transaction() as transaction:
            store = self._orchestrator.store
            due = await store.lock_due(transaction.connection, self._lot)
            moved = [self._move(instance) for instance in due]
            instances = [each.instance for each in moved]
            await store.save(transaction.connection, instances)
            for each in moved:
                transaction.send(self._orchestrator.envelopes(each))
            await self._on_moved(transaction.connection, instances)
        return len(due)

    def _move(self, instance: Instance) -> Advance:
        try:
            return self._orchestrator.on_deadline(instance)
        except UnknownSaga:
            # Saving it unchanged renews its deadline, so that it holds up nobody else.
            log.exception("a deadline passed that this process cannot handle")
            return Advance(instance)

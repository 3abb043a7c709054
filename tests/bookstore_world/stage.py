"""The bookstore's five processes over stores in memory, one database a service.

Guarantee: what runs is each service's own composition root with production's times; only sweeps
are rarer, since in virtual time they cost nothing but the machine's.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from pydantic import SecretStr
from sqlalchemy import insert

import faults.stage
from bookstore_world.gateway import API_KEY, WorldGateway
from catalog_service.app import SERVICE as CATALOG
from catalog_service.tables import BOOKS
from contracts import load_topology
from faults.engine import NewDatabase
from faults.loop import VirtualLoop
from faults.memory.database import MemoryDatabase
from faults.plan import Plan
from faults.stage import Process
from order_service.app import SERVICE as ORDER
from order_service.reconciler import Reconciler
from payment_service.app import SERVICE as PAYMENT
from payment_service.sweep import GatewaySweep

# Longer than any deadline of a saga (150 s), any lease and any visibility (30 s).
PAUSE_SECONDS = 200.0
BOOK_ID = "0b0c7a3e-93a5-5d52-8d4e-0f6f1c2d3e4f"
PRICE_MINOR = 1200
# Production's settings, but for rarer sweeps.
_ORDER = {"deadline_sweep_seconds": 20}
_CATALOG = {"expiry_sweep_seconds": 600}
_PAYMENT = {
    "stripe_api_key": SecretStr(API_KEY),
    "stripe_webhook_secret": SecretStr("whsec_faults"),
}
PROCESSES = (
    Process(ORDER, "web", settings=_ORDER),
    Process(ORDER, settings=_ORDER),
    Process(CATALOG, settings=_CATALOG),
    Process(PAYMENT, "web", settings=_PAYMENT),
    Process(PAYMENT, settings=_PAYMENT),
)


@cache
def _processes(
    workers: int, reconcile: bool, skews: tuple[tuple[str, float], ...]
) -> tuple[Process, ...]:
    """Once for all runs: reading a process's settings takes longer than starting it."""
    wrong = dict(skews)
    return tuple(
        replace(
            each,
            name=(name := each.name if number == 1 else f"{each.name}-{number}"),
            skew_seconds=wrong.get(name, 0.0),
            without=() if reconcile else (Reconciler, GatewaySweep),
        )
        for each in PROCESSES
        for number in range(1, (workers if each.role == "worker" else 1) + 1)
    )


class Stage(faults.stage.Stage):
    """A world with the bookstore in it.

    `reconcile` switches on what repairs: reconciliation, the gateway's sweep and its webhooks.
    `workers`: how many processes of each service's worker role. `forgetful`: the emulator may
    restart with an empty memory. `skews`: by how many seconds a process's clock is wrong.
    `reads`: whether reads can be hit. `database` makes a service's database.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        plan: Plan,
        seed: int,
        *,
        reconcile: bool = True,
        workers: int = 1,
        forgetful: bool = False,
        skews: tuple[tuple[str, float], ...] = (),
        reads: bool = True,
        keep_trace: bool = False,
        database: NewDatabase = MemoryDatabase,
    ) -> None:
        super().__init__(
            loop,
            plan,
            seed,
            processes=_processes(workers, reconcile, skews),
            topology=load_topology().only({"order", "catalog", "payment"}),
            pause_seconds=PAUSE_SECONDS,
            reads=reads,
            # A bus that loses what it has taken is what reconciliation is there for.
            without=frozenset() if reconcile else frozenset({"lose"}),
            keep_trace=keep_trace,
            database=database,
            republish=forgetful,
        )
        self.reconcile = reconcile
        # Whether somebody from outside has done what people then have to look at.
        self.meddled = False
        if forgetful:
            self.world.happenings["forget"] = self.aws.forget
            self.world.happen_after = {"put_events": ("forget",), "receive_message": ("forget",)}
        self.gateway = WorldGateway(
            self.world, lambda: self.application("payment-web"), late_seconds=PAUSE_SECONDS
        )
        self.gateway.webhooks = reconcile
        self.connect = self.gateway.connect

    async def set_out(self, *, stock: int) -> None:
        """Put one book on the shelf, and start every process on a bus that they know."""
        for service in self.services:
            self.aws.tag(f"outbox-of-{service}")
        await self.databases["catalog"].execute(insert(BOOKS).values(**_book(stock)))
        self.open()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Return once something is so, looked at after every operation."""
        if reached():
            return
        arrived = asyncio.Event()
        self.world.on_step.append(lambda _process, _operation: reached() and arrived.set())
        await arrived.wait()

    def snapshot(self) -> dict[str, Any]:
        """Every table of every service, and the gateway's ledger."""
        tables: dict[str, Any] = {
            f"{name} {table.name}": self.databases[name].rows(table)
            for name, service in self.services.items()
            for table in service.metadata.sorted_tables
        }
        return {**tables, "ledger": list(self.gateway.store.ledger.moves)}

    def replay(self) -> None:
        """Put everything that was ever published into the queues once more."""
        for _, detail in list(self.aws.published):
            for receiver in self.topology.receivers_of(detail["type"]):
                self.put(receiver, detail)


def _book(stock: int) -> dict[str, Any]:
    return {
        "book_id": BOOK_ID,
        "title": "Middlemarch",
        "authors": ["George Eliot"],
        "subjects": [],
        "language": "en",
        "version": 1,
        "stock_version": 1,
        "price_minor": PRICE_MINOR,
        "currency": "EUR",
        "on_hand": stock,
        "reserved": 0,
        "sold": 0,
        "received": stock,
    }

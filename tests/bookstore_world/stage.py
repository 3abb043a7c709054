"""The bookstore's five processes over stores in memory, one database a service.

Guarantee: what runs is each service's own composition root with production's times; only sweeps
are rarer, since in virtual time they cost nothing but the machine's.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from types import MappingProxyType
from typing import Any

import orjson
from pydantic import SecretStr
from sqlalchemy import insert

from bookstore_world.gateway import API_KEY, WorldGateway
from catalog_service.app import SERVICE as CATALOG
from catalog_service.settings import CatalogSettings
from catalog_service.tables import BOOKS
from chassis import Service, ServiceSettings
from contracts import load_topology
from faults.engine import NewDatabase
from faults.loop import EPOCH, VirtualLoop, wall_seconds
from faults.memory.aws import MemoryAws
from faults.memory.database import MemoryDatabase
from faults.plan import Plan
from faults.service import ServiceProcess
from faults.world import World
from order_service.app import SERVICE as ORDER
from order_service.reconciler import Reconciler
from order_service.settings import OrderSettings
from payment_service.app import SERVICE as PAYMENT
from payment_service.settings import PaymentSettings
from payment_service.sweep import GatewaySweep

# Longer than any deadline of a saga (150 s), any lease and any visibility (30 s).
PAUSE_SECONDS = 200.0
# By which a message that is overtaken arrives later.
REORDER_SECONDS = 10.0
BOOK_ID = "0b0c7a3e-93a5-5d52-8d4e-0f6f1c2d3e4f"
PRICE_MINOR = 1200
METADATA = {"order": ORDER.metadata, "catalog": CATALOG.metadata, "payment": PAYMENT.metadata}
TABLES = {"order": ORDER.tables, "catalog": CATALOG.tables, "payment": PAYMENT.tables}
_DATABASE = SecretStr("postgresql+asyncpg://world:world@127.0.0.1:1/world")
PROCESSES = (
    ("order-web", ORDER, "web"),
    ("order-worker", ORDER, "worker"),
    ("catalog-worker", CATALOG, "worker"),
    ("payment-web", PAYMENT, "web"),
    ("payment-worker", PAYMENT, "worker"),
)


@cache
def settings_of(service: Service) -> ServiceSettings:
    """Production's settings, but for rarer sweeps."""
    if service is ORDER:
        return OrderSettings(database_url=_DATABASE, deadline_sweep_seconds=20)
    if service is CATALOG:
        return CatalogSettings(database_url=_DATABASE, expiry_sweep_seconds=600)
    return PaymentSettings(
        database_url=_DATABASE,
        stripe_api_key=SecretStr(API_KEY),
        stripe_webhook_secret=SecretStr("whsec_faults"),
    )


class Stage:
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
        skews: Mapping[str, float] = MappingProxyType({}),
        reads: bool = True,
        keep_trace: bool = False,
        database: NewDatabase = MemoryDatabase,
    ) -> None:
        self.reconcile = reconcile
        self._workers = workers
        self._skews = skews
        self._forgetful = forgetful
        # Ids of messages that were put into the queues past all services.
        self.strangers: set[str] = set()
        # Whether somebody from outside has done what people then have to look at.
        self.meddled = False
        self._names: dict[str, str] = {}
        self._named = 0
        self.world = World(
            loop,
            plan,
            seed,
            pause_seconds=PAUSE_SECONDS,
            subject=self._subject,
            reads=reads,
            keep_trace=keep_trace,
        )
        self.topology = load_topology()
        self.aws = MemoryAws(
            self.topology,
            late_seconds=PAUSE_SECONDS,
            reorder_seconds=REORDER_SECONDS,
            epoch_seconds=EPOCH,
        )

        if not reconcile:
            # A bus that loses what it has taken is what reconciliation is there for.
            self.world.without = frozenset({"lose"})
        if forgetful:
            self.world.happenings["forget"] = self.aws.forget
            self.world.happen_after = {"put_events": ("forget",), "receive_message": ("forget",)}

        def now() -> datetime:
            return datetime.fromtimestamp(wall_seconds(loop), UTC)

        self.databases = {
            service.name: database(service.metadata, now) for service in (ORDER, CATALOG, PAYMENT)
        }
        self.processes: dict[str, ServiceProcess] = {}
        self.gateway = WorldGateway(
            self.world,
            lambda: self.processes["payment-web"].application,
            late_seconds=PAUSE_SECONDS,
        )
        self.gateway.webhooks = reconcile

    async def open(self, *, stock: int) -> None:
        """Put one book on the shelf and start every process."""
        for service in self.databases:
            self.aws.tag(f"outbox-of-{service}")
        await self.databases["catalog"].execute(insert(BOOKS).values(**_book(stock)))
        for name, service, role in self._named_processes():
            process = self.processes[name] = ServiceProcess(
                service=service,
                role=role,
                settings=settings_of(service),
                topology=self.topology,
                database=self.databases[service.name],
                aws=self.aws,
                connect=self.gateway.connect,
                republish=self._forgetful,
                without=() if self.reconcile else (Reconciler, GatewaySweep),
            )
            self.world.start(name, process.run, skew_seconds=self._skews.get(name, 0.0))

    def _named_processes(self) -> Iterator[tuple[str, Service, str]]:
        for name, service, role in PROCESSES:
            for number in range(1, (self._workers if role == "worker" else 1) + 1):
                yield (name if number == 1 else f"{name}-{number}"), service, role

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
            f"{service} {table.name}": self.databases[service].rows(table)
            for service, metadata in METADATA.items()
            for table in metadata.sorted_tables
        }
        return {**tables, "ledger": list(self.gateway.store.ledger.moves)}

    def history(self) -> list[tuple[str, str]]:
        """Everything that was published, by the queue that it goes to."""
        return [
            (self.topology.services[receiver].queue.name, event_of(detail))
            for _, detail in list(self.aws.published)
            for receiver in self.topology.receivers_of(detail["type"])
        ]

    def inbox(self, service: str) -> list[str]:
        """The types of what a service has handled."""
        return [row["type"] for row in self.databases[service].rows(TABLES[service].inbox)]

    def dead_letters(self, service: str) -> list[tuple[str, str]]:
        """Message ids and reason codes of a service's dead letters."""
        queue = self.aws.queue(self.topology.services[service].dead_letters.name)
        return [
            (
                orjson.loads(message.body)["detail"]["id"],
                message.attributes.get("reason_code", {}).get("StringValue", "receives_exhausted"),
            )
            for message in queue.messages
        ]

    def _subject(self, operation: str, detail: Sequence[str]) -> str:
        """Messages by their type, tables by what is done to them; ids have no place in it."""
        if operation in ("commit", "write"):
            for kind in ("inbox ", "outbox "):
                types = [each.removeprefix(kind) for each in detail if each.startswith(kind)]
                if types:
                    return "+".join(types)
            return ", ".join(detail)
        named = [self._name_of(each) for each in detail]
        return "+".join(dict.fromkeys(named))

    def _name_of(self, text: str) -> str:
        scope, separator, key = text.partition("#")
        if not separator:
            return text
        for _, detail in self.aws.published[self._named :]:
            self._names[detail["id"]] = detail["type"]
        self._named = len(self.aws.published)
        return self._names.get(key, f"{scope} key")


def event_of(detail: Mapping[str, Any]) -> str:
    """As the bus hands a message to a queue."""
    event = {
        "id": detail["id"],
        "source": detail["source"],
        "detail-type": detail["type"],
        "detail": detail,
    }
    return orjson.dumps(event).decode()


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

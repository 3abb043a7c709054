"""Runs a service as a process of a world: its own composition root, over stores of the world's.

Guarantee: everything that the service does outside of itself passes the gate of the incarnation
that does it; the service's own code is what production runs.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chassis import (
    HttpConnections,
    Resources,
    Service,
    ServiceSettings,
    SqlResources,
    SqlService,
    Worker,
)
from contracts import Topology
from faults.engine import Database
from faults.memory.aws import MemoryAws
from faults.world import Incarnation
from messaging import Outbox, Relay, RepublishSweeper
from observability import Tracing

# In virtual time sweeps only cost the machine's time, so they are rarer than in production.
SWEEP_SECONDS = 20.0


@dataclass
class ServiceProcess:
    """A role of a service: `run` is one life of it.

    `database` is that of a service with SQL. `without` names classes of workers that are left out,
    such as reconciliation's; `republish`: whether somebody looks for a bus that has forgotten
    everything.
    """

    service: Service
    role: str
    settings: ServiceSettings
    topology: Topology
    database: Database | None
    aws: MemoryAws
    connect: Callable[[Incarnation], Callable[..., HttpConnections]] | None = None
    without: tuple[type, ...] = ()
    republish: bool = False
    application: Any = None

    async def run(self, life: Incarnation) -> None:
        """Compose the service and run its workers, until one of them ends."""
        resources = self._resources(life)
        parts = await self.service.compose(resources)
        self.application = parts.application
        workers: list[Worker] = list(resources.senders)
        if self.role == "web":
            workers.extend(parts.web_workers)
        else:
            workers.extend(parts.workers)
            if self.republish and isinstance(resources, SqlResources):
                workers.append(
                    RepublishSweeper(
                        resources.engine,
                        resources.tables,
                        resources.events,
                        service=self.service.name,
                        bus=self.topology.bus,
                        interval_seconds=SWEEP_SECONDS,
                    )
                )
        running = [
            asyncio.create_task(worker.run())
            for worker in workers
            if not isinstance(worker, self.without)
        ]
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for worker_ended in done:
            worker_ended.result()  # Raises what it died of.

    def _resources(self, life: Incarnation) -> Resources:
        if isinstance(self.service, SqlService):
            return self._sql_resources(life, self.service)
        return Resources(
            service=self.service.name,
            role=self.role,
            settings=self.settings,
            topology=self.topology,
            clients=self._clients(life),
            tracing=Tracing(None),
            connect=self._connect(life),
        )

    def _sql_resources(self, life: Incarnation, service: SqlService) -> SqlResources:
        assert self.database is not None
        engine: Any = self.database.engine(life)
        life.on_death.append(engine.abort)
        clients = self._clients(life)
        relay = Relay(
            engine,
            service.tables,
            clients["events"],
            bus=self.topology.bus,
            sweep_seconds=SWEEP_SECONDS,
        )
        return SqlResources(
            service=service.name,
            settings=self.settings,
            topology=self.topology,
            clients=clients,
            engine=engine,
            reader=engine.execution_options(isolation_level="AUTOCOMMIT"),
            tables=service.tables,
            outbox=Outbox(engine, service.tables, relay.wake),
            relay=relay,
            tracing=Tracing(None),
            connect=self._connect(life),
        )

    def _clients(self, life: Incarnation) -> dict[str, Any]:
        return {
            "events": self.aws.events(life),
            "sqs": self.aws.sqs(life),
            "dynamodb": self.aws.dynamodb(life),
            "ses": self.aws.ses(life),
        }

    def _connect(self, life: Incarnation) -> Callable[..., HttpConnections]:
        return self.connect(life) if self.connect is not None else HttpConnections

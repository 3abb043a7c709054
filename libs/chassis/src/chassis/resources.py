"""What a process holds open: the database engine, the AWS clients, the outbox with its relay.

Guarantee: opened once, bounded, and closed in reverse order however the process ends.
"""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from tenacity import before_sleep_log, retry, retry_if_exception_type, stop_after_delay
from tenacity import wait_exponential_jitter as exponential_jitter

from chassis.aws import open_clients
from chassis.connections import HttpConnections
from chassis.settings import ServiceSettings
from contracts import Topology, load_topology
from messaging import MessagingTables, Outbox, Relay
from observability import Tracing

log = logging.getLogger(__name__)

# asyncpg would wait a minute for a connection, and for an answer for ever. An answer that is this
# late will not come: its connection is dead, though nobody has said so. Beside a saga's shortest
# deadline (90 s) there is time for a second try.
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
# Between two statements of a transaction lies hardly more than arithmetic, or a call to the bus. A
# process that stands still there (frozen, or out of the server's reach) keeps its row locks, and
# with them everybody who sells the same books; after this long the server ends its session.
IDLE_IN_TRANSACTION_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Resources:
    """The open resources of one process of one service."""

    service: str
    settings: ServiceSettings
    topology: Topology
    engine: AsyncEngine
    reader: AsyncEngine
    events: Any
    sqs: Any
    dynamodb: Any
    tables: MessagingTables
    outbox: Outbox
    relay: Relay
    tracing: Tracing
    # How the service reaches third parties by HTTP.
    connect: Callable[..., HttpConnections] = HttpConnections

    def table(self, purpose: str) -> str:
        """The name of the DynamoDB table for a purpose: 'ledger' or 'http-idempotency'."""
        for table in self.topology.tables:
            if table.name.endswith(f"-{purpose}"):
                return table.name
        raise LookupError(f"the topology has no table for {purpose}")

    async def queue_urls(self) -> tuple[str, str]:
        """Addresses of the service's queue and of its dead-letter queue; waits until they exist."""
        mine = self.topology.services[self.service]
        return await self._queue_url(mine.queue.name), await self._queue_url(mine.dead_letters.name)

    async def _queue_url(self, name: str) -> str:
        @retry(
            retry=retry_if_exception_type((ClientError, BotoCoreError, OSError)),
            wait=exponential_jitter(multiplier=0.1, max=2),
            stop=stop_after_delay(60),
            before_sleep=before_sleep_log(log, logging.WARNING),
            reraise=True,
        )
        async def look_up() -> str:
            answer = await self.sqs.get_queue_url(QueueName=name)
            return str(answer["QueueUrl"])

        return await look_up()


def refuse_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    """Take no connection from the pool that the server has closed (a restart, a failover).

    asyncpg learns that from the socket, so asking costs nothing. The pool then opens another.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the server has closed this connection")


@asynccontextmanager
async def open_resources(
    service: str,
    settings: ServiceSettings,
    tables: MessagingTables,
    tracing: Tracing,
    aws: Sequence[str] = ("events", "sqs", "dynamodb"),
) -> AsyncIterator[Resources]:
    """Open everything; nothing is contacted yet except that AWS clients read their credentials.

    `aws` names the clients to open; `dynamodb` is None where a service keeps nothing there.
    """
    async with AsyncExitStack() as stack:
        engine = create_async_engine(
            settings.database_url.get_secret_value(),
            pool_size=settings.database_pool_size,
            max_overflow=0,
            pool_timeout=10,
            pool_recycle=1800,
            connect_args={
                "timeout": CONNECT_SECONDS,
                "command_timeout": ANSWER_SECONDS,
                "server_settings": {
                    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS:g}s"
                },
            },
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=orjson.loads,
        )
        stack.push_async_callback(engine.dispose)
        event.listen(engine.sync_engine, "checkout", refuse_closed)
        tracing.instrument_engine(engine)
        clients = await open_clients(
            stack,
            *aws,
            region=settings.aws_region,
            endpoint_url=settings.aws_endpoint_url,
            short_way=not tracing.enabled,
        )
        topology = load_topology()
        relay = Relay(engine, tables, clients["events"], bus=topology.bus)
        yield Resources(
            service=service,
            settings=settings,
            topology=topology,
            engine=engine,
            # The same pool, for single reads: without BEGIN and ROLLBACK around them.
            reader=engine.execution_options(isolation_level="AUTOCOMMIT"),
            events=clients["events"],
            sqs=clients["sqs"],
            dynamodb=clients.get("dynamodb"),
            tables=tables,
            outbox=Outbox(engine, tables, relay.wake),
            relay=relay,
            tracing=tracing,
        )

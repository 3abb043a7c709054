"""A service that keeps its state in PostgreSQL, with inbox, outbox and relay.

Guarantee: what it sends commits with its state; its engine is bounded, and no connection that the
server has closed is handed out.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import MetaData, event, text
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from chassis.resources import NotReady, Resources, Worker, clients_of
from chassis.service import Service
from chassis.settings import ServiceSettings, SqlSettings
from contracts import load_topology
from messaging import MessagingTables, Outbox, Relay, RepublishSweeper, handled_census
from observability import Tracing

# asyncpg would wait a minute for a connection, and for an answer for ever. An answer that is this
# late will not come: its connection is dead, though nobody has said so. Beside a saga's shortest
# deadline (90 s) there is time for a second try.
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
# Between two statements of a transaction lies hardly more than arithmetic, or a call to the bus. A
# process that stands still there (frozen, or out of the server's reach) keeps its row locks, and
# with them everybody who sells the same books; after this long the server ends its session.
IDLE_IN_TRANSACTION_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlResources(Resources):
    """The open resources of one process of a service with a database."""

    engine: AsyncEngine
    reader: AsyncEngine
    tables: MessagingTables
    outbox: Outbox
    relay: Relay

    @property
    def events(self) -> Any:
        """The bus's client."""
        return self.clients["events"]

    @property
    def senders(self) -> Sequence[Worker]:
        """The relay."""
        return (self.relay,)

    @property
    def keepers(self) -> Sequence[Worker]:
        """Publishes again to a bus that has forgotten everything."""
        return (
            RepublishSweeper(
                self.engine,
                self.tables,
                self.events,
                service=self.service,
                bus=self.topology.bus,
            ),
        )

    async def check(self) -> None:
        """Return if the database answers; raises NotReady."""
        try:
            async with self.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError) as error:
            raise NotReady(f"The database does not answer: {_driver_error(error)}") from None

    async def census(self) -> dict[str, Any]:
        """Messages `sent`, in the `outbox`, and `handled`, for the balance sheet."""
        handled = await handled_census(self.engine, self.tables)
        return {**await self.outbox.census(), "handled": handled}


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlService(Service):
    """A service with a database, as its `app.py` declares it; `compose` gets SqlResources."""

    settings: type[SqlSettings]
    metadata: MetaData
    tables: MessagingTables
    aws: Sequence[str] = ("events", "sqs", "dynamodb")

    @property
    def roles(self) -> Sequence[str]:
        """With `migrate`: bring the database's schema up to date, then exit."""
        return ("web", "worker", "all", "migrate", *self.commands)

    def open(
        self, settings: ServiceSettings, tracing: Tracing, role: str = "all"
    ) -> AbstractAsyncContextManager[SqlResources]:
        """The resources of a process of it."""
        assert isinstance(settings, SqlSettings)
        return open_sql_resources(self.name, settings, self.tables, tracing, self.aws, role)

    async def migrate(self, settings: ServiceSettings) -> None:
        """Bring the schema up to date."""
        from chassis.migrations import migrate  # Alembic costs the other roles 8 MB.

        assert isinstance(settings, SqlSettings)
        await migrate(settings.database_url.get_secret_value(), self.package)


def refuse_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    """Take no connection from the pool that the server has closed (a restart, a failover).

    asyncpg learns that from the socket, so asking costs nothing. The pool then opens another.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the server has closed this connection")


@asynccontextmanager
async def open_sql_resources(
    service: str,
    settings: SqlSettings,
    tables: MessagingTables,
    tracing: Tracing,
    aws: Sequence[str] = ("events", "sqs", "dynamodb"),
    role: str = "all",
) -> AsyncIterator[SqlResources]:
    """Open everything; nothing is contacted yet except that AWS clients read their credentials."""
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
        clients = await clients_of(stack, settings, tracing, aws)
        topology = load_topology()
        relay = Relay(engine, tables, clients["events"], bus=topology.bus)
        yield SqlResources(
            service=service,
            role=role,
            settings=settings,
            topology=topology,
            clients=clients,
            engine=engine,
            # The same pool, for single reads: without BEGIN and ROLLBACK around them.
            reader=engine.execution_options(isolation_level="AUTOCOMMIT"),
            tables=tables,
            outbox=Outbox(engine, tables, relay.wake),
            relay=relay,
            tracing=tracing,
        )


def _driver_error(error: BaseException) -> str:
    """The driver's name for it, as InvalidPasswordError is; SQLAlchemy's says only DBAPIError."""
    adapted = getattr(error, "orig", None)
    return type(getattr(adapted, "__cause__", None) or adapted or error).__name__

"""The real servers of a test session: PostgreSQL, Valkey and the AWS emulator, started once.

Guarantee: nothing starts unless a test asks for it, and tests that share a server share no data: a
test gets a schema, a queue or a key scope of its own.
"""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from aiobotocore.session import AioSession
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateSchema, DropSchema

from contracts import load_topology
from faults.gate import OpenGate
from faults.memory.database import MemoryDatabase
from messaging.topology import Applied, apply
from stack import EmbeddedServers

REGION = "us-east-1"
DATABASES = ["order", "catalog", "payment", "scratch"]

NewDatabase = Callable[[MetaData], Awaitable[AsyncEngine]]


@dataclass(frozen=True)
class Aws:
    """Clients of the emulator; the topology is applied."""

    endpoint_url: str
    events: Any
    sqs: Any
    dynamodb: Any
    applied: Applied


@dataclass(frozen=True)
class Queue:
    """A queue and its dead-letter queue, of one test alone."""

    url: str
    dead_letter_url: str


def aws_session() -> AioSession:
    session = AioSession()
    session.set_credentials("test", "test")
    return session


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[EmbeddedServers]:
    async with EmbeddedServers(databases=DATABASES) as servers:
        yield servers


@pytest.fixture(scope="session")
async def aws(servers: EmbeddedServers) -> AsyncIterator[Aws]:
    url = servers.aws_endpoint_url
    applied = await apply(load_topology(), aws_session(), endpoint_url=url, region=REGION)
    async with AsyncExitStack() as stack:
        events, sqs, dynamodb = [
            await stack.enter_async_context(
                aws_session().create_client(name, endpoint_url=url, region_name=REGION)
            )
            for name in ("events", "sqs", "dynamodb")
        ]
        yield Aws(url, events, sqs, dynamodb, applied)


@pytest.fixture
async def new_database(servers: EmbeddedServers) -> AsyncIterator[NewDatabase]:
    """`await new_database(metadata)`: an engine on fresh tables that no other test sees."""
    async with AsyncExitStack() as stack:

        async def create(metadata: MetaData) -> AsyncEngine:
            return await stack.enter_async_context(
                private_schema(servers.postgres_url("scratch"), metadata)
            )

        yield create


@pytest.fixture(params=["memory", "postgres"])
async def either_database(request: pytest.FixtureRequest, new_database: NewDatabase) -> NewDatabase:
    """As `new_database`, once in memory and once on the real server: one suite for both."""

    async def create(metadata: MetaData) -> Any:
        return MemoryDatabase(metadata, now=lambda: datetime.now(UTC)).engine(OpenGate())

    return create if request.param == "memory" else new_database


@asynccontextmanager
async def private_schema(url: str, metadata: MetaData) -> AsyncIterator[AsyncEngine]:
    schema = f"test_{uuid.uuid4().hex}"
    engine = create_async_engine(
        url, connect_args={"server_settings": {"search_path": schema}}, pool_size=8, max_overflow=0
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(CreateSchema(schema))
            await connection.run_sync(metadata.create_all)
        yield engine
        async with engine.begin() as connection:
            await connection.execute(DropSchema(schema, cascade=True))
    finally:
        await engine.dispose()


@pytest.fixture
async def queue(aws: Aws) -> Queue:
    name = f"test-{uuid.uuid4().hex}"
    urls = [
        (await aws.sqs.create_queue(QueueName=each))["QueueUrl"] for each in (name, f"{name}-dead")
    ]
    return Queue(*urls)


@pytest.fixture
def scope() -> str:
    """A prefix of keys in the shared DynamoDB tables."""
    return f"test-{uuid.uuid4().hex}"

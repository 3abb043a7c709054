"""The catalog on a real PostgreSQL and a real Valkey; messages are handed in, not received.

Guarantee: each test that asks for a fixture from here starts with an empty catalog and cache.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from pydantic import BaseModel
from redis.asyncio import Redis
from sqlalchemy import select

from catalog_service.app import SERVICE
from catalog_service.cache import BookCache
from catalog_service.handlers import ROUTES
from catalog_service.invalidation import Invalidation
from catalog_service.settings import CatalogSettings
from catalog_service.store import StockUnitOfWork
from catalog_service.tables import MESSAGING, METADATA
from chassis import SqlResources
from chassis.migrations import migrate
from chassis.sql import open_sql_resources
from chassis.web import build_app
from messaging import Envelope, Sender, Transactions, dispatcher
from observability import configure_tracing
from stack import EmbeddedServers

Handle = Callable[[Envelope], Awaitable[bool]]
HOLD = timedelta(hours=24)


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[EmbeddedServers]:
    async with EmbeddedServers(databases=["catalog"], emulator=False) as running:
        await migrate(running.postgres_url("catalog"), "catalog_service")
        yield running


@pytest.fixture(scope="session")
async def opened(servers: EmbeddedServers) -> AsyncIterator[SqlResources]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        settings = CatalogSettings(
            database_url=servers.postgres_url("catalog"),
            redis_url=servers.redis_url,
            aws_endpoint_url="http://127.0.0.1:9",  # Nothing here may ask AWS.
        )
        tracing = configure_tracing("catalog-tests", otlp_endpoint=None, trace_file=None)
        async with open_sql_resources("catalog", settings, MESSAGING, tracing) as resources:
            yield resources


@pytest.fixture
async def resources(opened: SqlResources, servers: EmbeddedServers) -> SqlResources:
    async with opened.engine.begin() as connection:
        for table in METADATA.sorted_tables:
            await connection.execute(table.delete())
    async with Redis.from_url(servers.redis_url) as redis:
        await redis.flushall()
    return opened


@pytest.fixture
async def client(resources: SqlResources) -> AsyncIterator[httpx.AsyncClient]:
    parts = await SERVICE.compose(resources)
    app = build_app(SERVICE.title, resources, parts.routers())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://catalog") as open_client:
        yield open_client
    for close in parts.closers:
        await close()


@pytest.fixture
async def new_worker(resources: SqlResources) -> AsyncIterator[Callable[[], Handle]]:
    """Makes one worker process's `handle(envelope)`; several batch apart from each other."""
    settings = resources.settings
    assert isinstance(settings, CatalogSettings)
    assert settings.redis_url is not None
    cache = BookCache(settings.redis_url.get_secret_value(), ttl_seconds=5)

    def make() -> Handle:
        invalidation = Invalidation(cache)
        transactions = Transactions(
            outbox=resources.outbox,
            tables=MESSAGING,
            unit_of_work=lambda: StockUnitOfWork(Sender("catalog"), HOLD, invalidation.expect),
        )
        return invalidation.after(dispatcher(ROUTES, transactions))

    yield make
    await cache.close()


def _envelope(payload: BaseModel) -> Envelope:
    data = payload.model_dump()
    subject = data.get("order_id") or data["batch_id"]
    return Sender("order").envelope(
        payload, cause=str(uuid.uuid4()), subject=subject, correlation_id=subject
    )


@pytest.fixture
def envelope() -> Callable[[BaseModel], Envelope]:
    """Wraps a command as the order service would, each time as a new message."""
    return _envelope


@pytest.fixture
def send(new_worker: Callable[[], Handle]) -> Callable[..., Awaitable[list[bool | BaseException]]]:
    """Hands messages to one worker as one batch; answers what became of each."""
    handle = new_worker()

    async def handled(*messages: Envelope | BaseModel) -> list[bool | BaseException]:
        wrapped = [m if isinstance(m, Envelope) else _envelope(m) for m in messages]
        return await asyncio.gather(*map(handle, wrapped), return_exceptions=True)

    return handled


@pytest.fixture
def sent(resources: SqlResources) -> Callable[..., Awaitable[list[dict[str, Any]]]]:
    """The data of what was committed to the outbox, oldest first, as `{"type": ..., **data}`."""

    async def read(*types: str) -> list[dict[str, Any]]:
        outbox = MESSAGING.outbox
        statement = select(outbox.c.type, outbox.c.detail).order_by(outbox.c.position)
        async with resources.engine.connect() as connection:
            rows = (await connection.execute(statement)).all()
        return [
            {"type": row.type, **orjson.loads(row.detail)["data"]}
            for row in rows
            if not types or row.type in types
        ]

    return read


@pytest.fixture
def list_book(client: httpx.AsyncClient) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Lists a book with so many copies, over the API."""

    async def put(copies: int, **changes: Any) -> dict[str, Any]:
        book = {
            "title": "Middlemarch",
            "authors": ["George Eliot"],
            "subjects": ["Provincial life"],
            "language": "en",
            "year": 1871,
            "price": {"amount_minor": 1250, "currency": "EUR"},
            "initial_stock": copies,
            **changes,
        }
        answer = await client.put(f"/books/{uuid.uuid4()}", json=book)
        assert answer.status_code == 201, answer.text
        document: dict[str, Any] = answer.json()
        return document

    return put


@pytest.fixture
def stock(client: httpx.AsyncClient) -> Callable[[], Awaitable[dict[str, int]]]:
    """The operators' balance sheet; each reading checks that it balances."""

    async def read() -> dict[str, int]:
        census: dict[str, int] = (await client.get("/ops/stock")).json()
        assert census.pop("unbalanced") == 0
        assert census["on_hand"] + census["reserved"] + census["sold"] == census["received"]
        return census

    return read

"""Rebuilds by a real worker on a real index, with a catalog that does as it is told."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from search_service.index import Book, BookChange, Change
from search_service.rebuild import Rebuilder, Rebuilds
from search_service.tantivy_index import TantivyIndex

LISTED, TOLD = (
    BookChange(Book(str(uuid.UUID(int=n)), title, ("Jane Austen",), (), "en", 999, "EUR"), 1)
    for n, title in enumerate(("Emma", "Persuasion"))
)


class Catalog:
    """A feed of one page; `broken` is raised in its place, once."""

    def __init__(self, broken: Exception | None = None) -> None:
        self.broken = broken

    async def pages(self) -> AsyncIterator[list[Change]]:
        broken, self.broken = self.broken, None
        if broken is not None:
            raise broken
        yield [LISTED, TOLD]


class Unreachable:
    """A DynamoDB that is not there for its first calls; `between` happens at each."""

    def __init__(self, dynamodb: Any, calls: int, between: Callable[[], Any]) -> None:
        self._dynamodb = dynamodb
        self._calls = calls
        self._between = between

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dynamodb, name)

    async def get_item(self, **given: Any) -> Any:
        if self._calls > 0:
            self._calls -= 1
            await self._between()
            raise EndpointConnectionError(endpoint_url="dynamodb")
        return await self._dynamodb.get_item(**given)


@pytest.fixture
async def table(aws: Any) -> str:
    name = f"test-{uuid.uuid4().hex}"
    await aws.dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[TantivyIndex]:
    index = TantivyIndex(tmp_path / "index")
    yield index
    await index.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search_service.rebuild.POLL_SECONDS", 0.02)
    monkeypatch.setattr("search_service.rebuild.LEASE_SECONDS", 0.5)


@asynccontextmanager
async def running(rebuilder: Rebuilder) -> AsyncIterator[None]:
    work = asyncio.create_task(rebuilder.run())
    try:
        yield
    finally:
        rebuilder.stop()
        await work


async def all_found(index: TantivyIndex) -> None:
    async with asyncio.timeout(20):
        while await index.count() < 2:
            await asyncio.sleep(0.02)


async def test_empty_index_is_filled_though_an_event_comes_while_dynamodb_is_down(
    aws: Any, table: str, index: TantivyIndex
) -> None:
    async def tell() -> None:
        await index.apply([TOLD])
        while not await index.count():
            await asyncio.sleep(0.02)

    dynamodb = Unreachable(aws.dynamodb, calls=1, between=tell)
    async with running(Rebuilder(index, Rebuilds(dynamodb, table=table), Catalog())):
        await all_found(index)


async def test_worker_survives_a_page_that_it_does_not_understand(
    aws: Any, table: str, index: TantivyIndex
) -> None:
    rebuilds = Rebuilds(aws.dynamodb, table=table)
    async with running(Rebuilder(index, rebuilds, Catalog(broken=KeyError("price")))):
        await all_found(index)

"""The search service as it is composed, on an embedded index, a real Valkey and a real DynamoDB.

Guarantee: each test has an index of its own and customers and books of its own.
"""

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, HttpUrl, SecretStr

from chassis import Parts
from chassis.web import build_app
from contracts.models.common import Author, Book, Money, Subject
from messaging import Envelope, Sender
from observability import Tracing
from search_service.app import SERVICE
from search_service.settings import SearchSettings


@dataclass
class Shop:
    """One process of the service, all roles in one, and a client of its API."""

    parts: Parts
    http: httpx.AsyncClient
    resources: Any
    handle: Callable[[Envelope], Any]

    async def tell(self, payload: BaseModel, *, message_id: str = "") -> bool:
        """Hand a message to the service's consumer; False if it was handled before."""
        sender = Sender("order" if type(payload).__name__.startswith("Order") else "catalog")
        envelope = sender.envelope(
            payload,
            cause=message_id or str(uuid.uuid4()),
            subject="subject",
            correlation_id=str(uuid.uuid4()),
        )
        return bool(await self.handle(envelope))

    async def get(self, path: str, **query: Any) -> Any:
        """The answer's document; the answer has to be 200."""
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def settings(servers: Any, aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    def create(**given: Any) -> SearchSettings:
        return SearchSettings(
            **{
                "aws_endpoint_url": aws.endpoint_url,
                "redis_url": SecretStr(servers.redis_url),
                "index_path": tmp_path / "index",
                "catalog_url": HttpUrl("http://127.0.0.1:1"),
                **given,
            }
        )

    return create


@pytest.fixture
async def shop(settings: Any) -> AsyncIterator[Shop]:
    async with SERVICE.open(settings(), Tracing(None)) as resources:
        parts = await SERVICE.compose(resources)
        app = build_app(SERVICE.title, resources, parts.routers(), check=parts.check)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://search") as http:
            yield Shop(parts, http, resources, parts.workers[0].handle)  # type: ignore[attr-defined]
        for close in parts.closers:
            await close()


def a_book(title: str = "Emma", **given: Any) -> Book:
    """A book as the catalog tells of it."""
    authors = given.pop("authors", ["Jane Austen"])
    subjects = given.pop("subjects", ["Novel"])
    return Book(
        **{
            "book_id": str(uuid.uuid4()),
            "title": title,
            "authors": [Author(name) for name in authors],
            "subjects": [Subject(name) for name in subjects],
            "language": "en",
            "year": 1815,
            "price": Money(amount_minor=1699, currency="EUR"),
            **given,
        }
    )


@pytest.fixture
def book() -> Callable[..., Book]:
    """`book("Emma", year=1815)`."""
    return a_book

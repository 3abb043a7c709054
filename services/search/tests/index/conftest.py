"""The indexes under test: the embedded one, and OpenSearch where `OPENSEARCH_URL` names one; and a
server that takes only requests of OpenSearch's recorded shapes.

Guarantee: each test has an index of its own, in a temporary folder or under a name of its own which
is removed with all that stands under it.
"""

import asyncio
import json
import os
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import jsonschema_rs
import pytest
from aiohttp import web

from search_service.index import Book, BookChange, SearchIndex
from search_service.opensearch_index import OpenSearchIndex
from search_service.tantivy_index import TantivyIndex

Value = TypeVar("Value")

OPENSEARCH_URL = os.environ.get("OPENSEARCH_URL")
KINDS = ["tantivy", *(["opensearch"] if OPENSEARCH_URL else [])]
# What the protocol promises; a loaded machine gets more before a test fails.
PATIENCE_SECONDS = 10.0


def make_book(title: str, *authors: str, **fields: Any) -> Book:
    """A book whose id follows from its title and authors."""
    written_by = authors or ("Anon",)
    return Book(
        **{
            "book_id": str(uuid.uuid5(uuid.NAMESPACE_OID, "\n".join((title, *written_by)))),
            "title": title,
            "authors": written_by,
            "subjects": (),
            "language": "en",
            "price_minor": 1250,
            "currency": "EUR",
            **fields,
        }
    )


async def poll(ask: Callable[[], Awaitable[Value]], holds: Callable[[Value], bool]) -> Value:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds(value := await ask()):
        assert time.monotonic() < deadline, f"still {value!r}"
        await asyncio.sleep(0.02)
    return value


@pytest.fixture
def book() -> Callable[..., Book]:
    """`book("Emma", "Jane Austen", year=1815)`."""
    return make_book


@pytest.fixture
def until() -> Callable[..., Awaitable[Any]]:
    """`await until(ask, holds)`: what `ask` answers once that `holds`."""
    return poll


@pytest.fixture(params=KINDS)
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SearchIndex]:
    async with AsyncExitStack() as stack:
        if request.param == "tantivy":
            embedded = TantivyIndex(tmp_path / "search")
            stack.push_async_callback(embedded.close)
            yield embedded
        else:
            assert OPENSEARCH_URL is not None
            served = OpenSearchIndex(OPENSEARCH_URL, name=f"test-{uuid.uuid4().hex}")
            stack.push_async_callback(served.close)
            stack.push_async_callback(served.remove_everything)
            yield served


@pytest.fixture
def fill(index: SearchIndex) -> Callable[..., Awaitable[None]]:
    """`await fill(book, ...)`: lists the books, and returns once they can be found."""

    async def put(*books: Book) -> None:
        await index.apply([BookChange(each, 1) for each in books])
        await poll(index.count, lambda count: count == len(books))

    return put


RECORDED = Path(__file__).parent.parent / "recorded"
DSL = json.loads((RECORDED / "query_dsl.json").read_text())["$defs"]


class Endpoint:
    """One recorded endpoint: what it takes, and what it answers if no test says otherwise."""

    def __init__(self, file: Path) -> None:
        shape = json.loads(file.read_text())
        self.name = file.stem
        self.method = shape["method"]
        self.answer = (shape["answer"]["status"], shape["answer"]["body"])
        self._path = re.compile(shape["path"])
        self._parameters = {name: re.compile(p) for name, p in shape["parameters"].items()}
        self._body = shape["body"] and jsonschema_rs.validator_for({**shape["body"], "$defs": DSL})

    def serves(self, method: str, path: str) -> bool:
        return method == self.method and self._path.search(path) is not None

    def faults(self, parameters: dict[str, str], body: Any) -> list[str]:
        faults = [
            f"parameter {name}={value}"
            for name, value in parameters.items()
            if name not in self._parameters or not self._parameters[name].search(value)
        ]
        if self._body is None:
            return faults + ([f"a body: {body}"] if body is not None else [])
        return faults + [
            f"{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in self._body.iter_errors(body)
        ]


ENDPOINTS = [Endpoint(file) for file in sorted(RECORDED.glob("*.json")) if file.stem != "query_dsl"]


@dataclass
class Recorder:
    """An HTTP server that takes requests of the recorded shapes only."""

    url: str = ""
    asked: list[tuple[str, str, Any]] = field(default_factory=list)  # Endpoint, path, body.
    faults: list[str] = field(default_factory=list)
    _scripted: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)

    def answer(self, endpoint: str, *answers: tuple[int, Any]) -> None:
        """The next answers of an endpoint, as status and body."""
        self._scripted.setdefault(endpoint, []).extend(answers)

    def faults_of(self, endpoint: str, body: Any) -> list[str]:
        """Why the endpoint would not take the body."""
        (found,) = [each for each in ENDPOINTS if each.name == endpoint]
        return found.faults({}, body)

    @staticmethod
    def bulk_answer(*statuses: int) -> dict[str, Any]:
        """What `_bulk` answers if its items end like this."""
        return _bulk_answer(*statuses)

    def bodies(self, endpoint: str) -> list[Any]:
        return [body for name, _, body in self.asked if name == endpoint]

    async def handle(self, request: web.Request) -> web.Response:
        found = [each for each in ENDPOINTS if each.serves(request.method, request.path)]
        if len(found) != 1:
            self.faults.append(f"{request.method} {request.path}: {len(found)} endpoints")
            return web.json_response({}, status=400)
        endpoint = found[0]
        body = _parsed(await request.text(), pairs=endpoint.name == "bulk")
        self.faults += [
            f"{endpoint.name}: {fault}" for fault in endpoint.faults(dict(request.query), body)
        ]
        self.asked.append((endpoint.name, request.path, body))
        scripted = self._scripted.get(endpoint.name)
        status, answer = scripted.pop(0) if scripted else endpoint.answer
        if endpoint.name == "bulk" and not scripted and status == 200 and answer["errors"] is False:
            answer = _bulk_answer(*([201] * len(body)))
        return web.json_response(answer, status=status)


def _parsed(text: str, *, pairs: bool) -> Any:
    if not text:
        return None
    if not pairs:
        return json.loads(text)
    assert text.endswith("\n")  # _bulk ignores a last line that does not end.
    lines = [json.loads(line) for line in text.splitlines()]
    return [list(pair) for pair in zip(lines[::2], lines[1::2], strict=True)]


def _bulk_answer(*statuses: int) -> dict[str, Any]:
    items = [
        {"update": {"_index": "i", "_id": "x", "status": status}}
        if status < 300
        else {"update": {"_id": "x", "status": status, "error": {"type": "e", "reason": "why"}}}
        for status in statuses
    ]
    return {"took": 1, "errors": any(status >= 300 for status in statuses), "items": items}


@pytest.fixture
async def server() -> AsyncIterator[Recorder]:
    """Each test fails if a request did not fit."""
    recorder = Recorder()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", recorder.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    recorder.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield recorder
    await runner.cleanup()
    assert recorder.faults == []

"""What the tests of the import share: a fake catalog, and files to import."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MAX_BATCH_BOOKS = 500


class FakeCatalog:
    """A catalog with the one endpoint that an import needs; set its attributes to misbehave.

    It tells books apart as the catalog does: by book_id, else ISBN, else title, authors and year.
    """

    def __init__(self) -> None:
        self.books: dict[str, dict[str, Any]] = {}
        self.requests = 0
        self.busy = 0
        self.most_busy = 0
        self.failures: list[int] = []  # Statuses of the next answers.
        self.rejected_title = ""
        self.poison_title = ""  # A batch that holds it is refused as a whole.
        self.asked = asyncio.Event()  # Set by the first request.
        self.hold: asyncio.Event | None = None
        self.url = ""

    async def put_books(self, request: Request) -> Response:
        self.requests += 1
        self.asked.set()
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            return await self._put_books((await request.json())["books"])
        finally:
            self.busy -= 1

    async def _put_books(self, books: list[dict[str, Any]]) -> Response:
        if self.hold is not None:
            await self.hold.wait()
        if self.failures:
            status = self.failures.pop(0)
            return JSONResponse({"detail": "try again"}, status, {"Retry-After": "0"})
        if not 1 <= len(books) <= MAX_BATCH_BOOKS:
            return JSONResponse({"detail": "too many books"}, 422)
        if any(book["title"] == self.poison_title for book in books):
            return JSONResponse({"detail": "indigestible"}, 422)
        results = [{"index": index, **self._put(book)} for index, book in enumerate(books)]
        return JSONResponse({"results": results})

    def _put(self, book: dict[str, Any]) -> dict[str, Any]:
        if book["title"] == self.rejected_title:
            return {"outcome": "rejected", "error": "not in this shop"}
        work = "/".join([book["title"], *book["authors"], str(book.get("year"))])
        book_id = book.get("book_id") or book.get("isbn") or work.casefold()
        before = self.books.get(book_id)
        self.books[book_id] = book
        outcome = "created" if before is None else "unchanged" if before == book else "updated"
        return {"book_id": book_id, "outcome": outcome}

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator["FakeCatalog"]:
        """Listen on a free port; `url` is its address."""
        app = Starlette(routes=[Route("/books/batch", self.put_books, methods=["POST"])])
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                yield self
            finally:
                server.should_exit = True
                await serving


@pytest.fixture
async def catalog() -> AsyncIterator[FakeCatalog]:
    async with FakeCatalog().serve() as fake:
        yield fake


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """`written("books.csv", content)` is a file with that content."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write

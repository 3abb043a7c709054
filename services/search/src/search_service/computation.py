"""Computes neighbours in a process of its own, which `python -m search_service.computation` is.

Guarantee: the event loop only passes bytes on; the process ends with the block that it serves, and
one whose reader has died ends when it has something to say.

Why no thread: it would share the interpreter's lock and give it up only every 5 ms (Python's switch
interval), so each step of a request would wait that long (median 5.4 ms, against 0.1 beside a
process). A process also gives all of its memory back.

Its input is one JSON array of events a line, its output the popularity, then one line a book.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import BinaryIO

import orjson

from search_service.also_bought import AlsoBought, Event, Neighbours, Popularity

# Customers wait for the other processes of the machine, for this one nobody does.
NICENESS = 10
ROWS_AT_ONCE = 200
# A line holds the popularity, or the neighbours of one book: some kilobytes.
MAX_LINE_BYTES = 1 << 20


class ComputationFailed(Exception):
    """The process ended before its work did; what it said about that is on standard error."""


class Computation:
    """Feed all events, ask for the popularity, then for the rows, in this order."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._input = process.stdin
        self._output = process.stdout

    async def feed(self, events: Sequence[Event]) -> None:
        """Hand events over; waits while the process is busy with earlier ones."""
        try:
            self._input.write(orjson.dumps(events) + b"\n")
            await self._input.drain()
        except ConnectionError as error:
            raise ComputationFailed("the process takes no more events") from error

    async def popularity(self) -> Popularity:
        """End the input and wait for the first line of the answer."""
        self._input.close()
        line = await self._output.readline()
        if not line:
            raise ComputationFailed(f"the process ended with {await self._process.wait()}")
        document = orjson.loads(line)
        books = [(book, weight) for book, weight in document["books"]]
        return Popularity(books, document["customers"], document["interactions"])

    async def rows(self) -> AsyncIterator[list[Neighbours]]:
        """All books with their neighbours, up to 200 at once."""
        rows: list[Neighbours] = []
        while line := await self._output.readline():
            book, neighbours = orjson.loads(line)
            rows.append(Neighbours(book, [(other, score) for other, score in neighbours]))
            if len(rows) == ROWS_AT_ONCE:
                yield rows
                rows = []
        if code := await self._process.wait():
            raise ComputationFailed(f"the process ended with {code}")
        if rows:
            yield rows


@asynccontextmanager
async def computation() -> AsyncIterator[Computation]:
    """A process that is gone when the block ends, however it ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "search_service.computation"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES,
    )
    try:
        yield Computation(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def compute(lines: BinaryIO) -> Iterator[bytes]:
    """What the process says to its input."""
    baskets = AlsoBought()
    for line in lines:
        for event in orjson.loads(line):
            baskets.add(event)
    yield orjson.dumps(baskets.popularity())
    for row in baskets.neighbours():
        yield orjson.dumps((row.book_id, row.books))


def main() -> None:
    os.nice(NICENESS)
    try:
        for line in compute(sys.stdin.buffer):
            sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(1)  # The reader has gone; flushing at a normal exit would only say so again.


if __name__ == "__main__":
    main()

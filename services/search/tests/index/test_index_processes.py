"""The embedded index among processes: a writer that is killed, readers that look on meanwhile."""

import asyncio
import json
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from messaging import is_outage
from search_service.errors import NoRebuildError, NotWrittenError, ReadOnlyError, SecondWriterError
from search_service.index import Book, BookChange, Query
from search_service.tantivy_index import TantivyIndex
from search_service.tantivy_reader import CHECK_SECONDS

MakeBook = Callable[..., Book]
Until = Callable[..., Awaitable[Any]]

# Applies books 0, 1, 2, ... in batches of three, each with its stock, and prints how many it has
# been answered for; rebuilds again and again meanwhile if it is told to.
WRITER = """
import asyncio, itertools, sys
from pathlib import Path
from search_service.index import Book, BookChange, StockChange
from search_service.tantivy_index import TantivyIndex

def changes(numbers):
    for n in numbers:
        book = Book(f"book-{n}", f"Volume {n}", ("Anon",), (), "en", n, "EUR")
        yield from (BookChange(book, 1), StockChange(book.book_id, n, 1))

async def rebuild(index):
    while True:
        await index.begin_rebuild()
        done = await index.count()
        await index.apply_to_rebuild(list(changes(range(done))))
        await index.finish_rebuild()
        print("rebuilt", flush=True)

async def main(folder, rebuilding):
    index = TantivyIndex(Path(folder))
    # Books of which apply has not returned may be there as well: go on behind them.
    first = await index.count()
    task = asyncio.create_task(rebuild(index)) if rebuilding else None
    for start in itertools.count(first, 3):
        await index.apply(list(changes(range(start, start + 3))))
        print(start + 3, flush=True)
        assert task is None or not task.done() or task.result()

asyncio.run(main(sys.argv[1], sys.argv[2] == "rebuilding"))
"""
READER = """
import asyncio, sys
from pathlib import Path
from search_service.index import Query
from search_service.tantivy_index import TantivyIndex

async def main(folder):
    index = TantivyIndex(Path(folder), read_only=True)
    last = 0
    while True:
        found = await index.search(Query("volume", limit=3))
        count = await index.count()
        assert count >= last, (count, last)
        assert len(found.hits) == min(3, found.total), found
        if count != last:
            print(count, flush=True)
        last = count
        await asyncio.sleep(0.01)

asyncio.run(main(sys.argv[1]))
"""


class Process:
    """A Python process whose output is read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, script: str, *arguments: str) -> "Process":
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                script,
                *arguments,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        )

    async def line(self) -> str:
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode().strip()
        if not line:
            assert self._process.stderr is not None
            raise AssertionError((await self._process.stderr.read()).decode())
        return line

    async def kill(self) -> list[str]:
        """End it at once; answers the whole lines that nobody has read yet."""
        if self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGKILL)
        output, _ = await self._process.communicate()
        return output.decode().splitlines()


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Awaitable[Process]]]:
    async with AsyncExitStack() as stack:

        async def started(script: str, *arguments: str) -> Process:
            process = await Process.start(script, *arguments)
            stack.push_async_callback(process.kill)
            return process

        yield started


@pytest.mark.parametrize("kind", ["applying", "rebuilding"])
async def test_all_that_apply_returned_for_is_there_after_kill_9(
    start: Callable[..., Awaitable[Process]], tmp_path: Path, kind: str
) -> None:
    acknowledged = 0
    for lives in (1, 5, 12, 2):
        writer = await start(WRITER, str(tmp_path), kind)
        lines = [await writer.line() for _ in range(lives)]
        lines += await writer.kill()
        acknowledged = max([acknowledged, *(int(line) for line in lines if line.isdigit())])
        index = TantivyIndex(tmp_path)
        try:
            # The batch in whose middle it was killed is there as a whole or not at all.
            assert await index.count() in (acknowledged, acknowledged + 3)
            ids = [f"book-{n}" for n in range(acknowledged)]
            hits = await index.books(ids)
            assert [hits[each].available for each in ids] == list(range(acknowledged))
            generations = [entry.name for entry in tmp_path.iterdir() if entry.is_dir()]
            assert generations == [(tmp_path / "current").read_text()]
        finally:
            await index.close()


async def test_reader_in_another_process_follows_commits_and_rebuilds_without_fail(
    start: Callable[..., Awaitable[Process]], tmp_path: Path
) -> None:
    reader = await start(READER, str(tmp_path))
    writer = await start(WRITER, str(tmp_path), "rebuilding")
    while await writer.line() != "rebuilt":
        pass
    rebuilt = 1
    while rebuilt < 4:
        rebuilt += await writer.line() == "rebuilt"
    seen = int(await reader.line())
    for _ in range(3):
        now = int(await reader.line())
        assert now > seen
        seen = now


async def test_reader_without_an_index_answers_nothing_until_there_is_one(
    tmp_path: Path, book: MakeBook, until: Until
) -> None:
    folder = tmp_path / "not" / "there"
    reader = TantivyIndex(folder, read_only=True)
    assert (await reader.search(Query("emma"))).total == await reader.count() == 0
    assert await reader.complete("emma", 5) == await reader.similar("x", 5) == []
    assert await reader.books(["x"]) == {}
    writer = TantivyIndex(folder)
    await writer.apply([BookChange(book("Emma"), 1)])
    await until(reader.count, lambda count: count == 1)
    await writer.close()
    assert await reader.count() == 1
    await reader.close()


async def test_reader_goes_on_with_what_it_had_while_the_pointer_names_what_is_gone(
    tmp_path: Path, book: MakeBook, until: Until
) -> None:
    writer = TantivyIndex(tmp_path)
    await writer.apply([BookChange(book("Emma"), 1)])
    reader = TantivyIndex(tmp_path, read_only=True)
    assert await reader.count() == 1
    pointer = tmp_path / "current"
    generation = pointer.read_text()
    pointer.write_text(f"{generation}9")
    fresh = TantivyIndex(tmp_path, read_only=True)
    assert await fresh.count() == 0
    await writer.apply([BookChange(book("Nana"), 1)])
    deadline = time.monotonic() + 3 * CHECK_SECONDS
    while time.monotonic() < deadline:
        assert await reader.count() == 1
    pointer.write_text(generation)
    await until(reader.count, lambda count: count == 2)
    await until(fresh.count, lambda count: count == 2)
    for index in (writer, reader, fresh):
        await index.close()


async def test_second_writer_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    first = TantivyIndex(tmp_path)
    with pytest.raises(SecondWriterError, match=r"stop it first, or open .* read_only=True"):
        TantivyIndex(tmp_path)
    await first.close()
    second = TantivyIndex(tmp_path)
    await second.close()


async def test_reader_refuses_to_write(tmp_path: Path, book: MakeBook) -> None:
    reader = TantivyIndex(tmp_path, read_only=True)
    with pytest.raises(ReadOnlyError):
        await reader.apply([BookChange(book("Emma"), 1)])
    with pytest.raises(ReadOnlyError):
        await reader.begin_rebuild()


async def test_rebuild_that_was_not_begun_is_not_finished(tmp_path: Path) -> None:
    index = TantivyIndex(tmp_path)
    with pytest.raises(NoRebuildError):
        await index.finish_rebuild()
    with pytest.raises(NoRebuildError):
        await index.apply_to_rebuild([])
    await index.close()


async def test_failed_batch_leaves_nothing_behind_and_the_next_one_works(
    tmp_path: Path, book: MakeBook
) -> None:
    index = TantivyIndex(tmp_path)
    await index.apply([BookChange(book("Emma"), 1)])
    good, bad = book("Nana"), replace(book("No text"), title="No \ud800 text")
    with pytest.raises(TypeError):
        await index.apply([BookChange(good, 1), BookChange(bad, 1)])
    assert await index.count() == 1
    await index.apply([BookChange(book("Ulysses"), 1)])
    assert await index.count() == 2
    await index.apply([BookChange(good, 1)])
    assert await index.count() == 3
    await index.close()


async def test_disk_that_takes_no_more_is_an_outage_and_passes(
    tmp_path: Path, book: MakeBook, until: Until
) -> None:
    index = TantivyIndex(tmp_path / "index")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
    try:
        with pytest.raises(NotWrittenError) as told:
            await index.apply([BookChange(book("Emma"), 1)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert is_outage(told.value)  # And so no innocent event becomes a dead letter.
    await index.apply([BookChange(book("Persuasion"), 1)])
    await until(index.count, lambda count: count == 1)
    await index.close()


async def test_changes_of_many_callers_share_commits_and_a_bad_one_fails_alone(
    tmp_path: Path, book: MakeBook
) -> None:
    index = TantivyIndex(tmp_path)
    books = [book(f"Volume {n}") for n in range(300)]
    bad = replace(books[150], title="No \ud800 text")
    outcomes = await asyncio.gather(
        *(
            index.apply([BookChange(bad if each.book_id == bad.book_id else each, 1)])
            for each in books
        ),
        return_exceptions=True,
    )
    assert [n for n, outcome in enumerate(outcomes) if outcome is not None] == [150]
    assert await index.count() == 299
    before = _opstamp(tmp_path)
    await asyncio.gather(*(index.apply([BookChange(each, 2)]) for each in books))
    # Tantivy counts each deletion, each addition and each commit.
    assert _opstamp(tmp_path) - before - 2 * 300 < 10
    await index.close()


async def test_changes_whose_caller_gives_up_are_written_all_the_same(
    tmp_path: Path, book: MakeBook
) -> None:
    index = TantivyIndex(tmp_path)
    applying = [
        asyncio.create_task(index.apply([BookChange(book(f"Volume {n}"), 1)])) for n in range(9)
    ]
    await asyncio.sleep(0)
    for task in applying:
        task.cancel()
    await index.close()
    reader = TantivyIndex(tmp_path, read_only=True)
    assert await reader.count() == 9


def _opstamp(folder: Path) -> int:
    generation = folder / (folder / "current").read_text()
    opstamp: int = json.loads((generation / "meta.json").read_text())["opstamp"]
    return opstamp


async def test_rebuild_in_which_a_batch_failed_cannot_be_finished(
    tmp_path: Path, book: MakeBook
) -> None:
    index = TantivyIndex(tmp_path)
    await index.apply([BookChange(book("Emma"), 1)])
    await index.begin_rebuild()
    with pytest.raises(TypeError):
        await index.apply_to_rebuild(
            [BookChange(replace(book("No text"), title="No \ud800 text"), 1)]
        )
    with pytest.raises(NoRebuildError):
        await index.finish_rebuild()
    assert await index.count() == 1
    await index.close()


async def test_event_loop_goes_on_while_a_batch_is_applied(tmp_path: Path, book: MakeBook) -> None:
    index = TantivyIndex(tmp_path)
    applying = asyncio.create_task(
        index.apply([BookChange(book(f"Volume {n}"), 1) for n in range(500)])
    )
    turns = 0
    while not applying.done():
        await asyncio.sleep(0)
        turns += 1
    await applying
    assert turns > 100
    await index.close()

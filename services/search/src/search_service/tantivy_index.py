"""The search index in this process's memory and files: Tantivy, without a server.

Guarantee: one process writes and any number read, without a lock between them; what `apply` has
returned for is on disk; a rebuild replaces the index in one step, and a crash at any point leaves
either the old or the new one.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from search_service.documents import Record
from search_service.errors import NoRebuildError, OtherLayoutError, ReadOnlyError
from search_service.folders import LAYOUT, Folders, WriterLock
from search_service.group_commit import GroupCommit
from search_service.index import Change, Found, Hit, Query
from search_service.tantivy_completion import complete
from search_service.tantivy_queries import by_ids, filtered, listed, similar_query
from search_service.tantivy_reader import Reader, Snapshot
from search_service.tantivy_search import NOTHING, best, count, read, search
from search_service.tantivy_writer import GenerationWriter

Answer = TypeVar("Answer")


class TantivyIndex:
    """A `SearchIndex` in a folder. Opening it as a writer takes as long as reading all ids does.

    Raises SecondWriterError if another process writes there, OtherLayoutError if another release
    did.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self._reader = Reader(folder)
        self._folders = Folders(folder)
        self._writing = threading.Lock()
        self._writer: GenerationWriter | None = None
        self._building: tuple[str, GenerationWriter] | None = None
        self._lock: WriterLock | None = None
        # In one thread at a time: callers that wait for each other must not fill the pool of
        # threads, from which searches are served, too.
        self._changes = GroupCommit(lambda changes: asyncio.to_thread(self._apply, changes))
        if not read_only:
            self._lock = WriterLock(folder)
            try:
                self._writer = self._open()
            except BaseException:
                self._lock.release()
                raise

    async def apply(self, changes: Sequence[Change]) -> None:
        """Take changes in; those of several calls at once share a commit."""
        await self._changes.apply(changes)

    async def search(self, query: Query) -> Found:
        """See SearchIndex."""
        return await self._read(lambda snapshot: search(snapshot, query), NOTHING)

    async def complete(self, prefix: str, limit: int) -> list[str]:
        """See SearchIndex."""
        return await self._read(lambda snapshot: complete(snapshot, prefix, limit), [])

    async def similar(self, book_id: str, limit: int) -> list[Hit]:
        """See SearchIndex."""
        return await self._read(lambda snapshot: _similar(snapshot, book_id, limit), [])

    async def books(self, book_ids: Sequence[str]) -> dict[str, Hit]:
        """See SearchIndex."""
        return await self._read(lambda snapshot: _books(snapshot, book_ids), {})

    async def count(self) -> int:
        """See SearchIndex."""
        return await self._read(lambda snapshot: count(snapshot.searcher, listed()), 0)

    async def begin_rebuild(self) -> None:
        """See SearchIndex."""
        await asyncio.to_thread(self._begin_rebuild)

    async def apply_to_rebuild(self, changes: Sequence[Change]) -> None:
        """Raises NoRebuildError without a rebuild under way."""
        await asyncio.to_thread(self._apply_to_rebuild, changes)

    async def finish_rebuild(self) -> None:
        """Raises NoRebuildError without a rebuild under way."""
        await asyncio.to_thread(self._finish_rebuild)

    async def close(self) -> None:
        """Let go of the files; a rebuild under way is thrown away."""
        await self._changes.finish()
        await asyncio.to_thread(self._close)

    async def _read(self, ask: Callable[[Snapshot], Answer], empty: Answer) -> Answer:
        # In a thread, since Tantivy lets others run while it searches.
        def answer() -> Answer:
            snapshot = self._reader.snapshot()
            return empty if snapshot is None else ask(snapshot)

        return await asyncio.to_thread(answer)

    def _open(self) -> GenerationWriter:
        """The current generation, or a first one; leftovers of rebuilds go."""
        current = self._folders.current()
        if current is None:
            self._folders.remove_others()
            current = self._folders.new()
            writer = GenerationWriter(self._folders.path(current))
            self._folders.switch_to(current)
            return writer
        if not current.startswith(f"{LAYOUT}-"):
            raise OtherLayoutError(
                f"the search index in {self._folders.root} is of another release ({current}, not "
                f"{LAYOUT}): remove the folder and fill the index anew from the catalog"
            )
        self._folders.remove_others(current)
        return GenerationWriter(self._folders.path(current))

    def _apply(self, changes: Sequence[Change]) -> None:
        with self._writing:
            writer = self._writable()
            if self._building is not None:
                self._change_building(changes)
            writer.apply(changes)
            self._reader.expire()

    def _begin_rebuild(self) -> None:
        with self._writing:
            self._writable()
            self._drop_building()
            name = self._folders.new()
            self._building = (name, GenerationWriter(self._folders.path(name)))

    def _apply_to_rebuild(self, changes: Sequence[Change]) -> None:
        with self._writing:
            self._writable()
            self._change_building(changes)

    def _finish_rebuild(self) -> None:
        with self._writing:
            old = self._writable()
            name, fresh = self._current_building()
            fresh.finish()
            self._folders.switch_to(name)
            self._writer, self._building = fresh, None
            old.close()
            self._reader.expire()
            self._folders.remove_others(name)

    def _close(self) -> None:
        with self._writing:
            self._drop_building()
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            if self._lock is not None:
                self._lock.release()
            self._reader.close()

    def _change_building(self, changes: Sequence[Change]) -> None:
        try:
            self._current_building()[1].apply(changes, commit=False)
        except NoRebuildError:
            raise
        except BaseException:
            # What waited for a commit is lost with it: an incomplete index must never be finished.
            self._drop_building()
            raise

    def _current_building(self) -> tuple[str, GenerationWriter]:
        if self._building is None:
            raise NoRebuildError("no rebuild is under way, or it failed: call begin_rebuild first")
        return self._building

    def _drop_building(self) -> None:
        if self._building is not None:
            name, writer = self._building
            self._building = None
            writer.close()
            self._folders.remove(name)

    def _writable(self) -> GenerationWriter:
        if self._writer is None:
            raise ReadOnlyError("the search index is open for reading only, or closed")
        return self._writer


def _similar(snapshot: Snapshot, book_id: str, limit: int) -> list[Hit]:
    record = _records(snapshot, [book_id]).get(book_id)
    if record is None or record.book is None:
        return []
    query = similar_query(record, snapshot.vocabulary, count(snapshot.searcher, listed()))
    if query is None:
        return []
    return [
        read(snapshot.searcher, address).hit(score)
        for score, address in best(snapshot.searcher, filtered(query, [listed()]), limit)
    ]


def _books(snapshot: Snapshot, book_ids: Sequence[str]) -> dict[str, Hit]:
    records = _records(snapshot, book_ids)
    return {book_id: record.hit() for book_id, record in records.items() if record.book}


def _records(snapshot: Snapshot, book_ids: Sequence[str]) -> dict[str, Record]:
    if not book_ids:
        return {}
    hits = snapshot.searcher.search(by_ids(book_ids), limit=len(book_ids), count=False).hits
    records = (read(snapshot.searcher, address) for _, address in hits)
    return {record.book_id: record for record in records}

"""The writing side of one generation of the embedded index.

Guarantee: what `apply` has returned for is on disk; a failed `apply` leaves nothing behind, neither
on disk nor in memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tantivy import Index, Query, Searcher

from search_service.documents import Record, book_id_of, newest
from search_service.errors import NotWrittenError
from search_service.index import Change
from search_service.tantivy_schema import schema, to_document

# Tantivy asks for at least 15 MB a thread. One thread gives one segment a commit, which is less to
# merge later, and one thread is enough for 10,000 books a second.
_HEAP_BYTES = 15_000_000
# A rebuild is committed as a whole at its end; until then this many records wait in memory.
_RECORDS_UNCOMMITTED = 5_000

Versions = tuple[int, int]  # of the book, of its stock


class GenerationWriter:
    """Not safe for threads: its user lets in one at a time."""

    def __init__(self, path: Path) -> None:
        self._index = Index(schema(), path=str(path))
        self._index.config_reader("manual")
        self._writer = self._index.writer(_HEAP_BYTES, 1)
        self._uncommitted: dict[str, Record] = {}
        self._versions = _read_versions(self._searcher())

    def apply(self, changes: Sequence[Change], *, commit: bool = True) -> None:
        """Take in what is newer than what is there; without `commit` it may wait."""
        newer = [
            change
            for (book_id, is_book), change in newest(changes).items()
            if change.version > self._versions.get(book_id, (-1, -1))[0 if is_book else 1]
        ]
        try:
            records = self._records({book_id_of(change) for change in newer})
            for change in newer:
                book_id = book_id_of(change)
                records[book_id] = records.get(book_id, Record(book_id)).after(change)
            for book_id, record in records.items():
                document = to_document(record)
                with _failures_told():
                    # By text: deleting by a number deletes nothing, and says nothing.
                    self._writer.delete_documents_by_term("id", book_id)
                    self._writer.add_document(document)
            self._uncommitted |= records
            if self._uncommitted and (commit or len(self._uncommitted) >= _RECORDS_UNCOMMITTED):
                self._commit()
        except BaseException:
            self._writer.rollback()
            self._uncommitted.clear()
            self._versions = _read_versions(self._searcher())
            raise
        for book_id, record in records.items():
            self._versions[book_id] = (record.version, record.stock_version)

    def finish(self) -> None:
        """Commit what waits."""
        self._commit()

    def close(self) -> None:
        """End Tantivy's threads; what was not committed is gone."""
        self._writer.rollback()
        self._writer.wait_merging_threads()

    def _commit(self) -> None:
        with _failures_told():
            self._writer.commit()
        self._uncommitted.clear()

    def _records(self, book_ids: set[str]) -> dict[str, Record]:
        """What is stored of these books."""
        found = {
            book_id: self._uncommitted[book_id]
            for book_id in book_ids
            if book_id in self._uncommitted
        }
        stored = [each for each in book_ids if each not in found and each in self._versions]
        if stored:
            searcher = self._searcher()
            query = Query.term_set_query(schema(), "id", stored)
            for _, address in searcher.search(query, limit=len(stored), count=False).hits:
                document = searcher.doc(address).get_first("record")
                record = Record.from_json(bytes(document))  # type: ignore[arg-type]
                found[record.book_id] = record
        return found

    def _searcher(self) -> Searcher:
        self._index.reload()
        return self._index.searcher()


@contextmanager
def _failures_told() -> Iterator[None]:
    """Tantivy says ValueError of a disk that is full, as of all that fails."""
    try:
        yield
    except ValueError as error:
        raise NotWrittenError(f"the search index cannot be written: {error}") from None


def _read_versions(searcher: Searcher) -> dict[str, Versions]:
    """The versions of all that is stored, so that no change needs a query to be compared."""
    versions: dict[str, Versions] = {}
    if not searcher.num_docs:
        return versions
    hits = searcher.search(Query.all_query(), limit=searcher.num_docs, count=False).hits
    for _, address in hits:
        document = searcher.doc(address).get_first("record")
        record = Record.from_json(bytes(document))  # type: ignore[arg-type]
        versions[record.book_id] = (record.version, record.stock_version)
    return versions

"""The books' titles, for mails that say what was ordered.

Guarantee: an older title never replaces a newer one. A title that is not known yet is no error:
the mail then names the book by its id.
"""

from collections.abc import Collection, Sequence

from batching import Batcher
from idempotency.records import MAX_BATCH_ITEMS, insert_all
from notification_service.table import ConditionFailed, Table, stored

_SORT_KEY = "title"
# A catalogue is listed thousands of books at a time, and each call takes many.
LINGER_SECONDS = 0.05


class Titles:
    """The books' part of the table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._first: Batcher[tuple[str, str], None] = Batcher(
            self._insert_all, max_items=MAX_BATCH_ITEMS, linger_seconds=LINGER_SECONDS
        )

    async def keep(self, book_id: str, title: str, version: int) -> None:
        """Know the title that the book has since this version."""
        if version == 1:  # Whatever is known is newer, or the same.
            await self._first((book_id, title))
            return
        try:
            await self._table.transact(
                self._table.update(
                    _key(book_id),
                    "SET title = :title, version = :version",
                    {":title": title, ":version": version},
                    condition="attribute_not_exists(version) OR version < :version",
                )
            )
        except ConditionFailed:
            return  # A newer one is known.

    async def of(self, book_ids: Collection[str]) -> dict[str, str]:
        """The known ones of these books' titles, by id; at most 100 books (an order has 50)."""
        ids = sorted(set(book_ids))
        items = await self._table.get([_key(book_id) for book_id in ids])
        return {
            book_id: str(item["title"]) for book_id, item in zip(ids, items, strict=True) if item
        }

    async def _insert_all(self, books: list[tuple[str, str]]) -> Sequence[None]:
        items = []
        for book_id, title in books:
            pk, sk = _key(book_id)
            items.append(stored({"pk": pk, "sk": sk, "title": title, "version": 1}))
        await insert_all(self._table.dynamodb, self._table.name, items)
        return [None] * len(books)


def _key(book_id: str) -> tuple[str, str]:
    return f"book#{book_id}", _SORT_KEY

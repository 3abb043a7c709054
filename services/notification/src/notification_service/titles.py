"""The books' titles, for mails that say what was ordered.

Guarantee: an older title never replaces a newer one. A title that is not known yet is no error:
the mail then names the book by its id.
"""

from collections.abc import Collection

from notification_service.table import ConditionFailed, Table

_SORT_KEY = "title"


class Titles:
    """The books' part of the table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def keep(self, book_id: str, title: str, version: int) -> None:
        """Know the title that the book has since this version."""
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


def _key(book_id: str) -> tuple[str, str]:
    return f"book#{book_id}", _SORT_KEY

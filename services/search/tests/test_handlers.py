"""What one message's failure means for those that are handled with it."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

from contracts.models.catalog import StockLevelChanged
from search_service.handlers import Handlers
from search_service.index import Change, StockChange
from search_service.opensearch_index import ChangeRefusedError, SearchUnavailableError

BOOKS = [str(uuid.UUID(int=number)) for number in range(20)]


class Strict:
    """An index that refuses one book, and everything while it is `down`."""

    def __init__(self) -> None:
        self.applied: list[str] = []
        self.calls = 0
        self.down = False

    async def apply(self, changes: Sequence[Change]) -> None:
        self.calls += 1
        if self.down:
            raise SearchUnavailableError("nobody there")
        told = [each.book_id for each in changes if isinstance(each, StockChange)]
        if BOOKS[7] in told:
            raise ChangeRefusedError("never")
        self.applied += told


async def tell_all(index: Any) -> list[Any]:
    handlers = Handlers(index, interactions=None, trending=None)  # type: ignore[arg-type]
    told = (StockLevelChanged(book_id=each, available=1, version=1) for each in BOOKS)
    telling = (handlers.index_stock(event, None) for event in told)  # type: ignore[arg-type]
    return await asyncio.gather(*telling, return_exceptions=True)


async def test_change_that_is_refused_fails_alone() -> None:
    index = Strict()
    outcomes = await tell_all(index)
    assert [n for n, outcome in enumerate(outcomes) if outcome is not None] == [7]
    assert sorted(index.applied) == sorted({*BOOKS} - {BOOKS[7]})


async def test_index_that_is_down_is_not_asked_again_for_each_change() -> None:
    index = Strict()
    index.down = True
    outcomes = await tell_all(index)
    assert all(isinstance(outcome, SearchUnavailableError) for outcome in outcomes)
    assert index.calls <= 2

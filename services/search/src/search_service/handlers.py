"""The search service's messages.

Guarantee: a message that was handled is in the index or among the interactions for good; handling
it again, or after a later one, changes nothing.
"""

from collections.abc import Sequence

from batching import Batcher
from contracts import or_none
from contracts.models.catalog import BookListed, BookRevised, StockLevelChanged
from contracts.models.common import Book as ContractBook
from contracts.models.order import OrderConfirmed
from messaging import Envelope, Reaction, is_outage
from search_service.index import Book, BookChange, Change, SearchIndex, StockChange
from search_service.interactions import Interactions, ordered
from search_service.trending import Trending

# An embedded index commits in tens of milliseconds, be it one change or a thousand. So where they
# come in numbers, a commit waits for more; readers see it within half a second.
MAX_CHANGES = 1000
BUSY_CHANGES = 4
BUSY_LINGER_SECONDS = 0.3
# The catalog only says when a book becomes scarce. Until then it is there in plenty, which this
# number of copies stands for; any stock that was really told is newer.
PLENTY_COPIES, PLENTY_VERSION = 6, 0


class Handlers:
    """What is done about each message; use `reactions`."""

    def __init__(self, index: SearchIndex, interactions: Interactions, trending: Trending) -> None:
        self._index = index
        self._interactions = interactions
        self._trending = trending
        self._changes: Batcher[Sequence[Change], None] = Batcher(
            self._apply,
            max_items=MAX_CHANGES,
            linger_seconds=BUSY_LINGER_SECONDS,
            linger_after=BUSY_CHANGES,
        )

    @property
    def reactions(self) -> Sequence[Reaction]:
        """Which message leads to what."""
        return [
            Reaction(BookListed, self.index_book),
            Reaction(BookRevised, self.index_book),
            Reaction(StockLevelChanged, self.index_stock),
            Reaction(OrderConfirmed, self.learn_from_order),
        ]

    async def index_book(self, event: BookListed | BookRevised, _: Envelope) -> None:
        """Make the book findable as it is now."""
        change = BookChange(book_of(event.book), event.version)
        await self._changes([change, plenty_of(event.book.book_id)])

    async def index_stock(self, event: StockLevelChanged, _: Envelope) -> None:
        """Say whether the book can be ordered."""
        await self._changes([StockChange(event.book_id, event.available, event.version)])

    async def learn_from_order(self, event: OrderConfirmed, message: Envelope) -> None:
        """Remember who bought what."""
        bought = ordered(event, message.time)
        await self._interactions.append(bought)
        copies = {each.book_id: each.copies for each in bought}
        await self._trending.add_order(message.id, copies, message.time)

    async def _apply(self, lots: list[Sequence[Change]]) -> Sequence[Exception | None]:
        """Together; if that is refused, in halves, which finds the one to blame in a few steps."""
        try:
            await self._index.apply([change for lot in lots for change in lot])
        except Exception as error:
            if len(lots) == 1 or is_outage(error):
                return [error] * len(lots)
            half = len(lots) // 2
            return [*await self._apply(lots[:half]), *await self._apply(lots[half:])]
        return [None] * len(lots)


def plenty_of(book_id: str) -> StockChange:
    """The stock of a book of which none was told."""
    return StockChange(book_id, PLENTY_COPIES, PLENTY_VERSION)


def book_of(book: ContractBook) -> Book:
    """A book of the contracts as the index takes it."""
    return Book(
        book_id=book.book_id,
        title=book.title,
        authors=tuple(each.root for each in book.authors),
        subjects=tuple(each.root for each in book.subjects),
        language=book.language,
        price_minor=book.price.amount_minor,
        currency=book.price.currency,
        year=or_none(book.year),
        isbn=or_none(book.isbn),
    )

"""What catalog asks of the commands about copies, and of the news that an order is paid.

Guarantee: each example moves copies of a real book on the shelf.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from catalog_service.app import SERVICE
from catalog_service.listing import Book, Listing
from catalog_service.tables import RESERVATIONS
from faults.stage import Process

from .asks import (
    BATCH_ID,
    BOOK_ID,
    ORDER_ID,
    PRICE_MINOR,
    Ask,
    an_id,
    customer,
    money,
    one_of,
    order_lines,
    some_of,
)
from .scene import Detail, MemoryScene, play_in_memory, says

T = TypeVar("T")

_PROCESSES = (Process(SERVICE, settings={"expiry_sweep_seconds": 600}),)
_ORDER = {"order_id": an_id(ORDER_ID)}
_SHELF = "the book is on the shelf"
_EXPECTATION = {**_ORDER, "expected": one_of("sold", "released", "restocked")}


class CatalogScene(MemoryScene):
    """A shelf with the one book of the examples."""

    async def the_book_is_on_the_shelf(self) -> None:
        """List it, at the price that the examples say."""
        book = Book(BOOK_ID, None, "Emma", ["Jane Austen"], [], "en", 1815, PRICE_MINOR, "EUR")
        listing = Listing(book, initial_stock=9)
        await self.stage.ask("catalog-worker", lambda books: books.put([listing]))

    def is_sold(self) -> bool:
        """Whether the order's copies are."""
        rows = self.stage.databases["catalog"].rows(RESERVATIONS)
        return [row["status"] for row in rows] == ["sold"]


ASKS = (
    Ask(
        "ReserveStock",
        {**_ORDER, "lines": order_lines()},
        given=(_SHELF,),
        shows=says("StockReserved"),
    ),
    Ask("ReleaseStock", _ORDER, given=(_SHELF, "ReserveStock"), shows=says("StockReleased")),
    Ask(
        "OrderConfirmed",
        {**_ORDER, "customer_id": customer(), "lines": order_lines(), "total": money()},
        given=(_SHELF, "ReserveStock"),
        shows=CatalogScene.is_sold,
    ),
    Ask(
        "RestockItems",
        _ORDER,
        given=(_SHELF, "ReserveStock", "OrderConfirmed"),
        shows=says("ItemsRestocked"),
    ),
    Ask(
        "ReconcileStock",
        {"batch_id": an_id(BATCH_ID), "expectations": some_of(_EXPECTATION)},
        given=(_SHELF, "ReserveStock"),
        shows=says("StockReconciled"),
    ),
)


async def play(script: Callable[[CatalogScene], Awaitable[T]], examples: Mapping[str, Detail]) -> T:
    """Run a script on a scene of its own."""
    return play_in_memory(lambda loop: CatalogScene(loop, "catalog", _PROCESSES, examples), script)

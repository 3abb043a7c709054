"""What the services that only listen make of the demo: a search, recommendations, mails.

Guarantee: they are asked as customers ask them, and waited for no longer than a moment; whether
they missed anything is the balance sheet's to say.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from bookstore.demo.report import plain_table
from bookstore.demo.shop import Shop

# A letter is missing.
MISTYPED = "shakespere"
READER = {"email": "ada.lovelace@example.com", "name": "Ada Lovelace", "locale": "en-GB"}
# Neighbours are computed every few seconds; without them, books of like content are shown.
PATIENCE_SECONDS = 8.0
POLL_SECONDS = 0.25
_BECAUSE = {
    "bought": "bought by who bought",
    "viewed": "bought together with",
    "similar": "similar to",
    "trending": "in demand now",
    "popular": "in demand for long",
    "any": "in the catalogue",
}


async def searched(shop: Shop) -> Mapping[str, Any]:
    """The answer to a mistyped search, once the books are in the index."""
    found: Mapping[str, Any] = await _patiently(
        lambda: shop.search(MISTYPED), lambda found: bool(found["total"])
    )
    return found


async def recommended(
    shop: Shop, reader: str, orders: Sequence[Mapping[str, Any]]
) -> tuple[str, Mapping[str, Any]]:
    """What is recommended to somebody who looked at a book of one of the orders; and that book."""
    book_id: str = next(
        (order["lines"][0]["book_id"] for order in orders if order["status"] == "confirmed"), ""
    )
    if book_id:
        await shop.view(reader, book_id)
    found = await _patiently(
        lambda: shop.recommendations(reader),
        lambda found: any(book["because"] == "viewed" for book in found["books"]),
    )
    return book_id, found


async def _patiently(ask: Callable[[], Any], is_enough: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = await ask()
        if is_enough(found) or time.monotonic() >= deadline:
            return found
        await asyncio.sleep(POLL_SECONDS)


def search_table(found: Mapping[str, Any]) -> RenderableType:
    """The books that were found, and what all of them are."""
    table = plain_table(f"Search for '{MISTYPED}': {found['total']} found")
    table.add_column("title", ratio=1, no_wrap=True)
    table.add_column("authors", width=26, no_wrap=True)
    table.add_column("year", justify="right", width=6)
    table.add_column("", width=12)
    for hit in found["hits"]:
        marked = Text.from_markup(
            hit["highlights"]
            .get("title", hit["title"])
            .replace("[", "\\[")
            .replace("<mark>", "[bold yellow]")
            .replace("</mark>", "[/]")
        )
        table.add_row(
            marked, ", ".join(hit["authors"]), str(hit.get("year", "")), _words(hit["availability"])
        )
    facets = found["facets"]
    shown = "   ".join(
        f"{name}: " + ", ".join(f"{each['value']} {each['count']}" for each in facets[name][:4])
        for name in ("subject", "language", "decade")
        if facets[name]
    )
    table.caption = Text(shown, "dim")
    table.caption_justify = "left"
    return table


def recommendations_table(
    book_id: str, found: Mapping[str, Any], titles: Mapping[str, str]
) -> RenderableType:
    """What is recommended, and why."""
    looked_at = titles.get(book_id, "nothing")
    table = plain_table(f"Recommended to somebody who looked at '{looked_at}'")
    table.add_column("title", ratio=1, no_wrap=True)
    table.add_column("authors", width=26, no_wrap=True)
    table.add_column("because", width=36, no_wrap=True)
    for book in found["books"]:
        of = titles.get(book.get("because_of", ""), "")
        because = f"{_BECAUSE[book['because']]} {of}".strip()
        table.add_row(book["title"], ", ".join(book["authors"]), f"[dim]{because}[/]")
    return table


def mails_table(mails: Mapping[str, Mapping[str, int]], mailbox_url: str) -> RenderableType:
    """How many mails of each kind, and what became of them."""
    table = plain_table("Mails")
    table.add_column("about", width=14)
    states = sorted({state for counts in mails.values() for state in counts})
    for state in states:
        table.add_column(state, justify="right", width=10)
    table.add_column("", ratio=1)
    for kind, counts in mails.items():
        table.add_row(kind, *(f"{counts.get(state, 0):,}" for state in states), "")
    table.caption = Text(f"each of them at {mailbox_url} while the stack runs", "dim")
    table.caption_justify = "left"
    return table


def _words(code: str) -> str:
    return code.replace("_", " ")

"""What a mail calls the books that were ordered."""

import pytest

from contracts.models.catalog import BookListed, BookRevised
from contracts.models.common import Author, Book, Money


def listed(book_id, title, version=1):
    book = Book(
        book_id=book_id,
        title=title,
        authors=[Author("Jane Austen")],
        subjects=[],
        language="en",
        price=Money(amount_minor=1699, currency="EUR"),
    )
    return (BookListed if version == 1 else BookRevised)(book=book, version=version)


@pytest.fixture
def text_of(desk, order, outbox):
    """`await text_of((title, version), ...)`: a mail about a book that had these titles."""

    async def write(*titles):
        confirmed = order.confirmed()
        book_id = confirmed.lines[0].book_id
        for title, version in titles:
            await desk.tell(listed(book_id, title, version))
        await desk.tell(order.contact())
        await desk.tell(confirmed)
        (message,) = outbox.took
        return message.get_body(("plain",)).get_content(), book_id

    return write


async def test_mail_names_the_books_by_their_titles(text_of):
    text, book_id = await text_of(("Emma", 1))
    assert "* Emma" in text
    assert book_id not in text


async def test_newest_title_wins_in_whatever_order_it_comes(text_of):
    text, _ = await text_of(("Emma, revised", 2), ("Emma", 1))
    assert "* Emma, revised" in text


async def test_unknown_title_is_no_reason_not_to_write(text_of):
    text, book_id = await text_of()
    assert book_id in text


@pytest.mark.parametrize("title", ["<b>Emma</b>\r\n* free", "Emma\u2028* free"])
async def test_title_is_text_on_one_line(text_of, title):
    text, _ = await text_of((title, 1))
    assert sum(line.startswith("* ") for line in text.splitlines()) == 1

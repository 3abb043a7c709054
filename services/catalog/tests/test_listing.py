"""What a request of listings leads to, without any server."""

from dataclasses import replace

from catalog_service.listing import Book, Listed, Listing, Outcome, plan

EMMA = Book("1", "9780141439587", "Emma", ["Jane Austen"], [], "en", 1815, 999, "EUR")
WALDEN = Book("2", None, "Walden", ["Henry David Thoreau"], [], "en", 1854, 1100, "EUR")


def test_new_book_is_created_with_its_stock() -> None:
    result = plan([Listing(EMMA, 7)], {})
    assert result.entries[0].outcome is Outcome.CREATED
    assert result.created == {"1": Listed(EMMA, version=1, available=7)}


def test_the_same_again_writes_nothing() -> None:
    result = plan([Listing(EMMA, 99)], {"1": Listed(EMMA, 3, 7)})
    assert result.entries[0].outcome is Outcome.UNCHANGED
    assert not result.created
    assert not result.revised


def test_revision_raises_the_version_and_leaves_the_stock() -> None:
    dearer = replace(EMMA, price_minor=1099)
    result = plan([Listing(dearer, 99)], {"1": Listed(EMMA, 3, 7)})
    assert result.entries[0].outcome is Outcome.UPDATED
    assert result.revised == {"1": Listed(dearer, version=4, available=7)}


def test_isbn_of_another_book_is_rejected_and_the_rest_goes_on() -> None:
    thief = replace(WALDEN, isbn=EMMA.isbn)
    result = plan([Listing(thief, 1), Listing(WALDEN, 1)], {"1": Listed(EMMA, 1, 7)})
    assert [entry.outcome for entry in result.entries] == [Outcome.REJECTED, Outcome.CREATED]
    assert "belongs to book 1" in (result.entries[0].error or "")


def test_isbn_twice_in_a_request_goes_to_the_first() -> None:
    result = plan([Listing(EMMA, 1), Listing(replace(WALDEN, isbn=EMMA.isbn), 1)], {})
    assert [entry.outcome for entry in result.entries] == [Outcome.CREATED, Outcome.REJECTED]


def test_book_twice_in_a_request_is_created_once_as_it_was_last() -> None:
    dearer = replace(EMMA, price_minor=1099)
    result = plan([Listing(EMMA, 3), Listing(EMMA, 3), Listing(dearer, 3)], {})
    assert [entry.outcome for entry in result.entries] == [
        Outcome.CREATED,
        Outcome.UNCHANGED,
        Outcome.UPDATED,
    ]
    assert result.created == {"1": Listed(dearer, version=2, available=3)}
    assert not result.revised

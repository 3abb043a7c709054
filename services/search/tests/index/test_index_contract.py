"""What every search index does, whatever stands behind it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from search_service.index import (
    Book,
    BookChange,
    Filters,
    PriceBand,
    Query,
    SearchIndex,
    Sort,
    StockChange,
)

MakeBook = Callable[..., Book]
Fill = Callable[..., Awaitable[None]]
Until = Callable[..., Awaitable[Any]]


async def titles(index: SearchIndex, text: str, **query: Any) -> list[str]:
    return [hit.book.title for hit in (await index.search(Query(text, **query))).hits]


async def facet(index: SearchIndex, query: Query, name: str) -> dict[str, int]:
    return {value.value: value.count for value in (await index.search(query)).facets[name]}


@pytest.mark.parametrize("text", ["karenina", "tolstoy", "adultery", "tolstoy karenina adultery"])
async def test_words_of_title_author_and_subject_find_a_book(
    index: SearchIndex, fill: Fill, book: MakeBook, text: str
) -> None:
    karenina = book("Anna Karenina", "Leo Tolstoy", subjects=("Adultery", "Russia"))
    await fill(karenina, book("Emma", "Jane Austen", subjects=("England",)))
    assert [hit.book for hit in (await index.search(Query(text))).hits] == [karenina]


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Les Misérables", "miserables"),
        ("Nana", "NANA"),
        ("Straße der Ölsardinen", "strasse olsardinen"),
        ("Smørrebrød", "smorrebrod"),
        ("Übermut", "U\u0308BERMUT"),
        ("The Sorcerer's Stone", "sorcerers stone"),
        ("The Sorcerer\u2019s Stone", "sorcerer's stone"),
        ("L'Étranger", "etranger"),
    ],
)
async def test_accents_case_and_apostrophes_make_no_difference(
    index: SearchIndex, fill: Fill, book: MakeBook, title: str, text: str
) -> None:
    await fill(book(title), book("Emma"))
    assert await titles(index, text) == [title]


@pytest.mark.parametrize("text", ["jk rowling", "J.K. Rowling", "j. k. rowling", "j k rowling"])
async def test_initials_are_found_however_they_are_typed(
    index: SearchIndex, fill: Fill, book: MakeBook, text: str
) -> None:
    await fill(book("The Casual Vacancy", "J.K. Rowling"), book("Emma", "Jane Austen"))
    assert await titles(index, text) == ["The Casual Vacancy"]


@pytest.mark.parametrize(
    "text", ["prde", "pridde", "pryde", "prdie", "mansfeild", "mnasfild", "pride mansfeild"]
)
async def test_typing_errors_are_forgiven(
    index: SearchIndex, fill: Fill, book: MakeBook, text: str
) -> None:
    await fill(book("Pride of Mansfield"), book("Ulysses"), book("Moby Dick"))
    assert await titles(index, text) == ["Pride of Mansfield"]


async def test_numbers_are_meant_as_they_are_typed(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await fill(book("1948"), book("Emma"))
    assert await titles(index, "1984") == []
    assert await titles(index, "1948") == ["1948"]


async def test_word_as_it_is_typed_beats_one_that_is_close(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await fill(book("Persuasion"), book("Persuasions"))
    assert (await titles(index, "persuasion "))[0] == "Persuasion"


@pytest.mark.parametrize("text", ["moby di", "m", "mob", "dic"])
async def test_last_word_may_be_begun_only(
    index: SearchIndex, fill: Fill, book: MakeBook, text: str
) -> None:
    await fill(book("Moby Dick"), book("Ulysses", "James Joyce"))
    assert await titles(index, text) == ["Moby Dick"]


async def test_exact_title_comes_before_longer_ones_that_contain_it(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await fill(
        book("Emma (Emma, #1)", "Emma"),
        book("Emma and Emma", "Emma Emma"),
        book("Emma", "Jane Austen"),
        book("The Emma Stories: Emma, Emma and Emma"),
    )
    assert (await titles(index, "emma"))[0] == "Emma"


async def test_book_with_most_of_the_words_is_found_where_none_has_all(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await fill(book("Pride and Prejudice", "Jane Austen"), book("Ulysses"))
    assert await titles(index, "pride prejudice hardcover") == ["Pride and Prejudice"]


@pytest.mark.parametrize(
    "text", ["9780141439518", "978-0-14-143951-8", "0141439513", "0-14-143951-3"]
)
async def test_isbn_finds_its_book_alone(
    index: SearchIndex, fill: Fill, book: MakeBook, text: str
) -> None:
    await fill(
        book("Pride and Prejudice", isbn="9780141439518"),
        book("Emma", isbn="9780141439587"),
        book("Ulysses"),
    )
    assert await titles(index, text) == ["Pride and Prejudice"]


async def test_filters_hold_together_and_their_values_are_alternatives(
    index: SearchIndex, fill: Fill, book: MakeBook, until: Until
) -> None:
    nana = book("Nana", language="fr-CA", year=1880, price_minor=999, subjects=("Paris",))
    emma = book("Emma", language="en", year=1815, price_minor=1000, subjects=("England",))
    faust = book("Faust", language="de", year=1808, price_minor=5000, subjects=("Devil", "Drama"))
    await fill(nana, emma, faust)
    await index.apply([StockChange(nana.book_id, 2, 1)])

    async def found(**filters: Any) -> list[str]:
        query = Query(filters=Filters(**filters), sort=Sort.TITLE)
        return [hit.book.title for hit in (await index.search(query)).hits]

    await until(lambda: found(in_stock=True), lambda names: names == ["Nana"])
    assert await found(languages=("fr", "de")) == ["Faust", "Nana"]
    assert await found(decades=(1810, 1880)) == ["Emma", "Nana"]
    assert await found(subjects=("Drama", "England")) == ["Emma", "Faust"]
    assert await found(price_bands=(PriceBand.UNDER_10,)) == ["Nana"]
    assert await found(price_bands=(PriceBand.FROM_10_TO_20,)) == ["Emma"]
    assert await found(price_bands=(PriceBand.FROM_50,)) == ["Faust"]
    assert await found(languages=("fr", "de"), decades=(1800,)) == ["Faust"]
    assert await found(languages=("fr",), decades=(1800,)) == []
    assert await found(languages=("FR-ca",)) == ["Nana"]
    assert await found(languages=("FR",), subjects=("\ud800", 'a"b')) == []


async def test_facets_count_all_that_was_found_whatever_the_page(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await fill(
        book("Sea One", language="fr", year=1881, subjects=("Sea", "War"), price_minor=100),
        book("Sea Two", language="fr", year=1889, subjects=("Sea",), price_minor=1500),
        book("Sea Three", language="en", year=-375, price_minor=2500),
        book("Other", language="de"),
    )
    found = await index.search(Query("sea ", limit=1))
    assert (len(found.hits), found.total) == (1, 3)
    counts = {name: {v.value: v.count for v in values} for name, values in found.facets.items()}
    assert counts == {
        "subject": {"Sea": 2, "War": 1},
        "language": {"fr": 2, "en": 1},
        "decade": {"1880": 2, "-380": 1},
        "price_band": {"under-10": 1, "10-to-20": 1, "20-to-50": 1},
        "in_stock": {"false": 3},
    }
    assert [value.value for value in found.facets["language"]] == ["fr", "en"]


async def test_filter_of_a_facet_does_not_shrink_its_own_counts(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await fill(
        book("One", language="fr", year=1880),
        book("Two", language="fr", year=1890),
        book("Three", language="en", year=1880),
    )
    query = Query(filters=Filters(languages=("fr",)))
    assert await facet(index, query, "language") == {"fr": 2, "en": 1}
    assert await facet(index, query, "decade") == {"1880": 1, "1890": 1}
    both = Query(filters=Filters(languages=("fr",), decades=(1880,)))
    assert await facet(index, both, "language") == {"fr": 1, "en": 1}
    assert await facet(index, both, "decade") == {"1880": 1, "1890": 1}


async def test_choosing_a_filter_finds_as_many_as_its_facet_said(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await fill(book("Harry Potter", language="en"), book("Hary Putter", language="fr"))
    offered = await facet(index, Query("harry potter"), "language")
    narrowed = await index.search(Query("harry potter", Filters(languages=("fr",))))
    assert narrowed.total == offered.get("fr", 0)


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (Sort.TITLE, ["Ábel", "Emma", "The Iliad", "Nana", "Zadig"]),
        (Sort.PRICE, ["Zadig", "Nana", "Emma", "Ábel", "The Iliad"]),
        (Sort.PRICE_DESCENDING, ["The Iliad", "Ábel", "Emma", "Nana", "Zadig"]),
        (Sort.YEAR, ["The Iliad", "Zadig", "Emma", "Nana", "Ábel"]),
        (Sort.YEAR_DESCENDING, ["Nana", "Emma", "Zadig", "The Iliad", "Ábel"]),
    ],
)
async def test_books_are_sorted_and_one_without_a_year_comes_last(
    index: SearchIndex, fill: Fill, book: MakeBook, sort: Sort, expected: list[str]
) -> None:
    await fill(
        book("Nana", year=1880, price_minor=950),
        book("Emma", year=1815, price_minor=1000),
        book("Zadig", year=1747, price_minor=99),
        book("The Iliad", year=-750, price_minor=10000),
        book("Ábel", price_minor=2000),
    )
    assert await titles(index, "", sort=sort) == expected


@pytest.mark.parametrize("text", ["", "twin", "tw"])
@pytest.mark.parametrize("sort", list(Sort))
async def test_pages_show_each_book_once_and_equals_by_their_id(
    index: SearchIndex, fill: Fill, book: MakeBook, sort: Sort, text: str
) -> None:
    twins = [book("Twin", book_id=f"00000000-0000-4000-8000-{n:012}") for n in range(23)]
    for at in range(0, 23, 5):  # Several commits, so that there are several segments.
        await index.apply([BookChange(each, 1) for each in twins[at : at + 5]])
    await fill(*twins)
    pages = [
        (await index.search(Query(text, sort=sort, limit=5, offset=offset))).hits
        for offset in range(0, 30, 5)
    ]
    seen = [hit.book.book_id for page in pages for hit in page]
    assert seen == [each.book_id for each in twins]


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (-1, 0), (5, 10**9), (10**9, 9_999)])
async def test_pages_that_make_no_sense_are_empty_but_counted(
    index: SearchIndex, fill: Fill, book: MakeBook, limit: int, offset: int
) -> None:
    await fill(book("Emma"), book("Nana"))
    found = await index.search(Query(limit=limit, offset=offset))
    assert (list(found.hits), found.total) == ([], 2)


async def test_highlights_mark_the_words_and_escape_everything_else(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await fill(book('<b>Émile</b> & "Sophie\'s"', "J. Rousseau", "<i>Emile</i> Zola"))
    (hit,) = (await index.search(Query("emile"))).hits
    assert hit.highlights == {
        "title": "&lt;b&gt;<mark>Émile</mark>&lt;/b&gt; &amp; &quot;Sophie&#x27;s&quot;",
        "authors": "J. Rousseau, &lt;i&gt;<mark>Emile</mark>&lt;/i&gt; Zola",
    }
    (hit,) = (await index.search(Query("sophies", limit=1))).hits
    assert hit.highlights["title"].endswith("&quot;<mark>Sophie&#x27;s</mark>&quot;")
    (hit,) = (await index.search(Query("rouss"))).hits
    assert hit.highlights == {
        "authors": "J. <mark>Rousseau</mark>, &lt;i&gt;Emile&lt;/i&gt; Zola",
    }


async def test_better_spelling_is_offered_for_words_in_no_book_only(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await fill(book("Pride and Prejudice", "Jane Austen"), book("Ulysses"))
    assert (await index.search(Query("prejudise jane"))).did_you_mean == "prejudice jane"
    assert (await index.search(Query("prejudice"))).did_you_mean is None
    assert (await index.search(Query("prej"))).did_you_mean is None
    assert (await index.search(Query("xylophone"))).did_you_mean is None


async def test_completions_begin_with_the_text_or_have_it_at_a_later_word(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await fill(
        book("Émile", "Jean-Jacques Rousseau"),
        book("Emma", "Jane Austen"),
        book("Emma Brown", "Clare Boylan"),
        book("The Life of Emma", "Kate Fox"),
        book("Ulysses", "James Joyce"),
    )
    assert await index.complete("EMM", 10) == ["Emma", "Emma Brown", "The Life of Emma"]
    assert await index.complete("emi", 10) == ["Émile"]
    assert await index.complete("aust", 10) == ["Jane Austen"]
    assert await index.complete("jane au", 10) == ["Jane Austen"]
    assert await index.complete("emma", 1) == ["Emma"]
    assert await index.complete("xylo", 10) == []
    assert await index.complete(" ", 10) == []
    assert await index.complete("emma", 0) == []


async def test_editions_of_one_title_make_one_completion(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await fill(book("Emma", "Jane Austen"), book("Emma", "Austen"), book("EMMA", "J. Austen"))
    assert [each.lower() for each in await index.complete("emm", 10)] == ["emma"]


async def test_similar_books_share_authors_subjects_or_words_and_leave_out_the_book_itself(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    emma = book("Emma", "Jane Austen", subjects=("England", "Courtship"))
    await fill(
        emma,
        book("Persuasion", "Jane Austen", subjects=("England", "Courtship")),
        book("Middlemarch", "George Eliot", subjects=("England",)),
        book("Moby Dick", "Herman Melville", subjects=("Whales",)),
    )
    similar = [hit.book.title for hit in await index.similar(emma.book_id, 5)]
    assert similar == ["Persuasion", "Middlemarch"]
    assert len(await index.similar(emma.book_id, 1)) == 1
    assert await index.similar("00000000-0000-4000-8000-000000000000", 5) == []


async def test_books_are_read_by_id_with_what_is_available(
    index: SearchIndex, fill: Fill, book: MakeBook, until: Until
) -> None:
    emma = book("Emma", year=1815, isbn="9780141439587", subjects=("A", "B"))
    nana = book("Nana")
    await index.apply([StockChange(emma.book_id, 7, 3), StockChange("unlisted", 1, 1)])
    await fill(emma, nana)
    ids = [emma.book_id, nana.book_id, "unlisted", "unknown"]
    known = await until(lambda: index.books(ids), lambda hits: len(hits) == 2)
    assert known[emma.book_id].book == emma
    assert [known[each].available for each in ids[:2]] == [7, 0]
    assert await index.books([]) == {}


async def test_stock_of_an_unknown_book_is_found_by_nothing(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await index.apply([StockChange("11111111-1111-4111-8111-111111111111", 4, 1)])
    await fill(book("Emma"))
    found = await index.search(Query())
    assert (found.total, [hit.book.title for hit in found.hits]) == (1, ["Emma"])
    assert (await index.search(Query(filters=Filters(in_stock=True)))).total == 0
    assert await index.similar("11111111-1111-4111-8111-111111111111", 5) == []


async def test_revised_book_is_no_longer_found_by_what_it_was(
    index: SearchIndex, fill: Fill, book: MakeBook, until: Until
) -> None:
    first = book("Xylophone Tales", book_id="22222222-2222-4222-8222-222222222222")
    await fill(first, book("Emma"))
    await index.apply([BookChange(book("Emma Again", book_id=first.book_id), 2)])
    await until(lambda: titles(index, "again"), lambda found: found == ["Emma Again"])
    assert await titles(index, "xylophone tales") == []
    assert await index.count() == 2


async def test_text_without_a_single_word_finds_nothing(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await fill(book("Emma"))
    for text in ("!!!", "🎉", "\0"):
        found = await index.search(Query(text))
        assert (found.total, found.did_you_mean) == (0, None)
    assert (await index.search(Query("  "))).total == 1


async def test_chinese_and_hebrew_titles_are_found_by_a_part(
    index: SearchIndex, fill: Fill, book: MakeBook
) -> None:
    await fill(book("红楼梦"), book("הַמְלֶט נסיך דנמרק"), book("Emma"))
    assert await titles(index, "红楼") == ["红楼梦"]
    assert await titles(index, "המלט") == ["הַמְלֶט נסיך דנמרק"]


async def test_empty_index_answers_everything_with_nothing(index: SearchIndex) -> None:
    found = await index.search(Query("emma"))
    assert (list(found.hits), found.total, found.did_you_mean) == ([], 0, None)
    assert set(found.facets) == {"subject", "language", "decade", "price_band", "in_stock"}
    assert await index.complete("emma", 5) == []
    assert await index.similar("unknown", 5) == []
    assert await index.books(["unknown"]) == {}
    assert await index.count() == 0
    await index.apply([])

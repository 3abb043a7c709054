"""What the OpenSearch adapter sends and how it reads what comes back, against recorded shapes.

Every request has to fit the shape of its endpoint in `../recorded`; what OpenSearch makes of it
only the contract suite against a real one can tell.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from messaging import is_outage
from search_service.errors import NoRebuildError
from search_service.index import (
    Book,
    BookChange,
    FacetValue,
    Filters,
    PriceBand,
    Query,
    Sort,
    StockChange,
)
from search_service.opensearch_index import (
    ChangeRefusedError,
    OpenSearchIndex,
    SearchUnavailableError,
)

RECORDED = Path(__file__).parent.parent / "recorded"
EMMA_ID = "00000000-0000-4000-8000-000000000001"
MakeBook = Callable[..., Book]


@pytest.fixture
async def index(server: Any) -> AsyncIterator[OpenSearchIndex]:
    index = OpenSearchIndex(server.url, longest_wait_seconds=0.01)
    yield index
    await index.close()


def targets(pairs: list[Any]) -> list[tuple[str, bool]]:
    return [(line["update"]["_index"], line["update"].get("require_alias")) for line, _ in pairs]


async def test_nothing_connects_before_the_first_use() -> None:
    index = OpenSearchIndex("http://127.0.0.1:1")
    await index.close()


@pytest.mark.parametrize(
    "query",
    [
        Query(),
        Query("emma"),
        Query("emma ", limit=0, offset=-5),
        Query("pride prejudice 1984", limit=10**9, offset=9_990),
        Query("!!!", sort=Sort.TITLE),
        Query('title:emma AND "x" ^2 *'),
        Query("\0\ud83d" + "word " * 3000),
        Query("emma", offset=10**12),
        *(Query("emma", sort=sort) for sort in Sort),
        *(Query(sort=sort) for sort in Sort),
        Query(
            "emma",
            Filters(("England", "\ud800"), ("en",), (1810, -380, 10**30), tuple(PriceBand), True),
        ),
        Query(filters=Filters(decades=(10**30,))),
    ],
    ids=str,
)
async def test_search_of_whatever_kind_fits_the_api(
    index: OpenSearchIndex, server: Any, query: Query
) -> None:
    await index.search(query)
    (body,) = server.bodies("search")
    assert body["size"] >= 0
    assert body["from"] + body["size"] <= 10_000


@pytest.mark.parametrize("text", ["emma", "pride and pre", "!!!", "\0", "x" * 10_000, '"*'])
async def test_completion_and_similar_books_fit_the_api(
    index: OpenSearchIndex, server: Any, text: str
) -> None:
    server.answer("search", (200, {"hits": {"hits": []}}))
    await index.complete(text, 5)
    await index.similar(text or "x", 5)
    await index.books([text, text, ""])
    await index.count()


async def test_answer_is_read_into_hits_facets_and_a_better_spelling(
    index: OpenSearchIndex, server: Any
) -> None:
    found = await index.search(Query("emna austen"))
    (hit,) = found.hits
    assert hit.book == Book(
        EMMA_ID,
        "Emma <b>&</b> Émile",
        ("Jane Austen",),
        ("England", "Courtship"),
        "en",
        1250,
        "EUR",
        1815,
        "9780141439587",
    )
    assert (hit.available, hit.score, found.total) == (4, 21.5, 1)
    assert hit.highlights == {
        "title": "<mark>Emma</mark> &lt;b&gt;&amp;&lt;/b&gt; Émile",
        "authors": "Jane <mark>Austen</mark>",
    }
    assert found.facets["language"] == [FacetValue("en", 2), FacetValue("fr", 1)]
    assert found.facets["decade"] == [FacetValue("1810", 1)]
    assert found.did_you_mean == "emma austen"


async def test_facet_is_counted_under_all_filters_but_its_own(
    index: OpenSearchIndex, server: Any
) -> None:
    await index.search(Query("emma", Filters(languages=("en",), decades=(1810,))))
    (body,) = server.bodies("search")
    language, decade = {"terms": {"language": ["en"]}}, {"terms": {"decade": [1810]}}
    assert body["post_filter"]["bool"]["filter"] == [language, decade]
    assert body["aggs"]["language"]["filter"]["bool"]["filter"] == [decade]
    assert body["aggs"]["decade"]["filter"]["bool"]["filter"] == [language]
    assert body["aggs"]["subject"]["filter"]["bool"]["filter"] == [language, decade]


async def test_most_words_are_asked_for_where_no_book_has_all(
    index: OpenSearchIndex, server: Any
) -> None:
    empty = json.loads((RECORDED / "search.json").read_text())["answer"]["body"]
    empty["aggregations"]["found"]["doc_count"] = 0
    server.answer("search", (200, empty))
    await index.search(Query("pride prejudice hardcover"))
    first, second = server.bodies("search")
    least = [
        body["query"]["bool"]["must"][0]["bool"]["must"][0]["bool"]["minimum_should_match"]
        for body in (first, second)
    ]
    assert least == [3, 2]


async def test_isbn_is_asked_for_as_such_and_as_words_if_nobody_has_it(
    index: OpenSearchIndex, server: Any
) -> None:
    empty = json.loads((RECORDED / "search.json").read_text())["answer"]["body"]
    empty["aggregations"]["found"]["doc_count"] = 0
    server.answer("search", (200, empty))
    await index.search(Query("0-14-143951-3"))
    first, second = server.bodies("search")
    assert first["query"]["bool"]["must"] == [{"term": {"isbn": {"value": "9780141439518"}}}]
    assert "dis_max" in json.dumps(second)


async def test_missing_index_answers_as_an_empty_one_does(
    index: OpenSearchIndex, server: Any
) -> None:
    missing = (404, {"error": {"type": "index_not_found_exception"}, "status": 404})
    server.answer("search", missing, missing, missing, missing)
    server.answer("count", missing)
    server.answer("mget", missing)
    found = await index.search(Query("emma"))
    assert (list(found.hits), found.total, set(found.facets)) == (
        [],
        0,
        {"subject", "language", "decade", "price_band", "in_stock"},
    )
    assert await index.complete("emma", 5) == []
    assert await index.similar("x", 5) == []
    assert await index.books(["x"]) == {}
    assert await index.count() == 0


async def test_books_of_which_only_the_stock_is_known_are_left_out(index: OpenSearchIndex) -> None:
    assert list(await index.books([EMMA_ID, "stock-only", "unknown"])) == [EMMA_ID]


async def test_first_apply_makes_template_and_index_and_later_ones_only_look_for_a_rebuild(
    index: OpenSearchIndex, server: Any, book: MakeBook
) -> None:
    change = BookChange(book("Emma"), 3)
    await index.apply([change])
    assert [name for name, _, _ in server.asked] == [
        "put_index_template",
        "alias_exists",
        "create_index",
        "alias_exists",
        "bulk",
    ]
    server.asked.clear()
    await index.apply([change])
    assert [name for name, _, _ in server.asked] == ["alias_exists", "bulk"]
    await index.apply([])
    assert len(server.asked) == 2


async def test_index_that_another_worker_has_just_made_is_used(
    index: OpenSearchIndex, server: Any, book: MakeBook
) -> None:
    exists = {"type": "resource_already_exists_exception", "reason": "index exists"}
    server.answer("create_index", (400, {"error": exists, "status": 400}))
    await index.apply([BookChange(book("Emma"), 1)])
    assert len(server.bodies("bulk")) == 1


async def test_changes_are_scripted_upserts_that_compare_versions_on_the_spot(
    index: OpenSearchIndex, server: Any, book: MakeBook
) -> None:
    emma = book("Émma's", "Jane Austen", year=None)
    await index.apply([StockChange(emma.book_id, 4, 9), BookChange(emma, 3)])
    ((_, stock), (line, listed)) = server.bodies("bulk")[0]
    assert line["update"]["_id"] == emma.book_id
    for document in (stock, listed):
        assert document["scripted_upsert"] is True
        assert document["upsert"] == {}
        assert ">= params.version" in document["script"]["source"]
    assert stock["script"]["params"] == {"id": emma.book_id, "version": 9, "available": 4}
    fields = listed["script"]["params"]["fields"]
    assert (fields["title"], fields["whole_title"]) == ("emmas", "emmas")
    # What a revised book no longer has is taken away.
    assert [fields[name] for name in ("year", "decade", "isbn")] == [None, None, None]
    template = server.bodies("put_index_template")[0]["template"]["mappings"]["properties"]
    assert set(fields) | {"version", "stock_version", "available", "listed", "in_stock"} == set(
        template
    ) - {"words"}


async def test_of_one_batch_only_the_newest_change_of_each_kind_is_sent(
    index: OpenSearchIndex, server: Any, book: MakeBook
) -> None:
    emma = book("Emma")
    versions = (2, 5, 1)
    await index.apply([BookChange(emma, each) for each in versions])
    ((_, document),) = server.bodies("bulk")[0]
    assert document["script"]["params"]["version"] == 5


async def test_only_items_that_failed_for_now_are_sent_again(
    index: OpenSearchIndex, server: Any, book: MakeBook
) -> None:
    books = [book(f"Volume {n}") for n in range(5)]
    server.answer(
        "bulk",
        (200, server.bulk_answer(201, 429, 200, 503, 409)),
        (429, {"error": {"type": "rejected", "reason": "busy"}, "status": 429}),
        (200, server.bulk_answer(200, 429, 200)),
    )
    await index.apply([BookChange(each, 1) for each in books])
    sent = [[line["update"]["_id"] for line, _ in pairs] for pairs in server.bodies("bulk")]
    ids = [each.book_id for each in books]
    again = [ids[1], ids[3], ids[4]]
    assert sent == [ids, again, again, [ids[3]]]


async def test_retries_end_with_an_error_that_says_what_to_do(
    index: OpenSearchIndex, server: Any, book: MakeBook
) -> None:
    server.answer("bulk", *[(200, server.bulk_answer(429))] * 50)
    with pytest.raises(SearchUnavailableError, match=r"1 changes .* 429: why.* apply them again"):
        await index.apply([BookChange(book("Emma"), 1)])
    assert len(server.bodies("bulk")) < 10


async def test_cluster_that_does_not_answer_is_an_outage_for_reads_and_writes() -> None:
    nowhere = OpenSearchIndex("http://127.0.0.1:1", longest_wait_seconds=0)
    try:
        for ask in (nowhere.search(Query("emma")), nowhere.count(), nowhere.begin_rebuild()):
            with pytest.raises(SearchUnavailableError, match="does not answer") as caught:
                await ask
            assert is_outage(caught.value)
        with pytest.raises(SearchUnavailableError):
            await nowhere.apply([StockChange("b", 1, 1)])
    finally:
        await nowhere.close()


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_cluster_that_takes_nothing_from_us_is_an_outage(
    index: OpenSearchIndex, server: Any, book: MakeBook, status: int
) -> None:
    refusal = (status, {"error": {"type": "security_exception", "reason": "no"}, "status": status})
    server.answer("count", refusal)
    with pytest.raises(SearchUnavailableError):
        await index.count()
    for answer in (refusal, (200, server.bulk_answer(status))):
        server.answer("bulk", *[answer] * 6)
        with pytest.raises(SearchUnavailableError):
            await index.apply([BookChange(book("Emma"), 1)])


async def test_change_that_can_never_be_taken_raises_at_once(
    index: OpenSearchIndex, server: Any, book: MakeBook
) -> None:
    server.answer("bulk", (200, server.bulk_answer(400)))
    with pytest.raises(ChangeRefusedError, match="status 400: why"):
        await index.apply([BookChange(book("Emma"), 1)])
    assert len(server.bodies("bulk")) == 1


async def test_index_that_is_gone_is_made_anew_by_the_next_apply(
    index: OpenSearchIndex, server: Any, book: MakeBook
) -> None:
    change = BookChange(book("Emma"), 1)
    await index.apply([change])
    server.answer("bulk", (200, server.bulk_answer(404)))
    with pytest.raises(SearchUnavailableError):
        await index.apply([change])
    await index.apply([change])
    assert Counter(name for name, _, _ in server.asked)["create_index"] == 2


async def test_changes_go_to_both_indexes_while_any_worker_rebuilds(
    index: OpenSearchIndex, server: Any, book: MakeBook
) -> None:
    server.answer("alias_exists", (200, None), (200, None))
    await index.apply([BookChange(book("Emma"), 1)])
    assert targets(server.bodies("bulk")[0]) == [("books", True), ("books-building", True)]


async def test_changes_are_sent_again_if_the_rebuild_ended_in_between(
    index: OpenSearchIndex, server: Any, book: MakeBook
) -> None:
    server.answer("alias_exists", (200, None), (200, None))
    server.answer("bulk", (200, server.bulk_answer(200, 404)))
    await index.apply([BookChange(book("Emma"), 1)])
    assert [targets(pairs) for pairs in server.bodies("bulk")] == [
        [("books", True), ("books-building", True)],
        [("books", True)],
    ]


async def test_rebuild_replaces_the_index_in_one_call_and_removes_the_old_one(
    index: OpenSearchIndex, server: Any, book: MakeBook
) -> None:
    server.answer("alias_exists", (200, None))
    await index.begin_rebuild()
    ((_, fresh, made),) = [each for each in server.asked if each[0] == "create_index"]
    fresh = fresh.removeprefix("/")
    assert made == {"aliases": {"books-building": {}}}
    # The leftover of an unfinished one is gone, the one in use is not.
    assert [path for name, path, _ in server.asked if name == "delete_index"] == [
        "/books-generation-7"
    ]
    await index.apply_to_rebuild([BookChange(book("Emma"), 1)])
    assert targets(server.bodies("bulk")[0]) == [(fresh, None)]
    server.asked.clear()
    await index.finish_rebuild()
    assert [(name, path) for name, path, _ in server.asked] == [
        ("get_alias", "/_alias/books"),
        ("refresh", f"/{fresh}/_refresh"),
        ("update_aliases", "/_aliases"),
        ("delete_index", "/books-generation-0"),
    ]
    assert server.bodies("update_aliases") == [
        {
            "actions": [
                {"remove": {"index": fresh, "alias": "books-building", "must_exist": True}},
                {"remove": {"index": "books-generation-0", "alias": "books"}},
                {"add": {"index": fresh, "alias": "books"}},
            ]
        }
    ]
    with pytest.raises(NoRebuildError):
        await index.finish_rebuild()


async def test_rebuild_that_another_one_has_replaced_is_not_put_in_place(
    index: OpenSearchIndex, server: Any
) -> None:
    await index.begin_rebuild()
    missing = {"error": {"type": "aliases_not_found_exception"}, "status": 404}
    server.answer("update_aliases", (404, missing))
    with pytest.raises(NoRebuildError, match="another process"):
        await index.finish_rebuild()
    with pytest.raises(NoRebuildError):
        await index.apply_to_rebuild([])


@pytest.mark.parametrize(
    "wrong",
    [
        {"query": {"fuzy": {"title": "emma"}}},
        {"query": {"multi_match": {"query": "emma", "fuzzyness": "AUTO"}}},
        {"query": {"bool": {"filters": []}}},
        {"query": {"match_all": {}}, "postfilter": {}},
        {"aggs": {"x": {"terms": {"field": "subject", "sise": 3}}}},
        {"query": {"term": {"titel": {"value": "emma"}}}},
    ],
    ids=json.dumps,
)
async def test_recorded_shapes_refuse_what_the_api_does_not_know(
    server: Any, wrong: dict[str, Any]
) -> None:
    assert server.faults_of("search", wrong)

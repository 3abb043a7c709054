"""What is asked of OpenSearch: each request's body, as plain data.

Guarantee: what a customer typed only ever stands as a value, never as syntax; words are cut and
folded here, by the same function as for the embedded index, so that both find the same books.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from search_service.documents import decade_of, language_of, price_band_of
from search_service.index import (
    MAX_FACET_VALUES,
    MAX_RESULTS,
    Book,
    BookChange,
    Change,
    Filters,
    Query,
    Sort,
    StockChange,
)
from search_service.text import (
    ends_within_word,
    index_words,
    isbn13,
    key,
    main_title,
    query_words,
    storable,
    title_key,
)

Body = dict[str, Any]

FIELDS = ("title^3", "authors^2.5", "subjects")
FACETS = ("subject", "language", "decade", "price_band", "in_stock")
SUGGESTION = "spelling"
FOUND = "found"  # Counts what the text found before the filters.
# Marks of OpenSearch's highlighter that no text has: private-use characters, which are not words.
MARK, END_MARK = "\ue000", "\ue001"
_RETRIES_ON_CONFLICT = 3
_CANDIDATES = 100

# The version is compared where the document lies, so that any number of workers may write.
_BOOK_SCRIPT = """
if (ctx._source.version != null && ctx._source.version >= params.version) {
  ctx.op = 'none';
} else {
  ctx._source.putAll(params.fields);
  ctx._source.version = params.version;
  ctx._source.listed = true;
  if (ctx._source.available == null) {
    ctx._source.available = 0;
    ctx._source.in_stock = 'false';
  }
}
"""
_STOCK_SCRIPT = """
if (ctx._source.stock_version != null && ctx._source.stock_version >= params.version) {
  ctx.op = 'none';
} else {
  ctx._source.id = params.id;
  ctx._source.stock_version = params.version;
  ctx._source.available = params.available;
  ctx._source.in_stock = params.available > 0 ? 'true' : 'false';
}
"""


def template(pattern: str, shards: int) -> Body:
    """The index template of all generations: `PUT /_index_template/<name>`."""
    words = {
        "type": "text",
        "analyzer": "words",
        # A begun word is looked up among these instead of walking through all words that go on.
        "index_prefixes": {"min_chars": 1, "max_chars": 10},
        "copy_to": "words",
    }
    keywords = ("id", "whole_title", "main_title", "author_key", "isbn", "subject", "language")
    return {
        "index_patterns": [pattern],
        "priority": 100,  # Above a cluster's own templates for every index.
        "template": {
            "settings": {
                "index": {
                    "number_of_shards": shards,
                    "auto_expand_replicas": "0-1",
                    # Set, also because an index without it stops refreshing when nobody searches.
                    "refresh_interval": "500ms",
                },
                "analysis": {
                    "analyzer": {
                        "words": {
                            "type": "custom",
                            "tokenizer": "whitespace",
                            "filter": ["lowercase", "asciifolding"],
                        }
                    }
                },
            },
            "mappings": {
                "dynamic": "strict",
                "properties": {
                    "book": {"type": "object", "enabled": False},
                    "version": {"type": "long"},
                    "stock_version": {"type": "long"},
                    "available": {"type": "long"},
                    "listed": {"type": "boolean"},
                    "title": words,
                    "authors": words,
                    "subjects": words,
                    "words": {"type": "text", "analyzer": "words"},
                    **{name: {"type": "keyword"} for name in (*keywords, "price_band", "in_stock")},
                    "decade": {"type": "long"},
                    "year": {"type": "long"},
                    "price_minor": {"type": "long"},
                    "title_letters": {"type": "long"},
                },
            },
        },
    }


def bulk_actions(changes: Sequence[Change], target: Body) -> list[tuple[Body, Body]]:
    """An update of each document, which makes it if it is not there: the lines of `POST /_bulk`.

    `target` names the index or alias, as `{"_index": ..., "require_alias": ...}`.
    """
    return [
        (
            {
                "update": {
                    **target,
                    "_id": _id(change),
                    "retry_on_conflict": _RETRIES_ON_CONFLICT,
                }
            },
            {"scripted_upsert": True, "upsert": {}, "script": _script(change)},
        )
        for change in changes
    ]


def fields_of(book: Book) -> Body:
    """What is stored of a book; what it lacks is there as null, to replace what it had."""
    return {
        "id": book.book_id,
        "book": asdict(book),
        "title": " ".join(index_words(book.title)),
        "authors": " ".join(word for name in book.authors for word in index_words(name)),
        "subjects": " ".join(word for name in book.subjects for word in index_words(name)),
        "whole_title": title_key(book.title),
        "main_title": main_title(book.title),
        "author_key": [key(name) for name in book.authors],
        "isbn": book.isbn and (isbn13(book.isbn) or book.isbn),
        "subject": list(book.subjects),
        "language": language_of(book.language),
        "decade": decade_of(book.year),
        "year": book.year,
        "price_minor": book.price_minor,
        "price_band": price_band_of(book.price_minor).value,
        "title_letters": len(book.title),
    }


def search_body(query: Query, *, missing: int = 0) -> Body:
    """`POST /<alias>/_search`; with `missing`, so many of the words may be absent.

    Filters come after the counting of facets (`post_filter`), and each facet is counted under the
    filters of the others.
    """
    clauses = filter_clauses(query.filters)
    start = min(max(query.offset, 0), MAX_RESULTS)
    body: Body = {
        "query": {"bool": {"must": [_text(query.text, missing)], "filter": [_LISTED]}},
        "from": start,
        "size": min(max(query.limit, 0), MAX_RESULTS - start),
        "track_total_hits": True,
        "_source": ["book", "available"],
        "sort": _sort(query),
        "aggs": {FOUND: {"filter": {"match_all": {}}}, **_facets(clauses)},
        "highlight": {
            "pre_tags": [MARK],
            "post_tags": [END_MARK],
            "number_of_fragments": 0,
            "fields": {"title": {}, "authors": {}},
        },
    }
    if clauses:
        body["post_filter"] = {"bool": {"filter": list(clauses.values())}}
    if words := query_words(query.text):
        body["suggest"] = {
            "text": " ".join(words),
            SUGGESTION: {
                "term": {
                    "field": "words",
                    "suggest_mode": "missing",
                    "sort": "score",
                    "size": 5,
                    "max_edits": 2,
                    "prefix_length": 0,
                    "min_word_length": 4,
                }
            },
        }
    return body


def isbn_body(number: str, query: Query) -> Body:
    """As `search_body`, for a text that is an ISBN-13."""
    body = search_body(Query("", query.filters, Sort.RELEVANCE, query.limit, query.offset))
    body["query"]["bool"]["must"] = [{"term": {"isbn": {"value": number}}}]
    return body


def filter_clauses(filters: Filters) -> dict[str, Body]:
    """The filters that are set, by the name of their facet."""
    decades = [each for each in filters.decades if abs(each) < 2**63]
    clauses: dict[str, Body] = {}
    if filters.subjects:
        clauses["subject"] = {"terms": {"subject": [storable(each) for each in filters.subjects]}}
    if filters.languages:
        clauses["language"] = {
            "terms": {"language": [storable(language_of(x)) for x in filters.languages]}
        }
    if filters.decades:
        clauses["decade"] = {"terms": {"decade": decades}}
    if filters.price_bands:
        clauses["price_band"] = {"terms": {"price_band": [x.value for x in filters.price_bands]}}
    if filters.in_stock:
        clauses["in_stock"] = {"terms": {"in_stock": ["true"]}}
    return clauses


def complete_body(words: Sequence[str], *, forgiving: bool = False) -> Body:
    """Books whose title or an author has the words; `forgiving` allows typing errors."""
    begun = " ".join(words)
    if forgiving:
        found: Body = {"bool": {"must": [_word(word, word is words[-1]) for word in words]}}
    else:
        found = {
            "bool": {
                "should": [
                    _constant({"prefix": {"whole_title": {"value": title_key(begun)}}}, 4),
                    _constant({"prefix": {"author_key": {"value": begun}}}, 4),
                    _constant(_all_in("title", words), 1),
                    _constant(_all_in("authors", words), 1),
                ],
                "minimum_should_match": 1,
            }
        }
    return {
        "query": {"bool": {"must": [found], "filter": [_LISTED]}},
        "size": _CANDIDATES,
        "_source": ["book"],
        "sort": [{"_score": "desc"}, {"title_letters": "asc"}, {"id": "asc"}],
    }


def similar_body(book_id: str, limit: int) -> Body:
    """Books that share authors, subjects or words of the title; the book itself is left out."""
    weights = {"author_key": 3, "subject": 2, "title": 1}
    return {
        "query": {
            "bool": {
                "should": [
                    {
                        "more_like_this": {
                            "fields": [name],
                            "like": [{"_id": storable(book_id)}],
                            "min_term_freq": 1,
                            "min_doc_freq": 1,
                            "max_query_terms": 16,
                            "minimum_should_match": "1",
                            "boost": boost,
                        }
                    }
                    for name, boost in weights.items()
                ],
                "minimum_should_match": 1,
                "filter": [_LISTED],
            }
        },
        "size": limit,
        "_source": ["book", "available"],
        "sort": [{"_score": "desc"}, {"id": "asc"}],
    }


def count_body() -> Body:
    """`POST /<alias>/_count`: what can be found."""
    return {"query": _LISTED}


def switch_actions(alias: str, building: str, fresh: str, old: Sequence[str]) -> Body:
    """`POST /_aliases`, which does all or nothing: the new index in the old one's place.

    Fails if the new index is no longer the one under construction.
    """
    return {
        "actions": [
            {"remove": {"index": fresh, "alias": building, "must_exist": True}},
            *({"remove": {"index": name, "alias": alias}} for name in old),
            {"add": {"index": fresh, "alias": alias}},
        ]
    }


_LISTED: Body = {"term": {"listed": {"value": True}}}


def _id(change: Change) -> str:
    return change.book.book_id if isinstance(change, BookChange) else change.book_id


def _script(change: BookChange | StockChange) -> Body:
    if isinstance(change, BookChange):
        params: Body = {"version": change.version, "fields": fields_of(change.book)}
        return {"lang": "painless", "source": _BOOK_SCRIPT, "params": params}
    params = {"id": change.book_id, "version": change.version, "available": change.available}
    return {"lang": "painless", "source": _STOCK_SCRIPT, "params": params}


def _text(text: str, missing: int) -> Body:
    words = query_words(text)
    if not words:
        return {"match_none": {}} if text.strip() else {"match_all": {}}
    begun = ends_within_word(text)
    required = [_word(word, begun and at == len(words) - 1) for at, word in enumerate(words)]
    title = title_key(" ".join(words))
    wishes = [
        _constant({"term": {"whole_title": {"value": title}}}, 60),
        _constant({"term": {"main_title": {"value": title}}}, 40),
        {"match_phrase": {"title": {"query": " ".join(words), "boost": 0.5}}},
    ]
    if begun:
        wishes.append(_constant({"prefix": {"whole_title": {"value": title}}}, 8))
    least = len(required) - missing
    must = {"bool": {"should": required, "minimum_should_match": least}}
    return {"bool": {"must": [must], "should": wishes}}


def _word(word: str, begun: bool) -> Body:
    """The word as typed, close to it (1 error from 4 letters, 2 from 8), and perhaps begun."""
    fields = list(FIELDS)
    ways: list[Body] = [{"multi_match": {"query": word, "fields": fields, "tie_breaker": 0.1}}]
    if not word.isdigit():
        close = {
            "query": word,
            "fields": fields,
            "fuzziness": "AUTO:4,8",
            "fuzzy_transpositions": True,
            "prefix_length": 0,
            "max_expansions": 20,
            "boost": 0.5,
        }
        ways.append({"multi_match": close})
    if begun:
        ways += [
            {"prefix": {name: {"value": word, "boost": boost}}}
            for name, boost in (("title", 1.5), ("authors", 1.2), ("subjects", 0.5))
        ]
    return {"dis_max": {"queries": ways, "tie_breaker": 0.1}}


def _all_in(field: str, words: Sequence[str]) -> Body:
    clauses: list[Body] = [{"term": {field: {"value": word}}} for word in words[:-1]]
    return {"bool": {"must": [*clauses, {"prefix": {field: {"value": words[-1]}}}]}}


def _constant(query: Body, boost: float) -> Body:
    return {"constant_score": {"filter": query, "boost": boost}}


def _sort(query: Query) -> list[Body]:
    order: dict[Sort, Body] = {
        Sort.RELEVANCE: {"_score": "desc"},
        Sort.TITLE: {"whole_title": "asc"},
        Sort.PRICE: {"price_minor": "asc"},
        Sort.PRICE_DESCENDING: {"price_minor": "desc"},
        Sort.YEAR: {"year": {"order": "asc", "missing": "_last"}},
        Sort.YEAR_DESCENDING: {"year": {"order": "desc", "missing": "_last"}},
    }
    if query.sort is Sort.RELEVANCE and not query.text.strip():
        return [{"id": "asc"}]
    return [order[query.sort], {"id": "asc"}]


def _facets(clauses: Mapping[str, Body]) -> dict[str, Body]:
    order = [{"_count": "desc"}, {"_key": "asc"}]
    return {
        name: {
            "filter": {
                "bool": {"filter": [clause for other, clause in clauses.items() if other != name]}
            },
            "aggs": {
                "values": {"terms": {"field": name, "size": MAX_FACET_VALUES, "order": order}}
            },
        }
        for name in FACETS
    }

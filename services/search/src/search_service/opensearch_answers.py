"""What OpenSearch answers, as the protocol's types.

Guarantee: nothing of a stored text reaches a highlight unescaped; OpenSearch only says which words
matched, and the marks are set here.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rapidfuzz.distance import OSA

from search_service.documents import book_from
from search_service.index import Book, FacetValue, Found, Hit
from search_service.opensearch_requests import END_MARK, FACETS, FOUND, MARK, SUGGESTION
from search_service.text import ends_within_word, highlight, query_words
from search_service.vocabulary import errors_forgiven

Answer = dict[str, Any]

NOTHING = Found([], 0, {name: [] for name in FACETS})
_MARKED = re.compile(f"{MARK}([^{END_MARK}]*){END_MARK}")


def found_before_filters(answer: Answer) -> int:
    """How many books the text alone has found."""
    return int(answer["aggregations"][FOUND]["doc_count"])


def found(answer: Answer, text: str) -> Found:
    """The page of a `_search` for the text."""
    return Found(
        hits=[hit(each, text) for each in answer["hits"]["hits"]],
        total=int(answer["hits"]["total"]["value"]),
        facets={name: _facet(answer["aggregations"][name]["values"]) for name in FACETS},
        did_you_mean=_did_you_mean(answer, text),
    )


def hit(document: Answer, text: str = "") -> Hit:
    """A listed document of `_search` or `_mget`."""
    source = document["_source"]
    book = book_from(source["book"])
    matches = _matcher(document.get("highlight", {}), text)
    fields = {"title": book.title, "authors": ", ".join(book.authors)}
    marked = {name: highlight(value, matches) for name, value in fields.items()}
    highlights = {name: html for name, html in marked.items() if html is not None}
    return Hit(book, int(source.get("available", 0)), document.get("_score") or 0.0, highlights)


def titles_and_authors(answer: Answer) -> Iterator[str]:
    """Of all books on the page."""
    for document in answer["hits"]["hits"]:
        book: Book = book_from(document["_source"]["book"])
        yield book.title
        yield from book.authors


def _matcher(marked: dict[str, Sequence[str]], text: str) -> Callable[[str], bool]:
    """Words that OpenSearch has marked, and those that are or go on from what was typed: where it
    looks up beginnings in a field of their own, it marks nothing.
    """
    words = query_words(text)
    whole = {*words, *(word for each in marked.values() for word in _words_in(each))}
    begun = words[-1] if words and ends_within_word(text) else None
    return lambda word: word in whole or (begun is not None and word.startswith(begun))


def _words_in(fragments: Sequence[str]) -> set[str]:
    return {word for fragment in fragments for word in _MARKED.findall(fragment)}


def _facet(values: Answer) -> list[FacetValue]:
    return [FacetValue(str(bucket["key"]), bucket["doc_count"]) for bucket in values["buckets"]]


def _did_you_mean(answer: Answer, text: str) -> str | None:
    """The words with each that is in no book replaced by the likeliest one close to it."""
    suggestions = answer.get("suggest", {}).get(SUGGESTION, [])
    said = [
        _better(each, begun=at == len(suggestions) - 1 and ends_within_word(text))
        for at, each in enumerate(suggestions)
    ]
    typed = [each["text"] for each in suggestions]
    return " ".join(said) if said != typed else None


def _better(suggestion: Answer, *, begun: bool) -> str:
    typed: str = suggestion["text"]
    words: list[str] = [option["text"] for option in suggestion["options"]]
    if begun and any(word.startswith(typed) for word in words):
        return typed
    allowed = errors_forgiven(typed)
    return next((word for word in words if OSA.distance(typed, word) <= allowed), typed)

"""Searching one snapshot of the embedded index: what was meant, what is found, in which order.

Guarantee: the order is total (the book's id decides among equals), so pages never overlap while the
index stays as it is; a filter only ever narrows what the text has found.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from tantivy import DocAddress, Order, Query, Searcher

from search_service.documents import Record
from search_service.index import MAX_RESULTS, Found, Hit, Sort
from search_service.index import Query as Question
from search_service.tantivy_facets import count_facets
from search_service.tantivy_queries import (
    WHOLE_TITLE,
    Word,
    any_field,
    filter_clauses,
    filtered,
    listed,
    term,
    text_query,
)
from search_service.tantivy_reader import Snapshot
from search_service.tantivy_schema import FACET_FIELDS, SORT_FIELDS
from search_service.text import ends_within_word, highlight, index_words, isbn13, query_words
from search_service.vocabulary import Vocabulary

NOTHING = Found([], 0, {name: [] for name in FACET_FIELDS})
# With fewer results than this, words that do exist may be misspelt, too.
_FEW = 3
# Among books that score alike the ids are compared of at most so many.
_MOST_TIES = 20_000
# A word in at most so many books may be in none by now: it is looked up.
_RARE = 3
# Where nothing is found, so many ways of running words together or splitting one are tried.
_MOST_CUTS = 12
_SHORTEST_PART = 2


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a text was taken for, and which words it should perhaps have had."""

    query: Query
    words: Sequence[Word] = ()
    unknown: frozenset[str] = frozenset()
    total: int | None = None  # Books found without filters, where that is known already.
    spelling: str | None = None  # What the text should have been, where that is known already.


def search(snapshot: Snapshot, question: Question) -> Found:
    """The page of results, the count of all, facets, and a better spelling if one is likely."""
    text = question.text
    if not text.strip():
        meaning = Meaning(listed())
    elif (number := isbn13(text)) and count(snapshot.searcher, term("isbn", number)):
        meaning = Meaning(term("isbn", number))
    elif words := query_words(text):
        meaning = understand(snapshot, words, begun=ends_within_word(text))
    else:
        return NOTHING
    clauses = filter_clauses(question.filters)
    query = filtered(meaning.query, clauses.values()) if clauses else meaning.query
    total = meaning.total
    if clauses or total is None:
        total = count(snapshot.searcher, query)
    matches = word_matcher(meaning.words)
    page = [
        _hit(snapshot.searcher, address, score, matches)
        for score, address in _page(snapshot.searcher, query, question, total)
    ]
    facets = count_facets(snapshot.searcher, meaning.query, clauses)
    return Found(page, total, facets, _did_you_mean(snapshot, meaning))


def read(searcher: Searcher, address: DocAddress) -> Record:
    """The record at an address."""
    return Record.from_json(bytes(searcher.doc(address).get_first("record")))  # type: ignore[arg-type]


def best(searcher: Searcher, query: Query, limit: int) -> list[tuple[float, DocAddress]]:
    """The best books by score, then by id; scores and addresses."""
    if limit <= 0:
        return []
    hits = searcher.search(query, limit=limit + 1, count=False).hits
    if len(hits) > limit and hits[limit][0] == hits[limit - 1][0]:
        # The page ends among equals, of which Tantivy has taken any: see all of them.
        last = hits[limit][0]
        hits = searcher.search(query, limit=_MOST_TIES, count=False).hits
        hits = [hit for hit in hits if hit[0] >= last]
    addresses = [address for _, address in hits]
    high = searcher.fast_field_values("id_high", addresses)
    low = searcher.fast_field_values("id_low", addresses)
    order = sorted(range(len(hits)), key=lambda at: (-hits[at][0], high[at], low[at]))
    return [hits[at] for at in order[:limit]]


def understand(snapshot: Snapshot, words: Sequence[str], *, begun: bool) -> Meaning:
    """The strictest reading of the words that finds enough; filters have no say in it."""
    searcher, vocabulary = snapshot.searcher, snapshot.vocabulary
    last = len(words) - 1
    read_as: list[Word] = []
    unknown: set[str] = set()
    for at, typed in enumerate(words):
        word = Word(typed, is_begun=begun and at == last)
        if not _is_known(snapshot, word):
            unknown.add(typed)
            word = _corrected(snapshot, word)
        read_as.append(word)
    query = text_query(read_as, vocabulary)
    total, top = _count_and_top(searcher, query)
    if total >= _FEW or top >= WHOLE_TITLE:
        return Meaning(query, read_as, frozenset(unknown), total)
    wider = [word if word.near else _corrected(snapshot, word) for word in read_as]
    if wider != read_as:
        query = text_query(wider, vocabulary)
        total = count(searcher, query)
    if not total and (cut := _cut_anew(snapshot, words)):
        return cut
    if not total and len(words) > 1:
        query = text_query(wider, vocabulary, missing=max(1, len(words) // 3))
        return Meaning(query, wider, frozenset(unknown))
    return Meaning(query, wider, frozenset(unknown), total)


def _cut_anew(snapshot: Snapshot, words: Sequence[str]) -> Meaning | None:
    """The words run together or split at the one place that finds the best book, if any does."""
    best_score, found = 0.0, None
    for cut in islice(cuts(words, snapshot.vocabulary), _MOST_CUTS):
        read_as = [Word(word) for word in cut]
        query = text_query(read_as, snapshot.vocabulary)
        total, top = _count_and_top(snapshot.searcher, query)
        if total and top > best_score:
            spelling = " ".join(cut)
            best_score, found = top, Meaning(query, read_as, total=total, spelling=spelling)
    return found


def cuts(words: Sequence[str], vocabulary: Vocabulary) -> Iterator[list[str]]:
    """The words with two neighbours joined ('middle march'), or one split in two ('davinci'), where
    some book has what comes of it.
    """
    for at, word in enumerate(words):
        if at + 1 < len(words) and vocabulary.books(word + words[at + 1]):
            yield [*words[:at], word + words[at + 1], *words[at + 2 :]]
        for cut in range(_SHORTEST_PART, len(word) - _SHORTEST_PART + 1):
            left, right = word[:cut], word[cut:]
            if vocabulary.books(left) and vocabulary.books(right):
                yield [*words[:at], left, right, *words[at + 1 :]]


def _is_known(snapshot: Snapshot, word: Word) -> bool:
    books = snapshot.vocabulary.books(word.typed)
    if books > _RARE:
        return True
    if word.is_begun and snapshot.vocabulary.beginning_with(word.typed):
        return True
    return count(snapshot.searcher, any_field(word.typed)) > 0


def _corrected(snapshot: Snapshot, word: Word) -> Word:
    near = list(snapshot.vocabulary.near(word.typed))
    if word.is_begun:
        seen = {each.word for each in near} | {word.typed}
        near += [
            each for each in snapshot.vocabulary.begun_near(word.typed) if each.word not in seen
        ]
    return replace(word, near=near)


def _page(
    searcher: Searcher, query: Query, question: Question, total: int
) -> list[tuple[float, DocAddress]]:
    start = max(question.offset, 0)
    end = min(start + max(question.limit, 0), MAX_RESULTS, total)
    if start >= end:
        return []
    if question.sort is Sort.RELEVANCE and question.text.strip():
        return best(searcher, query, end)[start:end]
    hits = searcher.search(
        query,
        limit=end - start,
        offset=start,
        count=False,
        order_by_field=SORT_FIELDS.get(question.sort, "id"),
        order=Order.Asc,
    ).hits
    return [(0.0, address) for _, address in hits]


def word_matcher(words: Sequence[Word]) -> Callable[[str], bool]:
    """Whether a word of a book is one that the query asks for."""
    whole = {word.typed for word in words} | {near.word for word in words for near in word.near}
    begun = tuple(word.typed for word in words if word.is_begun)
    return lambda word: word in whole or word.startswith(begun)


def _hit(
    searcher: Searcher, address: DocAddress, score: float, matches: Callable[[str], bool]
) -> Hit:
    record = read(searcher, address)
    assert record.book is not None
    fields = {"title": record.book.title, "authors": ", ".join(record.book.authors)}
    marked = {name: highlight(text, matches) for name, text in fields.items()}
    return record.hit(score, {name: text for name, text in marked.items() if text is not None})


def _did_you_mean(snapshot: Snapshot, meaning: Meaning) -> str | None:
    """The words with each unknown one replaced by what the best book has, or by the nearest."""
    if meaning.spelling is not None:
        return meaning.spelling
    replaceable = [word for word in meaning.words if word.typed in meaning.unknown and word.near]
    if not replaceable:
        return None
    top = best(snapshot.searcher, meaning.query, 1)
    in_top = _words_of(read(snapshot.searcher, top[0][1])) if top else set()
    said = []
    for word in meaning.words:
        if word.typed in meaning.unknown and word.near:
            likely = (near.word for near in word.near if near.word in in_top)
            said.append(next(likely, word.near[0].word))
        else:
            said.append(word.typed)
    return " ".join(said)


def _words_of(record: Record) -> set[str]:
    assert record.book is not None
    texts = (record.book.title, *record.book.authors, *record.book.subjects)
    return {word for text in texts for word in index_words(text)}


def count(searcher: Searcher, query: Query) -> int:
    """How many books the query finds."""
    return _count_and_top(searcher, query)[0]


def _count_and_top(searcher: Searcher, query: Query) -> tuple[int, float]:
    found = searcher.search(query, limit=1, count=True)
    total: int = found.count  # type: ignore[attr-defined]  # The stubs leave it out.
    return total, (found.hits[0][0] if found.hits else -math.inf)

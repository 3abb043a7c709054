"""Completions from one snapshot of the embedded index.

Guarantee: as long as some title or author has every typed word, the last perhaps only begun, each
completion does; only otherwise typing errors are forgiven.
"""

from collections.abc import Iterator, Sequence

from tantivy import Occur, Order, Query, Searcher

from search_service.completion import completions
from search_service.documents import Record
from search_service.index import Book
from search_service.tantivy_queries import begins, term
from search_service.tantivy_reader import Snapshot
from search_service.tantivy_search import best, read, understand, word_matcher
from search_service.text import index_words, key, query_words, title_key

# Books read of each kind of match: several editions of one title make one completion.
_CANDIDATES = 40


def complete(snapshot: Snapshot, prefix: str, limit: int) -> list[str]:
    """Titles and authors that begin with the words first, then those that have them later; the
    shorter first.
    """
    words = query_words(prefix)
    if not words or limit <= 0:
        return []
    found = completions(_candidates(snapshot.searcher, words), words, limit)
    return found or _forgiving(snapshot, words, limit)


def _candidates(searcher: Searcher, words: Sequence[str]) -> Iterator[str]:
    begun = " ".join(words)
    for book in _shortest(searcher, begins("whole_title", title_key(begun))):
        yield book.title
    for book in _shortest(searcher, begins("author_key", begun)):
        yield from book.authors
    for book in _shortest(searcher, _all_in("title", words)):
        yield book.title
    for book in _shortest(searcher, _all_in("authors", words)):
        yield from book.authors


def _forgiving(snapshot: Snapshot, words: Sequence[str], limit: int) -> list[str]:
    """Titles and authors with words close to the typed ones, of the books that match best."""
    meaning = understand(snapshot, words, begun=True)
    matches = word_matcher(meaning.words)
    texts: dict[str, str] = {}
    for _, address in best(snapshot.searcher, meaning.query, limit):
        book = _book(read(snapshot.searcher, address))
        for text in (book.title, *book.authors):
            if any(map(matches, index_words(text))):
                texts.setdefault(key(text), text)
                break
    return list(texts.values())[:limit]


def _shortest(searcher: Searcher, query: Query) -> Iterator[Book]:
    found = searcher.search(
        query,
        limit=_CANDIDATES,
        count=False,
        order_by_field="title_letters",
        order=Order.Asc,
    )
    for _, address in found.hits:
        yield _book(read(searcher, address))


def _all_in(field: str, words: Sequence[str]) -> Query:
    clauses = [(Occur.Must, term(field, word)) for word in words[:-1]]
    return Query.boolean_query([*clauses, (Occur.Must, begins(field, words[-1]))])


def _book(record: Record) -> Book:
    assert record.book is not None
    return record.book

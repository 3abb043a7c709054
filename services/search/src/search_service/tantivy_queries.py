"""From a customer's words to Tantivy queries, piece by piece, never through a query parser.

Guarantee: whatever was typed, the query has a bounded number of clauses, and a filter has no part
in the score.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, product

from tantivy import Occur, Query

from search_service.documents import Record, language_of
from search_service.index import Filters
from search_service.tantivy_schema import LISTED, WORD_FIELDS, schema
from search_service.text import index_words, key, storable, title_key
from search_service.vocabulary import Near, Vocabulary

# Tuned by `make search-eval`. A word in the title says more than one in the author's name, that
# more than one in a subject.
FIELD_WEIGHTS = {"title": 3.0, "authors": 2.5, "subjects": 1.0}
# BM25 gives a rare word more, and misspelt ones are matched by whatever is near, however rare.
_WEIGHT_OF_ERRORS = (1.0, 0.5, 0.25)
_WEIGHT_OF_BEGUN = 0.5
# Of one word's matches the best counts, and the others a little: a dismax with this tie-breaker.
_TIE_BREAKER = 0.1
# Above what BM25 gives to a few words that stand in many titles.
WHOLE_TITLE = 60.0
_MAIN_TITLE = 40.0
_CORRECTED_TITLE = 0.5
_TITLE_BEGINS = 8.0
_PHRASE = 0.5
# Of a misspelt word so many corrections, and of the whole text so many readings, are compared with
# whole titles.
_NEAREST = 4
_READINGS = 8


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the query and what else may have been meant, best first."""

    typed: str
    near: Sequence[Near] = ()
    is_begun: bool = False  # The last word, which may go on.


def text_query(words: Sequence[Word], vocabulary: Vocabulary, *, missing: int = 0) -> Query:
    """Books with all words, or all but `missing` of them; titles that are the text come first."""
    required = [_word_query(word, vocabulary) for word in words]
    typed = [word.typed for word in words]
    wishes = _title_wishes(typed, begun=words[-1].is_begun)
    for corrected in _corrections(words):
        wishes += [
            Query.boost_query(wish, _CORRECTED_TITLE)
            for wish in _title_wishes(corrected, begun=False)
        ]
    if missing:
        must = Query.boolean_query(
            [(Occur.Should, query) for query in required],
            minimum_number_should_match=len(required) - missing,
        )
        required = [must]
    return Query.boolean_query(
        [(Occur.Must, query) for query in required] + [(Occur.Should, wish) for wish in wishes]
    )


def listed() -> Query:
    """Every book that can be found."""
    return Query.const_score_query(Query.term_query(schema(), "listed", LISTED, "basic"), 0.0)


def any_field(word: str) -> Query:
    """Books that have the word anywhere."""
    return Query.disjunction_max_query([_term(name, word, 1.0) for name in WORD_FIELDS])


def term(field: str, value: str) -> Query:
    """Books whose field is the value."""
    return Query.term_query(schema(), field, value, "basic")


def begins(field: str, prefix: str) -> Query:
    """Books of whose field a term begins with the prefix; each scores 1."""
    return Query.fuzzy_term_query(schema(), field, prefix, distance=0, prefix=True)


def filtered(query: Query, clauses: Iterable[Query]) -> Query:
    """The query's books that satisfy all clauses, with the query's scores."""
    return Query.boolean_query([(Occur.Must, query), *((Occur.Must, each) for each in clauses)])


def filter_clauses(filters: Filters) -> dict[str, Query]:
    """The filters that are set, by the name of their facet."""
    values: dict[str, Sequence[str | int]] = {
        "subject": [storable(each) for each in filters.subjects],
        "language": [storable(language_of(each)) for each in filters.languages],
        "decade": [each for each in filters.decades if abs(each) < 2**63],
        "price_band": filters.price_bands,
        "in_stock": ["true"] if filters.in_stock else [],
    }
    asked = {"decade": filters.decades}
    return {
        name: Query.const_score_query(Query.term_set_query(schema(), name, list(chosen)), 0.0)
        for name, chosen in values.items()
        if chosen or asked.get(name)
    }


def by_ids(book_ids: Sequence[str]) -> Query:
    """The records of these ids, listed or not."""
    return Query.term_set_query(schema(), "id", [storable(each) for each in book_ids])


def similar_query(record: Record, vocabulary: Vocabulary, books: int) -> Query | None:
    """Books of the same authors, on the same subjects, with the same rarer words in their titles.

    None for a book that has nothing of these.
    """
    book = record.book
    assert book is not None
    wishes = [Query.boost_query(term("author_key", key(name)), 3.0) for name in book.authors[:8]]
    wishes += [Query.boost_query(term("subject", name), 2.0) for name in book.subjects[:16]]
    # A word that one book in twenty has tells nothing about this one.
    common = max(books // 20, 5)
    title = dict.fromkeys(w for w in index_words(book.title) if vocabulary.books(w) <= common)
    wishes += [_term("title", word, 1.0) for word in list(title)[:16]]
    if not wishes:
        return None
    return Query.boolean_query(
        [
            (Occur.Must, Query.boolean_query([(Occur.Should, wish) for wish in wishes])),
            (Occur.MustNot, term("id", record.book_id)),
        ]
    )


def _word_query(word: Word, vocabulary: Vocabulary) -> Query:
    # The word itself is asked of every field: the vocabulary may not have heard of it yet.
    parts = [_term(name, word.typed, weight) for name, weight in FIELD_WEIGHTS.items()]
    for near in word.near:
        weight = _WEIGHT_OF_ERRORS[near.errors]
        parts += _weighted(near.word, weight, vocabulary)
    if word.is_begun:
        frequent, _ = vocabulary.frequent_beginning_with(word.typed)
        for longer in frequent:
            parts += _weighted(longer, _WEIGHT_OF_BEGUN, vocabulary)
        parts += [
            Query.boost_query(begins(name, word.typed), weight * 0.1)
            for name, weight in FIELD_WEIGHTS.items()
        ]
    return Query.disjunction_max_query(parts, tie_breaker=_TIE_BREAKER)


def _weighted(word: str, weight: float, vocabulary: Vocabulary) -> list[Query]:
    return [_term(name, word, weight * FIELD_WEIGHTS[name]) for name in vocabulary.fields(word)]


def _corrections(words: Sequence[Word]) -> list[Sequence[str]]:
    """The likeliest readings of the whole text, if there is a word to correct."""
    if not any(word.near for word in words):
        return []
    choices = [[near.word for near in word.near[:_NEAREST]] or [word.typed] for word in words]
    return list(islice(product(*choices), _READINGS))


def _title_wishes(words: Sequence[str], *, begun: bool) -> list[Query]:
    title = title_key(" ".join(words))
    wishes = [
        Query.const_score_query(term("whole_title", title), WHOLE_TITLE),
        Query.const_score_query(term("main_title", title), _MAIN_TITLE),
    ]
    if begun:
        wishes.append(Query.boost_query(begins("whole_title", title), _TITLE_BEGINS))
    if len(words) > 1:
        phrase = Query.phrase_query(schema(), "title", list(words))
        wishes.append(Query.boost_query(phrase, _PHRASE))
    return wishes


def _term(field: str, word: str, weight: float) -> Query:
    return Query.boost_query(Query.term_query(schema(), field, word, "freq"), weight)

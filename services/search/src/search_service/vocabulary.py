"""The words that stand in the books: which exist, which begin so, which are a typing error away.

Guarantee: a word is at most one error from its corrections if it has 4 letters, two from 8 on; two
letters swapped are one error.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz.distance import OSA
from rapidfuzz.process import extract

MAX_CORRECTIONS = 12
MAX_COMPLETIONS = 40
_LETTERS_FOR_ONE_ERROR = 4
_LETTERS_FOR_TWO_ERRORS = 8


@dataclass(frozen=True, slots=True)
class Near:
    """A word of the vocabulary close to another one."""

    word: str
    errors: int
    books: int


def errors_forgiven(word: str) -> int:
    """Numbers are meant as they are typed: 1984 is not 1948."""
    if len(word) < _LETTERS_FOR_ONE_ERROR or word.isdigit():
        return 0
    return 1 if len(word) < _LETTERS_FOR_TWO_ERRORS else 2


class Vocabulary:
    """Words and in how many books each stands, by field: `{"title": [("emma", 3)]}`."""

    def __init__(self, fields: dict[str, Iterable[tuple[str, int]]]) -> None:
        self._fields: dict[str, tuple[str, ...]] = {}
        self._books: dict[str, int] = {}
        for name, words in fields.items():
            for word, books in words:
                self._fields[word] = (*self._fields.get(word, ()), name)
                self._books[word] = self._books.get(word, 0) + books
        self._sorted = sorted(self._books)
        self._by_length: defaultdict[int, list[str]] = defaultdict(list)
        for word in self._sorted:
            self._by_length[len(word)].append(word)
        # Customers make the same errors, and a page of results is often asked for again.
        self.near = lru_cache(maxsize=4096)(self._near)

    def __len__(self) -> int:
        return len(self._sorted)

    def books(self, word: str) -> int:
        """How many books have the word, about: those of late are not all counted out yet."""
        return self._books.get(word, 0)

    def fields(self, word: str) -> tuple[str, ...]:
        """The fields in which the word stands."""
        return self._fields.get(word, ())

    def beginning_with(self, prefix: str) -> Sequence[str]:
        """All words that go on from the prefix, itself left out, in the order of the alphabet."""
        start = bisect_left(self._sorted, prefix)
        # No word has a letter beyond this one, Unicode's last.
        end = bisect_left(self._sorted, prefix + "\U0010ffff")
        return self._sorted[start + (self._sorted[start:end][:1] == [prefix]) : end]

    def frequent_beginning_with(self, prefix: str) -> tuple[list[str], bool]:
        """The most frequent of these, and whether that is all of them."""
        words = self.beginning_with(prefix)
        if len(words) <= MAX_COMPLETIONS:
            return list(words), True
        return sorted(words, key=lambda word: (-self._books[word], word))[:MAX_COMPLETIONS], False

    def begun_near(self, prefix: str) -> list[Near]:
        """Words whose beginning is one error from `prefix`; their first letter is as typed."""
        if not errors_forgiven(prefix):
            return []
        beginnings: dict[str, int] = {}
        for word in self.beginning_with(prefix[0]):
            for length in (len(prefix) - 1, len(prefix), len(prefix) + 1):
                if len(word) >= length:
                    beginnings[word[:length]] = 1
        close = extract(prefix, beginnings.keys(), scorer=OSA.distance, score_cutoff=1, limit=None)
        words = {word for begun, _, _ in close for word in self.frequent_beginning_with(begun)[0]}
        found = [Near(word, 1, self._books[word]) for word in words]
        return sorted(found, key=lambda near: (-near.books, near.word))[:MAX_CORRECTIONS]

    def _near(self, word: str) -> tuple[Near, ...]:
        """The closest other words, by errors, then by how many books have them."""
        allowed = errors_forgiven(word)
        if not allowed:
            return ()
        found: list[Near] = []
        for length in range(len(word) - allowed, len(word) + allowed + 1):
            found += (
                Near(other, int(errors), self._books[other])
                for other, errors, _ in extract(
                    word,
                    self._by_length.get(length, ()),
                    scorer=OSA.distance,
                    score_cutoff=allowed,
                    limit=None,
                )
                if errors
            )
        found.sort(key=lambda near: (near.errors, -near.books, near.word))
        return tuple(found[:MAX_CORRECTIONS])

"""What customers might type to find a book that they have in mind, drawn from its title and author.

Guarantee: a question depends on the seed, its kind and its book alone, not on the sample.
"""

import random
import re
import string
from collections.abc import Callable
from enum import StrEnum

from search_service.index import Book

_WORD = re.compile(r"[^\W\d_]+")
_LETTERS_FOR_AN_ERROR = 4
_LETTERS_FOR_TWO_ERRORS = 8


class Kind(StrEnum):
    """A way to ask for a book."""

    EXACT = "exact title"
    SHORT = "title without series or subtitle"
    AUTHOR_AND_WORD = "author and one title word"
    ONE_ERROR = "title with one typing error"
    SHORT_ONE_ERROR = "short title with one typing error"
    TWO_ERRORS = "title with two typing errors"
    BEGUN = "title cut within a word"


def ask(kind: Kind, book: Book, seed: int) -> str | None:
    """The text that is typed; None if the book is no case of this kind."""
    return _ASK[kind](book, random.Random(f"{seed}/{kind}/{book.book_id}"))


def short_title(title: str) -> str:
    """`Mockingjay (The Hunger Games, #3)` is Mockingjay, `Faust: Part One` is Faust."""
    return title.partition(" (")[0].partition(":")[0].strip() or title


def misspell(text: str, errors: int, draw: random.Random) -> str | None:
    """Each error is a letter inserted, deleted, replaced or swapped with the next, in a word of at
    least 4 letters; several are in different words, or in one of at least 8. None if there is no
    such word.
    """
    words = [match.span() for match in _WORD.finditer(text)]
    long = [span for span in words if span[1] - span[0] >= _LETTERS_FOR_AN_ERROR]
    if len(long) >= errors:
        chosen = draw.sample(long, errors)
    else:
        chosen = [span for span in long if span[1] - span[0] >= _LETTERS_FOR_TWO_ERRORS] * errors
        if not chosen:
            return None
        chosen = chosen[:errors]
    # From the end, so that the earlier words stay where they are.
    for start, end in sorted(chosen, reverse=True):
        text = text[:start] + _edited(text[start:end], draw) + text[end:]
    return text


def _edited(word: str, draw: random.Random) -> str:
    """The word after one edit, which always changes it."""
    at = draw.randrange(len(word))
    letter = draw.choice([each for each in string.ascii_lowercase if each != word[at].lower()])
    swappable = [n for n in range(len(word) - 1) if word[n].lower() != word[n + 1].lower()]
    edit = draw.choice(["insert", "delete", "replace", *(["transpose"] if swappable else [])])
    if edit == "insert":
        return word[:at] + letter + word[at:]
    if edit == "delete":
        return word[:at] + word[at + 1 :]
    if edit == "replace":
        return word[:at] + letter + word[at + 1 :]
    at = draw.choice(swappable)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _short(book: Book, _: random.Random) -> str | None:
    short = short_title(book.title)
    return short if short != book.title else None


def _author_and_word(book: Book, draw: random.Random) -> str | None:
    words = [w for w in _WORD.findall(book.title) if len(w) >= _LETTERS_FOR_AN_ERROR]
    return f"{book.authors[0]} {draw.choice(words)}" if words else None


def _begun(book: Book, draw: random.Random) -> str | None:
    """Cut in the second half of the title: what is shorter may be the beginning of anything."""
    title = book.title
    cuts = [
        at
        for at in range(max(len(title) // 2, 2), len(title))
        if title[at - 1].isalpha() and title[at].isalpha()
    ]
    return title[: draw.choice(cuts)] if cuts else None


_ASK: dict[Kind, Callable[[Book, random.Random], str | None]] = {
    Kind.EXACT: lambda book, _: book.title,
    Kind.SHORT: _short,
    Kind.AUTHOR_AND_WORD: _author_and_word,
    Kind.ONE_ERROR: lambda book, draw: misspell(book.title, 1, draw),
    Kind.SHORT_ONE_ERROR: lambda book, draw: misspell(short_title(book.title), 1, draw),
    Kind.TWO_ERRORS: lambda book, draw: misspell(book.title, 2, draw),
    Kind.BEGUN: _begun,
}

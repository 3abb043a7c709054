"""Words of texts and of queries: folded to lower case without accents, cut at fixed limits.

Guarantee: any text whatever gives at most `MAX_QUERY_WORDS` words of a query, each of letters and
digits only, in time that does not grow beyond `MAX_QUERY_LETTERS`. Titles and queries are folded by
the same function, so what is typed as it is printed always matches.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

MAX_QUERY_LETTERS = 500
MAX_QUERY_WORDS = 16
MAX_WORD_LETTERS = 40

# Letters that Unicode does not take apart into a base letter and an accent.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i"}
)
# \w leaves out what hangs on letters: accents of their own, Hebrew and Arabic points, Indic and
# Thai vowels.
_LETTER = "(?:[^\\W_]|[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff\u0e31-\u0e4e])"
_APOSTROPHE = "['\u2019\u02bc\u2032`]"
_INITIALS = r"(?:(?<![^\W_])[^\W\d_]\.\s?){2,}"
# Chinese and Japanese put no spaces between words, so each sign counts as one.
_SIGN = "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
_TOKEN = re.compile(
    rf"(?P<initials>{_INITIALS})|(?P<sign>{_SIGN})"
    rf"|(?P<word>(?:(?!{_SIGN}){_LETTER})+(?:{_APOSTROPHE}(?:(?!{_SIGN}){_LETTER})+)*)"
)
# French and Italian articles that melt into the next word: l'étranger, dell'arte.
_ELISION = re.compile(rf"^(?:[cdjlmnst]|qu|dell|nell|all|un){_APOSTROPHE}(?=.{{3}})", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:the|an?|le|la|les|der|die|das|el|los|las|il|lo|gli) (?=.)")
_APOSTROPHES = re.compile(_APOSTROPHE)
_NOT_IN_ISBN = re.compile(r"[\s\u2010-\u2015-]")


@dataclass(frozen=True, slots=True)
class Token:
    """A stretch of a text and the words that it is found by, the whole one last."""

    start: int
    end: int
    words: tuple[str, ...]


def fold(text: str) -> str:
    """Lower case, without accents; compatibility forms are resolved (ﬁ becomes fi)."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(
        letter for letter in decomposed if unicodedata.category(letter)[0] != "M"
    ).translate(_LETTERS)


def tokens(text: str) -> Iterator[Token]:
    """Initials are one word and, before it, each a word of its own: J.K. is j, k and jk."""
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        chunk = match.group()
        if match.lastgroup == "initials":
            letters = tuple(fold(letter) for letter in chunk if letter.isalpha())
            trimmed = start + len(chunk.rstrip())
            yield Token(start, trimmed, (*letters, "".join(letters)[:MAX_WORD_LETTERS]))
            continue
        if word := _word(chunk):
            yield Token(start, end, (word,))


@lru_cache(maxsize=8192)  # Authors and subjects come again and again.
def index_words(text: str) -> tuple[str, ...]:
    """Every word by which a text is found, in its order."""
    return tuple(word for token in tokens(text) for word in token.words)


def query_words(text: str) -> list[str]:
    """The words of what a customer typed, at most `MAX_QUERY_WORDS`."""
    found = [token.words[-1] for token in tokens(text[:MAX_QUERY_LETTERS])]
    return found[:MAX_QUERY_WORDS]


@lru_cache(maxsize=8192)
def key(text: str) -> str:
    """What two texts share that differ in case, accents and punctuation only."""
    return " ".join(token.words[-1] for token in tokens(text))


def title_key(text: str) -> str:
    """As `key`, without an article at the beginning, which customers leave out."""
    folded = key(text)
    return _ARTICLE.sub("", folded)


def main_title(title: str) -> str:
    """The title without what follows a colon or stands in brackets at the end, folded."""
    bare = title.strip()
    if bare.endswith(")") and (start := bare.rfind("(")) > 0:
        bare = bare[:start]
    return title_key(bare.partition(":")[0]) or title_key(title)


def ends_within_word(text: str) -> bool:
    """Whether the last word may go on: nothing but letters, digits or an apostrophe follows."""
    return bool(text[:MAX_QUERY_LETTERS]) and not text[:MAX_QUERY_LETTERS][-1].isspace()


def isbn13(text: str) -> str | None:
    """The ISBN-13 that the text is, hyphens or not, ISBN-10 or 13; None if it is none."""
    digits = _NOT_IN_ISBN.sub("", text[:MAX_QUERY_LETTERS]).upper()
    if not digits.isascii():
        return None
    if len(digits) == 13 and digits.isdigit():
        return digits if _check_digit(digits) == digits[12] else None
    if len(digits) == 10 and digits[:9].isdigit() and (digits[9].isdigit() or digits[9] == "X"):
        weighted = sum((10 - at) * int(digit) for at, digit in enumerate(digits[:9]))
        if (weighted + (10 if digits[9] == "X" else int(digits[9]))) % 11 == 0:
            return f"978{digits[:9]}{_check_digit('978' + digits[:9])}"
    return None


def highlight(text: str, matches: Callable[[str], bool]) -> str | None:
    """The text as HTML with the words that match in `<mark>`; None if none does."""
    pieces: list[str] = []
    done = 0
    for token in tokens(text):
        if any(map(matches, token.words)):
            marked = html.escape(text[token.start : token.end])
            pieces += [html.escape(text[done : token.start]), "<mark>", marked, "</mark>"]
            done = token.end
    return "".join(pieces) + html.escape(text[done:]) if pieces else None


def storable(text: str) -> str:
    """Without halves of surrogate pairs, which are no text and cannot be encoded."""
    return text.encode(errors="replace").decode()


def _word(chunk: str) -> str:
    if chunk.isascii() and chunk.isalnum():
        return chunk.lower()[:MAX_WORD_LETTERS]
    bare = _ELISION.sub("", chunk)
    return _APOSTROPHES.sub("", fold(bare))[:MAX_WORD_LETTERS]


def _check_digit(digits: str) -> str:
    weighted = sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(digits[:12]))
    return str(-weighted % 10)

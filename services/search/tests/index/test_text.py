"""What a word is, and how much of a text is looked at."""

import pytest

from search_service.text import fold, highlight, index_words, isbn13, main_title, query_words


def test_query_has_at_most_sixteen_words() -> None:
    assert query_words("a b c d e f g h i j k l m n o p q r s t") == list("abcdefghijklmnop")


def test_nothing_beyond_the_first_five_hundred_letters_is_looked_at() -> None:
    assert query_words("." * 499 + "a b") == ["a"]


def test_long_word_is_cut_alike_in_books_and_queries() -> None:
    assert query_words("x" * 300) == ["x" * 40]
    assert index_words("x" * 300) == ("x" * 40,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("J.K. Rowling", ["jk", "rowling"]),
        ("Don't panic", ["dont", "panic"]),
        ("L'Étranger", ["etranger"]),
        ("rock'n'roll", ["rocknroll"]),
        ("Don Quijote: 2.ª parte", ["don", "quijote", "2", "a", "parte"]),
        ("snake_case/slash-dash", ["snake", "case", "slash", "dash"]),
        ("U.S.A", ["us", "a"]),
        ("", []),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    assert query_words(text) == words


@pytest.mark.parametrize(
    ("text", "folded"),
    [("ŁÓDŹ", "lodz"), ("Ærøskøbing", "aeroskobing"), ("ﬁn", "fin"), ("Straße", "strasse")],
)
def test_letters_are_folded(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("text", "isbn"),
    [
        ("9780141439518", "9780141439518"),
        ("978\u20110 14 143951 8", "9780141439518"),
        ("080442957x", "9780804429573"),
        ("9780141439517", None),
        ("0141439514", None),
        ("1984", None),
        ("\u0661" * 13, None),
    ],
)
def test_isbn_is_recognised_by_its_check_digit(text: str, isbn: str | None) -> None:
    assert isbn13(text) == isbn


@pytest.mark.parametrize(
    ("title", "main"),
    [
        ("The Hunger Games (The Hunger Games, #1)", "hunger games"),
        ("Faust: Part One", "faust"),
        ("(Untitled)", "untitled"),
        (": A Life", "life"),
        ("The", "the"),
    ],
)
def test_main_title_is_without_article_series_and_subtitle(title: str, main: str) -> None:
    assert main_title(title) == main


def test_highlight_without_a_match_is_none() -> None:
    assert highlight("Emma", lambda word: word == "nana") is None

"""The evaluation of the search: its questions, and a whole run on the classics."""

import json
import random
from pathlib import Path

import pytest
from rapidfuzz.distance import OSA
from typer.testing import CliRunner

from bookstore.cli import app
from bookstore.data import CLASSICS
from bookstore.search_eval.measure import books_of
from bookstore.search_eval.questions import Kind, ask, misspell, short_title


@pytest.mark.parametrize("errors", [1, 2])
def test_misspelt_title_has_as_many_errors_as_asked_for(errors: int) -> None:
    for seed in range(500):
        typed = misspell("The Adventures of Sherlock Holmes", errors, random.Random(seed))
        assert typed is not None
        distance = OSA.distance(typed, "The Adventures of Sherlock Holmes")
        assert distance == errors


def test_errors_are_in_words_of_four_letters_or_one_of_eight() -> None:
    draw = random.Random(1)
    assert misspell("It and Me", 1, draw) is None
    assert misspell("The Nana", 2, draw) is None
    assert misspell("Middlemarch", 2, draw) not in (None, "Middlemarch")
    for _ in range(100):
        typed = misspell("Of Mice and Men", 1, draw)
        assert typed is not None
        assert typed.startswith("Of ")
        assert typed.endswith(" and Men")


def test_same_seed_asks_the_same() -> None:
    books = books_of(CLASSICS)[:50]
    questions = [[ask(kind, book, 7) for kind in Kind for book in books] for _ in range(2)]
    assert questions[0] == questions[1]
    assert questions[0] != [ask(kind, book, 8) for kind in Kind for book in books]


def test_begun_title_is_cut_within_a_word() -> None:
    for book in books_of(CLASSICS):
        typed = ask(Kind.BEGUN, book, 1)
        if typed is not None:
            assert book.title.startswith(typed)
            assert typed[-1].isalpha()
            assert book.title[len(typed)].isalpha()


@pytest.mark.parametrize(
    ("title", "short"),
    [
        ("Mockingjay (The Hunger Games, #3)", "Mockingjay"),
        ("Faust: Part One", "Faust"),
        ("Emma", "Emma"),
        ("(Untitled)", "(Untitled)"),
    ],
)
def test_short_title_is_without_series_and_subtitle(title: str, short: str) -> None:
    assert short_title(title) == short


def test_classics_are_found_and_all_figures_are_in_the_json(tmp_path: Path) -> None:
    result = tmp_path / "run.json"
    arguments = ["search-eval", str(CLASSICS), "--sample", "40", "--json", str(result)]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    assert "exact title" in ran.stdout
    figures = json.loads(result.read_text())
    assert figures["seed"] == 1
    assert figures["search"]["exact title"]["hit_rate"] == 1.0
    assert figures["search"]["title with one typing error"]["hit_rate"] >= 0.9


def test_file_that_cannot_be_used_ends_with_2(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["search-eval", str(tmp_path / "none.csv")])
    assert ran.exit_code == 2

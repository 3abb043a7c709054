"""The simulation behind the figures for recommendations."""

import io
import random

from rich.console import Console

from bookstore.search_eval.recommendations_eval import (
    METHODS,
    evaluate_recommendations,
    render_recommendations,
)
from search_service.index import Book

SEED = 7


def book(number: int, *authors: str) -> Book:
    return Book(f"b{number}", f"t{number}", authors, (), "en", 1000, "EUR")


def books(count: int, topics: int) -> list[Book]:
    """Each book with an author of its shelf and a title that nothing else shares."""
    rng = random.Random(SEED)
    return [book(number, f"author {rng.randrange(topics)}") for number in range(count)]


def test_same_seed_gives_the_same_report() -> None:
    shelf = books(300, 30)
    first = evaluate_recommendations(shelf, SEED, customers=[100])
    assert evaluate_recommendations(shelf, SEED, customers=[100]) == first
    assert evaluate_recommendations(shelf, SEED + 1, customers=[100]) != first


def test_also_bought_finds_tastes_that_popularity_does_not() -> None:
    report = evaluate_recommendations(books(600, 60), SEED, customers=[1500])
    rates = {each.method: each.hit_rate for each in report.methods}
    assert rates["also bought"] > 1.5 * rates["popularity"]


def test_without_tastes_nothing_beats_popularity() -> None:
    """A simulation in which also-bought wins without anything to find would be broken."""
    alone = [book(number) for number in range(600)]
    report = evaluate_recommendations(alone, SEED, customers=[1500])
    rates = {each.method: (each.hit_rate, each.margin) for each in report.methods}
    best, margin = rates["popularity"]
    assert all(rate <= best + margin for rate, _ in rates.values())


def test_report_is_shown_a_row_a_method_with_its_seed() -> None:
    report = evaluate_recommendations(books(100, 10), SEED, customers=[50])
    output = io.StringIO()
    Console(width=100, file=output).print(render_recommendations(report))
    text = output.getvalue()
    assert f"seed {SEED}" in text
    assert all(method in text for method in METHODS)

"""Prints an evaluation as a table and writes it as JSON.

Guarantee: the JSON holds everything that the table shows, unrounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from bookstore.search_eval.measure import PLACES, Answers
from bookstore.search_eval.recommendations_eval import (
    RecommendationsReport,
    render_recommendations,
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One run."""

    machine: dict[str, Any]
    file: Path
    books: int
    sample: int
    seed: int
    seconds_to_index: float
    answers: Sequence[Answers]
    recommendations: RecommendationsReport


def show(run: Evaluation, console: Console) -> None:
    """The run's conditions and the table of what was found."""
    machine = run.machine
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}; {machine['busy_before_percent']:.0f} % busy before"
    )
    rate = run.books / run.seconds_to_index
    console.print(
        f"{run.file.name}: {run.books} books and their stock indexed in "
        f"{run.seconds_to_index:.1f} s ({rate:,.0f} books/s)\n"
        f"{run.sample} of them asked for, seed {run.seed}\n"
    )
    console.print(_table(run.answers))
    console.print(render_recommendations(run.recommendations))


def write_json(file: Path, run: Evaluation) -> None:
    """All figures, and each question that was missed beside the title it was about."""
    document = {
        "machine": run.machine,
        "file": run.file.name,
        "books": run.books,
        "sample": run.sample,
        "seed": run.seed,
        "seconds_to_index": run.seconds_to_index,
        "search": {answers.kind.value: _figures(answers) for answers in run.answers},
        "recommendations": [
            {
                "customers": each.customers,
                "method": each.method,
                "hit_rate": each.hit_rate,
                "margin": each.margin,
                "distinct_books": each.distinct_books,
            }
            for each in run.recommendations.methods
        ],
    }
    file.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


def _table(all_answers: Sequence[Answers]) -> Table:
    table = Table(title="search", title_justify="left")
    table.add_column("what is typed")
    for name in ("asked", f"hit@{PLACES}", "MRR", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right")
    for answers in all_answers:
        table.add_row(
            answers.kind,
            str(len(answers.ranks)),
            f"{answers.hit_rate:.3f}",
            f"{answers.reciprocal_rank:.3f}",
            f"{answers.milliseconds(0.5):.1f}",
            f"{answers.milliseconds(0.99):.1f}",
        )
    return table


def _figures(answers: Answers) -> dict[str, Any]:
    return {
        "asked": len(answers.ranks),
        "hit_rate": answers.hit_rate,
        "reciprocal_rank": answers.reciprocal_rank,
        "p50_milliseconds": answers.milliseconds(0.5),
        "p99_milliseconds": answers.milliseconds(0.99),
        "missed": [{"typed": text, "title": title} for text, title in answers.missed],
    }

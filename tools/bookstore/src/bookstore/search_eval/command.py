"""`bookstore search-eval` as the terminal sees it.

Guarantee: the exit code tells whether it could be measured (0) or not (2), never how well it went;
the tables are on stdout, progress is on stderr.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from bookstore.bench import machine
from bookstore.catalog_import import UsageError
from bookstore.search_eval import report
from bookstore.search_eval.measure import Progress, ask_all, books_of, fill
from bookstore.search_eval.recommendations_eval import evaluate_recommendations
from bookstore.search_eval.report import Evaluation
from search_service.tantivy_index import TantivyIndex


def run_search_eval(file: Path, sample: int, seed: int, json_file: Path | None) -> None:
    """Measure, print, and write the JSON file if there is to be one."""
    try:
        run = asyncio.run(_evaluate(file, sample, seed))
        report.show(run, Console())
        if json_file is not None:
            report.write_json(json_file, run)
    except UsageError as error:
        print(f"bookstore: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except OSError as error:
        print(f"bookstore: {error.filename}: {error.strerror or error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


async def _evaluate(file: Path, sample: int, seed: int) -> Evaluation:
    described = machine.describe()
    books = books_of(file)
    with tempfile.TemporaryDirectory(prefix="bookstore-search-") as folder, _bar() as progress:
        index = TantivyIndex(Path(folder))
        try:
            seconds = await fill(index, books, progress)
            answers = await ask_all(index, books, sample, seed, progress)
        finally:
            await index.close()
        progress("simulating customers", 0, 1)
        recommendations = await asyncio.to_thread(evaluate_recommendations, books, seed)
    asked_for = min(sample, len(books))
    return Evaluation(
        described, file, len(books), asked_for, seed, seconds, answers, recommendations
    )


@contextmanager
def _bar() -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with ProgressBar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def move(what: str, done: int, of: int) -> None:
            bar.update(task, description=what, completed=done, total=of)

        yield move

"""`bookstore catalog import` as the terminal sees it: progress, bad rows, summary, exit code.

Guarantee: 0 if every row is in the catalog, 1 if some are not, 2 for what the user has to change,
130 after Ctrl-C; one line a fault on stderr, the summary alone on stdout, never a traceback.
"""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bookstore.addresses import service_url
from bookstore.catalog_import.books import Defaults
from bookstore.catalog_import.columns import parse_overrides
from bookstore.catalog_import.errors import CatalogImportError, RowError, UsageError
from bookstore.catalog_import.importer import (
    ImportReport,
    Options,
    ProgressListener,
    import_books,
)
from bookstore.catalog_import.rows import Format
from bookstore.catalog_import.values import BadValueError
from bookstore.catalog_import.values import currency as currency_code

_SECONDS_BETWEEN_LINES = 2.0


def run_import(
    file: Path,
    url: str | None,
    *,
    overrides: Sequence[str] = (),
    format_: Format | None = None,
    currency: str = "EUR",
    require_price: bool = False,
    dry_run: bool = False,
    errors_file: Path | None = None,
) -> None:
    """Import and tell the user; raises typer.Exit with the code to end with."""
    last: list[ImportReport] = []
    try:
        defaults = Defaults(_checked_currency(currency), require_price)
        options = Options(format_, parse_overrides(overrides), defaults, dry_run)
        if errors_file is not None:
            _write_errors(errors_file, file, [])  # A path that cannot be written fails up front.
        with _progress(last) as listener:
            report = asyncio.run(import_books(file, service_url("catalog", url), listener, options))
    except CatalogImportError as error:
        _end(last, file, errors_file)
        _say(f"{error}{_how_far(last)}")
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        _end(last, file, errors_file)
        _say(f"stopped{_how_far(last)}")
        raise typer.Exit(130) from None
    _end([report], file, errors_file)
    _print_summary(report, dry_run=dry_run)
    clean = not (report.bad_rows or report.duplicates) if dry_run else report.clean
    raise typer.Exit(0 if clean else 1)


def _checked_currency(code: str) -> str:
    try:
        return currency_code(code, code)
    except BadValueError as error:
        raise UsageError(f"--currency: {error}") from None


@contextmanager
def _progress(last: list[ImportReport]) -> Iterator[ProgressListener]:
    """A bar on a terminal, else a line every other second; `last` keeps the newest report."""
    console = Console(stderr=True)
    if not console.is_terminal:
        next_line = time.monotonic() + _SECONDS_BETWEEN_LINES

        def print_line(report: ImportReport) -> None:
            nonlocal next_line
            last[:] = [report]
            if time.monotonic() >= next_line:
                next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
                _say(f"{report.sent} of {report.books} books sent")

        yield print_line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None, rate="")

        def move_bar(report: ImportReport) -> None:
            last[:] = [report]
            rate = f"{report.sent / report.seconds:,.0f} books/s" if report.seconds else ""
            bar.update(
                task,
                description="importing",
                total=report.books,
                completed=report.sent,
                rate=rate,
            )

        yield move_bar


def _end(reports: Sequence[ImportReport], file: Path, errors_file: Path | None) -> None:
    """Each row that is not in the catalog on stderr; those and the warnings in the errors file."""
    for report in reports:
        errors = sorted(report.errors, key=lambda error: error.line)
        for error in errors:
            if error.severity != "warning":
                _say(f"{file}:{error.line}: {error.why}")
        if errors_file is not None:
            _write_errors(errors_file, file, errors)


def _write_errors(errors_file: Path, file: Path, errors: Sequence[RowError]) -> None:
    lines = (
        orjson.dumps(
            {
                "file": str(file),
                "line": error.line,
                "severity": error.severity,
                "why": error.why,
            }
        )
        for error in errors
    )
    try:
        errors_file.write_bytes(b"".join(line + b"\n" for line in lines))
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(f"--errors {errors_file}: cannot be written ({why})") from None


def _how_far(reports: Sequence[ImportReport]) -> str:
    if not reports or not reports[0].books:
        return ""
    report = reports[0]
    return (
        f"; {report.sent} of {report.books} books were sent, "
        "run it again for the rest: nothing is listed twice"
    )


def _print_summary(report: ImportReport, *, dry_run: bool) -> None:
    rate = report.rows / report.seconds if report.seconds else 0.0
    print(f"{report.path}: {report.rows} rows in {report.seconds:.1f} s ({rate:,.0f} rows/s)")
    used = ", ".join(
        name if columns == (name,) else f"{name} from {'/'.join(columns)}"
        for name, columns in report.columns.items()
    )
    print(f"  columns    {used}")
    if dry_run:
        print(f"  good       {report.books} (dry run, nothing was sent)")
    else:
        print(f"  created    {report.created}")
        print(f"  updated    {report.updated}")
        print(f"  unchanged  {report.unchanged}")
        print(f"  rejected   {report.rejected}")
    print(f"  bad rows   {report.bad_rows}")
    print(f"  duplicates {report.duplicates}")
    if report.without_isbn:
        print(
            f"  warning    {report.without_isbn} books without an ISBN "
            f"({report.invalid_isbn} of them had an invalid one)"
        )
    if report.unknown_languages:
        print(f"  warning    {report.unknown_languages} languages not understood, taken as 'und'")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

"""Imports a file of books into the catalog through its public API.

Guarantee: each good row reaches the catalog, each bad one is in the report with its line and the
reason, and importing the file again, also after an interruption, lists nothing twice.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bookstore.catalog_import.books import Book, Books, Defaults, collect_books
from bookstore.catalog_import.client import CatalogClient, Outcome, Retries
from bookstore.catalog_import.columns import Columns, match_columns
from bookstore.catalog_import.errors import RowError, UsageError
from bookstore.catalog_import.rows import Format, read_table

BOOKS_PER_REQUEST = 200  # The contract allows 500; smaller ones move the progress bar sooner.
REQUESTS_AT_ONCE = 4
REQUEST_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """How to read the file and how hard to try; the defaults fit most files."""

    format: Format | None = None
    columns: dict[str, str] = field(default_factory=dict)  # field -> column, as --map says
    defaults: Defaults = field(default_factory=Defaults)
    dry_run: bool = False
    retries: Retries = field(default_factory=Retries)


@dataclass(slots=True)
class ImportReport:
    """What became of each row; it grows while the import runs.

    `errors` holds bad rows, duplicates, warnings and the books that the catalog rejected, and is in
    the order of the lines once the import has ended.
    """

    path: Path
    columns: Columns
    books: int
    without_isbn: int
    invalid_isbn: int
    unknown_languages: int
    errors: list[RowError]
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    seconds: float = 0.0

    @property
    def sent(self) -> int:
        """Books whose outcome is known."""
        return self.created + self.updated + self.unchanged + self.rejected

    @property
    def bad_rows(self) -> int:
        """Rows that are no book; those that the catalog rejected count apart."""
        return sum(error.severity == "error" for error in self.errors) - self.rejected

    @property
    def duplicates(self) -> int:
        return sum(error.severity == "duplicate" for error in self.errors)

    @property
    def rows(self) -> int:
        return self.books + self.bad_rows + self.duplicates

    @property
    def clean(self) -> bool:
        """True when every row of the file is a book in the catalog."""
        return self.sent == self.books == self.rows and not self.rejected


ProgressListener = Callable[[ImportReport], None]


def read_books(path: Path, options: Options) -> tuple[Books, Columns]:
    """The books of a file, without sending any. Raises UsageError."""
    table = read_table(path, options.format)
    try:
        columns = match_columns(table.columns, options.columns)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return collect_books(table.rows, columns, options.defaults), columns


async def import_books(
    path: Path,
    url: str,
    on_progress: ProgressListener | None = None,
    options: Options | None = None,
) -> ImportReport:
    """Import `path` into the catalog at `url`; `on_progress` gets the report as it grows.

    Raises UsageError before anything is sent, CatalogUnavailableError when the catalog stops
    answering; what was sent until then is in the report that `on_progress` got last.
    """
    options = options or Options()
    listener = on_progress or (lambda _: None)
    started = time.monotonic()
    found, columns = await asyncio.to_thread(read_books, path, options)
    report = ImportReport(
        path=path,
        columns=columns,
        books=len(found.books),
        without_isbn=found.notes["isbn missing"] + found.notes["isbn invalid"],
        invalid_isbn=found.notes["isbn invalid"],
        unknown_languages=found.notes["language unknown"],
        errors=found.errors,
    )
    listener(report)

    def record(outcomes: Sequence[Outcome]) -> None:
        _add(report, outcomes)
        report.seconds = time.monotonic() - started
        listener(report)

    if not options.dry_run:
        await _send_all(found.books, url, options.retries, record)
    report.seconds = time.monotonic() - started
    report.errors.sort(key=lambda error: error.line)
    return report


async def _send_all(
    books: Sequence[Book], url: str, retries: Retries, record: Callable[[Sequence[Outcome]], None]
) -> None:
    """A few requests at a time; the first failure stops all of them."""
    batches = iter(
        [books[at : at + BOOKS_PER_REQUEST] for at in range(0, len(books), BOOKS_PER_REQUEST)]
    )
    async with httpx.AsyncClient(
        base_url=_checked_url(url), timeout=REQUEST_TIMEOUT_SECONDS, trust_env=False
    ) as http:
        client = CatalogClient(http, retries)

        async def send_from_queue() -> None:
            for batch in batches:
                record(await client.put_books(batch))

        workers = [asyncio.create_task(send_from_queue()) for _ in range(REQUESTS_AT_ONCE)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


def _checked_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UsageError(f"--url {url}: not an address ({error})") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UsageError(f"--url {url}: write an address such as http://127.0.0.1:8002")
    return parsed


def _add(report: ImportReport, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        match outcome.outcome:
            case "created":
                report.created += 1
            case "updated":
                report.updated += 1
            case "unchanged":
                report.unchanged += 1
            case _:
                report.rejected += 1
                why = f"rejected by the catalog: {outcome.why}"
                report.errors.append(RowError(outcome.book.line, why))

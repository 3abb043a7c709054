"""Against a catalog: outcomes, retries, running again, and the command's exit codes."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bookstore.catalog_import import CatalogUnavailableError, ImportReport, Options, import_books
from bookstore.catalog_import.client import Retries
from bookstore.catalog_import.importer import REQUESTS_AT_ONCE

Written = Callable[[str, str | bytes], Path]
FAST = Options(retries=Retries(attempts=4, first_wait_seconds=0.01, max_wait_seconds=0.02))


def many_books(count: int) -> str:
    return "title,author\n" + "".join(f"Title {n},Ann\n" for n in range(count))


def outcomes(report: ImportReport) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, report.rejected


async def run_command(*arguments: object) -> tuple[int, str, str]:
    process = await start_command(*arguments)
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def start_command(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from bookstore.cli import app; app()", "catalog", "import",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "CATALOG_URL": "", "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


async def test_a_second_run_leaves_everything_unchanged(catalog: Any, written: Written) -> None:
    path = written("b.csv", many_books(1234))
    seen: list[int] = []
    report = await import_books(path, catalog.url, lambda each: seen.append(each.sent), FAST)
    assert outcomes(report) == (1234, 0, 0, 0)
    assert report.clean
    assert seen[0] == 0
    assert seen[-1] == 1234
    assert seen == sorted(seen)
    again = await import_books(path, catalog.url, options=FAST)
    assert outcomes(again) == (0, 0, 1234, 0)
    assert len(catalog.books) == 1234


async def test_requests_at_once_are_bounded(catalog: Any, written: Written) -> None:
    await import_books(written("b.csv", many_books(3000)), catalog.url, options=FAST)
    assert 1 <= catalog.most_busy <= REQUESTS_AT_ONCE


async def test_passing_failures_are_retried(catalog: Any, written: Written) -> None:
    catalog.failures = [503, 429, 502]
    report = await import_books(written("b.csv", many_books(10)), catalog.url, options=FAST)
    assert outcomes(report) == (10, 0, 0, 0)
    assert catalog.requests == 4


async def test_a_catalog_that_stays_down_ends_the_import(catalog: Any, written: Written) -> None:
    catalog.failures = [503] * 4
    with pytest.raises(CatalogUnavailableError, match="503"):
        await import_books(written("b.csv", many_books(10)), catalog.url, options=FAST)
    assert catalog.requests == 4


async def test_an_address_without_a_catalog_is_said_plainly(catalog: Any, written: Written) -> None:
    path = written("b.csv", many_books(1))
    catalog.failures = [404]
    with pytest.raises(CatalogUnavailableError, match="--url"):
        await import_books(path, catalog.url, options=FAST)
    with pytest.raises(CatalogUnavailableError, match="make up"):
        await import_books(path, "http://127.0.0.1:1", options=FAST)


async def test_a_rejected_book_is_reported_with_its_line(catalog: Any, written: Written) -> None:
    catalog.rejected_title = "Title 7"
    report = await import_books(written("b.csv", many_books(10)), catalog.url, options=FAST)
    assert outcomes(report) == (9, 0, 0, 1)
    assert [(error.line, error.why) for error in report.errors] == [
        (9, "rejected by the catalog: not in this shop")
    ]
    assert (report.bad_rows, report.rows, report.clean) == (0, 10, False)


async def test_a_book_that_spoils_its_batch_is_isolated(catalog: Any, written: Written) -> None:
    catalog.poison_title = "Title 123"
    report = await import_books(written("b.csv", many_books(300)), catalog.url, options=FAST)
    assert outcomes(report) == (299, 0, 0, 1)
    assert [error.line for error in report.errors] == [125]


async def test_command_exits_0_when_all_is_in(catalog: Any, written: Written) -> None:
    code, out, err = await run_command(written("b.csv", many_books(3)), "--url", catalog.url)
    assert (code, err) == (0, "")
    assert "created    3" in out


async def test_command_exits_1_and_names_bad_rows(
    catalog: Any, written: Written, tmp_path: Path
) -> None:
    path = written("b.csv", "title,author,isbn\nA,Ann,\n,Bob,\nA,Ann,\nD,Dan,123456788\n")
    errors = tmp_path / "errors.jsonl"
    code, out, err = await run_command(path, "--url", catalog.url, "--errors", errors)
    assert code == 1
    assert err.splitlines()[0] == f"{path}:3: has no title"
    assert err.splitlines()[1].startswith(f"{path}:4: duplicate")
    assert "created    2" in out
    lines = [json.loads(line) for line in errors.read_text().splitlines()]
    assert [(line["line"], line["severity"]) for line in lines] == [
        (3, "error"), (4, "duplicate"), (5, "warning"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [["none.csv"], ["{file}", "--map", "year"], ["{file}", "--map", "year=jahr"],
     ["{file}", "--currency", "euro"], ["{file}", "--errors", "/no/such/folder/e"],
     ["{file}", "--format", "xml"], ["{file}", "--url", "ftp://x"]],
)  # fmt: skip
async def test_command_exits_2_without_a_traceback(written: Written, arguments: list[str]) -> None:
    path = written("b.csv", many_books(1))
    code, _, err = await run_command(*(each.format(file=path) for each in arguments))
    assert code == 2
    assert "Traceback" not in err
    assert err.strip()


async def test_dry_run_sends_nothing(catalog: Any, written: Written) -> None:
    code, out, _ = await run_command(
        written("b.csv", many_books(3)), "--url", catalog.url, "--dry-run"
    )
    assert code == 0
    assert "good       3" in out
    assert catalog.requests == 0


async def test_ctrl_c_says_how_far_it_got(catalog: Any, written: Written) -> None:
    catalog.hold = asyncio.Event()
    path = written("b.csv", many_books(10))
    process = await start_command(path, "--url", catalog.url)
    try:
        async with asyncio.timeout(60):
            await catalog.asked.wait()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    finally:
        catalog.hold.set()
    assert process.returncode == 130
    assert err.decode() == (
        "stopped; 0 of 10 books were sent, run it again for the rest: nothing is listed twice\n"
    )

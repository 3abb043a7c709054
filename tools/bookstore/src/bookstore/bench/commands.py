"""`bookstore bench` and `bookstore bench-peers`, as the command line runs them.

Guarantee: the exit code tells whether it could be measured (0) or not (2), never how fast it was.
"""

import asyncio
from pathlib import Path

from rich.console import Console

from bookstore.bench import peers, report, scenario
from bookstore.bench.marks import marks_of
from bookstore.stack_commands import told_plainly

console = Console()


def run_bench(options: scenario.Options, json_file: Path | None) -> None:
    """Measure, print, and write the JSON file if there is to be one."""
    with told_plainly():
        result = asyncio.run(scenario.run(options, _say))
    report.show(result, console)
    if json_file is not None:
        report.write_json(json_file, result, marks_of(result))


def run_bench_peers(
    sagas: int, rounds: int, clients: int, seed: int, json_file: Path | None
) -> None:
    """Compare, print, and write the JSON file if there is to be one."""
    with told_plainly():
        result = asyncio.run(peers.compare(sagas, rounds, clients, seed, _say))
    report.show_comparison(result, console)
    if json_file is not None:
        report.write_json(json_file, result, result.marks())


def _say(text: str) -> None:
    console.print(f"[dim]{text} ...[/]")

"""The scorecard: one line a check, and for each broken rule what, why and where to read.

Guarantee: what stands in it is what the checks saw; nothing is left out to look better.
"""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.run import Report
from conformance.verdicts import Result, Verdict

_MARKS = {
    Verdict.PASSED: ("✓ passed", "green"),
    Verdict.FAILED: ("✗ FAILED", "bold red"),
    Verdict.NOT_APPLICABLE: ("- not applicable", "dim"),
    Verdict.NOT_RUN: ("  not run", "yellow"),
}


def show(report: Report, console: Console) -> None:
    """Print one participant's scorecard."""
    title = f"{report.name}, {report.seconds:.1f} s"
    table = Table(title=title, title_justify="left", box=None, expand=True)
    table.add_column("check", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("seen", overflow="ellipsis", no_wrap=True, ratio=1)
    table.add_column("s", justify="right", no_wrap=True)
    for result in report.results:
        mark, style = _MARKS[result.verdict]
        table.add_row(
            result.check.name,
            Text(mark, style=style),
            Text(result.seen),
            f"{result.seconds:.1f}",
        )
    console.print(table)
    for result in report.results:
        if result.verdict is Verdict.FAILED:
            _explain(result, console)
    console.print()


def _explain(result: Result, console: Console) -> None:
    lines = (
        ("rule", result.check.proves),
        ("expected", result.expected or ""),
        ("seen", result.seen),
        ("why", result.check.why),
        ("read", result.check.read),
    )
    console.print(Text(f"\n✗ {result.check.name}", style="bold red"))
    for label, text in lines:
        console.print(Text(f"  {label + ':':<10}{text}"), soft_wrap=True)


def summary(reports: Sequence[Report]) -> str:
    """One line about all of them."""
    results = [result for report in reports for result in report.results]
    counts = {verdict: sum(result.verdict is verdict for result in results) for verdict in Verdict}
    parts = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    return f"{len(reports)} participant(s): {', '.join(parts)}"


def as_json(reports: Sequence[Report]) -> str:
    """The same for programs."""
    return json.dumps({"participants": [_plain(report) for report in reports]}, indent=2)


def _plain(report: Report) -> dict[str, Any]:
    return {
        "name": report.name,
        "seconds": round(report.seconds, 2),
        "checks": [
            {
                "check": result.check.name,
                "verdict": result.verdict.value,
                "proves": result.check.proves,
                "seen": result.seen,
                "seconds": round(result.seconds, 2),
                **({"expected": result.expected} if result.expected else {}),
            }
            for result in report.results
        ],
    }

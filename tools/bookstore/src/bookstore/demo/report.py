"""The demo's three tables: one order's timeline, the outcomes, the balance sheet.

Guarantee: pure rendering; 100 columns hold each of them, and what is wrong stands out in red.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bookstore.balance import Check
from bookstore.balance.checks import money
from bookstore.demo.outcomes import Row

SERVICE_COLORS = {"order": "green", "catalog": "cyan", "payment": "magenta"}
# A message or a saga that is stuck makes money and stock differ too: it is named first.
CAUSES = frozenset({"I4", "I5"})
GOOD, BAD = "[green]✓[/]", "[bold red]✗[/]"


def timeline_table(order: Mapping[str, Any]) -> RenderableType:
    """An order's way through the services: who told whom what, when."""
    total = order["total"]
    copies = sum(line["quantity"] for line in order["lines"])
    title = (
        f"One order's timeline: {order['order_id']}, {copies} "
        f"{'copy' if copies == 1 else 'copies'}, "
        f"{money(total['amount_minor'], total['currency'])}, {order['status']}"
    )
    table = plain_table(title)
    table.add_column("offset", justify="right", width=10)
    table.add_column("saga", width=12)
    table.add_column("from → to", width=18)
    table.add_column("message", width=18)
    table.add_column("", ratio=1)
    entries: Sequence[Mapping[str, Any]] = order.get("timeline") or []
    start = _moment(entries[0]) if entries else None
    asked: dict[tuple[str, str | None], datetime] = {}
    last_saga = ""
    for entry in entries:
        at = _moment(entry)
        assert start is not None
        saga = entry["saga"] if entry["saga"] != last_saga else ""
        if saga and last_saga:
            table.add_section()
        last_saga = entry["saga"]
        key = (entry["saga"], entry.get("step"))
        remark = _remark(entry, at, asked.get(key))
        if entry["event"].startswith("sent"):
            asked[key] = at
        offset = f"+{(at - start).total_seconds() * 1000:,.0f} ms"
        table.add_row(
            offset, f"[bold]{saga}[/]", _way(entry), entry.get("message", ""), f"[dim]{remark}[/]"
        )
    return table


def _moment(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["at"])


def _way(entry: Mapping[str, Any]) -> Text:
    service = entry.get("service", "")
    if entry["event"] == "received":
        return Text.assemble(_service(service), " → ", _service("order"))
    if entry["event"].startswith("sent"):
        return Text.assemble(_service("order"), " → ", _service(service))
    if service:
        return Text.assemble(_service(service), " → all")
    return Text.assemble(_service("order"))


def _service(name: str) -> tuple[str, str]:
    return name, SERVICE_COLORS.get(name, "default")


def _remark(entry: Mapping[str, Any], at: datetime, asked: datetime | None) -> str:
    if entry["event"] == "received" and asked is not None:
        return f"answered in {(at - asked).total_seconds() * 1000:,.0f} ms"
    if entry["event"] == "sent":
        return f"step {_step(entry)}"
    return f"{entry['event']} {_step(entry)}".strip().replace("_", " ")


def _step(entry: Mapping[str, Any]) -> str:
    return str(entry.get("step") or "").replace("_", " ")


def outcomes_table(rows: Sequence[Row]) -> RenderableType:
    """What was expected of each scenario, what it came to, and how long that took."""
    table = plain_table("Outcomes")
    table.add_column("", width=1)
    table.add_column("scenario", width=28)
    table.add_column("expected", ratio=1)
    table.add_column("got", width=8 if all(row.as_expected for row in rows) else 24)
    table.add_column("p50", justify="right", width=7)
    table.add_column("p99", justify="right", width=7)
    for row in rows:
        good = row.as_expected
        expected = _tally(row.scenario.expected)
        got = "the same" if good else f"[red]{_tally(row.got) or 'nothing'}[/]"
        table.add_row(
            GOOD if good else BAD, row.scenario.title, expected, got,
            _seconds(row.p50_seconds), _seconds(row.p99_seconds),
        )  # fmt: skip
    return table


def _tally(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{count} {_in_words(outcome)}"
        for outcome, count in sorted(counts.items(), key=_words_first)
        if count
    )


def _words_first(counted: tuple[str, int]) -> tuple[bool, str]:
    return counted[0][:1].isdigit(), counted[0]


def _in_words(outcome: str) -> str:
    """'402 card_declined' is an answer's status and code; other outcomes are words already."""
    status = outcome.partition(" ")[0]
    return f"HTTP {status}" if status.isdigit() else outcome.replace("_", " ")


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def balance_table(checks: Sequence[Check]) -> RenderableType:
    """The invariants over all data of the stack."""
    table = plain_table("Balance sheet, over everything this stack has ever done")
    table.add_column("", width=1)
    table.add_column("", width=2, style="dim")
    table.add_column("invariant", ratio=1, no_wrap=True)
    table.add_column("counted", justify="right", width=20)
    table.add_column("must be", justify="right", width=16)
    previous = ""
    for check in checks:
        name = check.invariant if check.invariant != previous else ""
        previous = check.invariant
        counted = check.counted if check.holds else f"[bold red]{check.counted}[/]"
        table.add_row(GOOD if check.holds else BAD, name, check.claim, counted, check.must_be)
    return table


def plain_table(title: str) -> Table:
    """What all of the demo's tables look like."""
    return Table(
        title=Text(title, "bold"),
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 1),
        header_style="dim",
        expand=True,
    )


def first_failure(rows: Sequence[Row], checks: Sequence[Check]) -> str | None:
    """The one line that says what is wrong and what to look at; None if nothing is."""
    broken = [check for check in checks if not check.holds]
    if broken:
        check = min(broken, key=lambda each: (each.invariant not in CAUSES, each.invariant))
        return (
            f"{check.invariant}, {check.claim}: {check.counted} instead of {check.must_be}; "
            f"look at {check.look_at}"
        )
    for row in rows:
        if not row.as_expected:
            return (
                f"{row.scenario.title}: {_tally(row.got) or 'nothing'} instead of "
                f"{_tally(row.scenario.expected)}; look at the logs of order-worker and of "
                "payment-worker"
            )
    return None

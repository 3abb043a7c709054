"""Prints a run as tables and writes it as JSON.

Guarantee: the JSON holds everything that the tables show, unrounded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from bookstore.bench.marks import Mark, marks_of
from bookstore.bench.peers import Comparison
from bookstore.bench.scenario import Phase, Report

TITLES = {
    "closed": "closed loop",
    "closed_without_keys": "closed, without keys",
    "open": "open loop",
}


def show(report: Report, console: Console) -> None:
    """All tables of a run."""
    console.print(machine_line(report.machine))
    options = report.options
    console.print(
        f"closed loop: {options.orders} orders by {options.clients} clients, each waiting for the "
        f"outcome; open loop: {options.rate:g} orders/s for {options.seconds:g} s, Poisson "
        f"arrivals; Idempotency-Key: {'yes' if options.keys else 'no'}; seed {options.seed}\n"
    )
    phases = list(report.phases.items())
    for table in (_speed(phases), _cpu(phases), _calls(phases), _at_rest(report)):
        console.print(table)
    show_marks(marks_of(report), console)


def show_comparison(comparison: Comparison, console: Console) -> None:
    """The turns of a comparison and what follows from them."""
    console.print(machine_line(comparison.machine))
    versions = ", ".join(f"{name} {number}" for name, number in comparison.peer_versions.items())
    settings = ", ".join(f"{name}={value}" for name, value in comparison.peer_settings.items())
    console.print(
        f"DBOS: {versions}; {settings}; its payment steps call nobody.\n"
        "Ours: HTTP, bus, queues, ledger, and a simulated payment gateway over HTTP.\n"
    )
    table = _table(
        "saga work",
        ["turn", "sagas", "sagas/s", "CPU ms a saga", "of it PostgreSQL", "p50 ms", "p99 ms"],
    )
    for turn in comparison.rounds:
        table.add_row(
            turn.who,
            str(turn.sagas),
            f"{turn.sagas_per_second:.0f}",
            f"{turn.cpu_ms:.2f}",
            f"{turn.postgres_cpu_ms:.2f}",
            f"{turn.latency_ms.p50_ms:.1f}",
            f"{turn.latency_ms.p99_ms:.1f}",
        )
    console.print(table)
    show_marks(comparison.marks(), console)


def machine_line(machine: Any) -> str:
    """One line on the machine and on how busy it was before."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"{machine['system']}, Python {machine['python']}; others used "
        f"{machine['busy_before_percent']:.0f} % of the processors just before"
    )


def show_marks(marks: Iterable[Mark], console: Console) -> None:
    """Marks, met or not."""
    table = _table("marks", ["mark", "measured"])
    for mark in marks:
        table.add_row(mark.name, f"[{'green' if mark.is_met else 'red'}]{mark}[/]")
    console.print(table)


def write_json(path: Path, report: Any, marks: Sequence[Mark]) -> None:
    """The run as a document; `report` is a dataclass."""
    document = {
        **asdict(report),
        "marks": [{**asdict(mark), "is_met": mark.is_met} for mark in marks],
    }
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _titles(phases: Sequence[tuple[str, Phase]]) -> list[str]:
    return [TITLES.get(name, name) for name, _ in phases]


def _speed(phases: Sequence[tuple[str, Phase]]) -> Table:
    table = _table("speed", ["", *_titles(phases)])
    found = [phase for _, phase in phases]
    table.add_row("orders", *(str(phase.orders) for phase in found))
    table.add_row(
        "orders/s",
        *(
            "as given" if name == "open" else f"{phase.orders_per_second:.0f}"
            for name, phase in phases
        ),
    )
    for title, spreads in (
        ("answer to POST /orders", [phase.answer_ms for phase in found]),
        ("stored to confirmed", [phase.confirmed_ms for phase in found]),
    ):
        table.add_row(f"{title}, p50 ms", *(f"{spread.p50_ms:.1f}" for spread in spreads))
        table.add_row(f"{title}, p99 ms", *(f"{spread.p99_ms:.1f}" for spread in spreads))
        table.add_row(f"{title}, max ms", *(f"{spread.max_ms:.1f}" for spread in spreads))
    return table


def _cpu(phases: Sequence[tuple[str, Phase]]) -> Table:
    table = _table("CPU milliseconds an order", ["process", *_titles(phases)])
    found = [phase for _, phase in phases]
    for process in sorted(found[0].cpu_ms, key=lambda name: -found[0].cpu_ms[name]):
        table.add_row(process, *(f"{phase.cpu_ms[process]:.2f}" for phase in found))
    table.add_section()
    table.add_row("sum", *(f"{phase.cpu_ms_total:.2f}" for phase in found), style="bold")
    table.add_section()
    table.add_row(
        "not in it: load generator", *(f"{phase.generator_cpu_ms:.2f}" for phase in found)
    )
    table.add_row("not in it: supervisor", *(f"{phase.supervisor_cpu_ms:.2f}" for phase in found))
    table.add_row(
        "the machine's share that others used",
        *(f"{phase.others_percent:.0f} %" for phase in found),
    )
    return table


def _calls(phases: Sequence[tuple[str, Phase]]) -> Table:
    table = _table("calls an order", ["to", *_titles(phases)])
    found = [phase for _, phase in phases]
    operations = {name for phase in found for name in phase.aws_calls}
    for operation in sorted(operations, key=lambda name: -found[0].aws_calls.get(name, 0)):
        table.add_row(
            f"AWS {operation}", *(f"{phase.aws_calls.get(operation, 0):.2f}" for phase in found)
        )
    table.add_row("AWS, sum", *(f"{phase.aws_calls_total:.2f}" for phase in found), style="bold")
    table.add_section()
    for database in sorted(found[0].commits):
        table.add_row(
            f"commits in {database}", *(f"{phase.commits[database]:.2f}" for phase in found)
        )
    table.add_row("commits, sum", *(f"{phase.commits_total:.2f}" for phase in found), style="bold")
    table.add_row("  that wrote", *(f"{phase.write_transactions:.2f}" for phase in found))
    table.add_row("reads ended by ROLLBACK", *(f"{phase.rollbacks_total:.2f}" for phase in found))
    table.add_section()
    table.add_row("payment gateway", *(f"{phase.gateway_calls:.2f}" for phase in found))
    table.add_row("messages sent", *(f"{phase.messages_sent:.2f}" for phase in found))
    table.add_row("messages handled", *(f"{phase.messages_handled:.2f}" for phase in found))
    return table


def _at_rest(report: Report) -> Table:
    table = _table("at rest", ["process", "memory MiB", "CPU %"])
    for process, size in sorted(report.resident_mib.items(), key=lambda entry: -entry[1]):
        table.add_row(process, f"{size:.0f}", f"{report.idle_cpu_percent.get(process, 0):.1f}")
    table.add_section()
    ready = report.ready
    table.add_row("ready after, empty folder", f"{ready.cold_seconds:.1f} s", "")
    table.add_row("ready after, warm", f"{ready.warm_seconds:.1f} s", "")
    table.add_row("AWS calls a second", f"{report.idle_aws_calls_per_second:.1f}", "")
    return table

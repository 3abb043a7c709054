"""The marks that the platform is held to, beside what was measured.

Guarantee: they inform and never fail a run; on a busy machine only counts can be trusted.
"""

from dataclasses import dataclass

from bookstore.bench.scenario import Report

MAX_AWS_CALLS = 2.5
MAX_COMMITS = 4.0
MAX_CPU_MS = 5.0
MIN_ORDERS_PER_SECOND = 300.0
MAX_ANSWER_P99_MS = 30.0
MAX_RESIDENT_MIB = 120.0
MAX_WARM_SECONDS = 6.0
MIN_PEER_RATIO = 2.5
# Not Python processes of ours, so their memory has no mark.
FOREIGN_PROCESSES = frozenset({"postgres", "valkey"})


@dataclass(frozen=True)
class Mark:
    """One mark: `at_most` or at least `limit`."""

    name: str
    value: float
    limit: float
    unit: str = ""
    at_most: bool = True

    @property
    def is_met(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        sign, relation = ("✓" if self.is_met else "✗"), ("≤" if self.at_most else "≥")
        return f"{sign} {self.value:.3g}{self.unit} ({relation} {self.limit:g}{self.unit})"


def marks_of(report: Report) -> list[Mark]:
    """All marks for a run."""
    closed, opened = report.phases["closed"], report.phases["open"]
    python = {
        name: size for name, size in report.resident_mib.items() if name not in FOREIGN_PROCESSES
    }
    largest = max(python, key=lambda name: python[name])
    rate = report.options.rate
    key = "with" if report.options.keys else "without"
    marks = [
        Mark(f"AWS calls an order, {key} Idempotency-Key", closed.aws_calls_total, MAX_AWS_CALLS),
        Mark("commits an order", closed.commits_total, MAX_COMMITS),
        Mark("CPU an order, all processes", closed.cpu_ms_total, MAX_CPU_MS, " ms"),
        Mark(
            "confirmed orders a second",
            closed.orders_per_second,
            MIN_ORDERS_PER_SECOND,
            at_most=False,
        ),
        Mark(f"POST p99 at {rate:g} orders/s", opened.answer_ms.p99_ms, MAX_ANSWER_P99_MS, " ms"),
        Mark(f"memory at rest, {largest}", python[largest], MAX_RESIDENT_MIB, " MiB"),
        Mark("ready when warm", report.ready.warm_seconds, MAX_WARM_SECONDS, " s"),
    ]
    if (bare := report.phases.get("closed_without_keys")) is not None:
        name = "AWS calls an order, without Idempotency-Key"
        marks.insert(1, Mark(name, bare.aws_calls_total, MAX_AWS_CALLS))
    return marks

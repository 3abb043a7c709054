"""What a run tells: its timeline, its figures, its checks; on the terminal and as JSON.

Guarantee: the file holds everything that is needed to tell the run again: seed, size, each fault
with time, target and parameters, and each check with its numbers.
"""

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bookstore.balance import Check
from chaos.fault import Planned
from chaos.load import Load


@dataclass
class Entry:
    """One fault of the timeline; seconds since the stage was set."""

    planned: Planned
    began_seconds: float = 0.0
    ended_seconds: float = 0.0
    outcome: str = "under way"

    @property
    def was_made(self) -> bool:
        """Whether it came about: one that could not be made proves nothing."""
        return not self.outcome.startswith("failed")

    @property
    def document(self) -> dict[str, Any]:
        fault = self.planned.fault
        return {
            "number": self.planned.number,
            "kind": fault.kind,
            "target": fault.target,
            "parameters": fault.parameters,
            "planned_seconds": round(self.planned.at_seconds, 2),
            "began_seconds": round(self.began_seconds, 2),
            "ended_seconds": round(self.ended_seconds, 2),
            "outcome": self.outcome,
        }

    @property
    def line(self) -> str:
        document = self.document
        parameters = " ".join(f"{k}={v}" for k, v in document["parameters"].items())
        return (
            f"{self.began_seconds:7.1f} s  {document['kind']:<20} {document['target']:<26} "
            f"{parameters}: {self.outcome}"
        )


def figures(load: Load, entries: Sequence[Entry], duration_seconds: float) -> dict[str, Any]:
    """Counts and times of the run."""
    outcomes = Counter(
        f"{each.status or 'unanswered'}{f': {each.reason}' if each.reason else ''}"
        for each in load.placed
    )
    took = sorted(each.settled_at - each.placed_at for each in load.placed if each.settled_at)
    return {
        "duration_seconds": round(duration_seconds, 1),
        "orders": len(load.placed),
        "orders_settled": load.settled,
        "orders_by_outcome": dict(outcomes.most_common()),
        "rejected_by_timeout": sum(each.ran_out_of_time for each in load.placed),
        "sent_twice": sum(each.wish.is_sent_twice for each in load.placed),
        "cancellations": sum(each.cancel_asked for each in load.placed),
        "settled_after_seconds": {
            "median": round(statistics.median(took), 2) if took else None,
            "p99": round(took[int(len(took) * 0.99)], 2) if took else None,
            "longest": round(took[-1], 2) if took else None,
        },
        "answers": dict(load.answers.most_common()),
        "faults": len(entries),
        "faults_by_kind": dict(Counter(e.planned.fault.kind for e in entries).most_common()),
    }


def print_timeline(entries: Sequence[Entry]) -> None:
    print("\nFaults, by the seconds of the run")
    for entry in sorted(entries, key=lambda each: each.began_seconds):
        print(entry.line)


def print_figures(found: dict[str, Any]) -> None:
    print("\nFigures")
    for name, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {count}" for key, count in value.items())
        print(f"{name.replace('_', ' '):>24}  {value}")


def print_checks(checks: Sequence[Check]) -> None:
    print(f"\n{'':2}     {'invariant':<62} {'counted':>16} {'must be':>16}")
    for check in checks:
        sign = "✓" if check.holds else "✗"
        print(
            f"{sign:2} {check.invariant:<4}{check.claim:<62} {check.counted:>16} "
            f"{check.must_be:>16}"
        )
        if not check.holds and check.look_at:
            print(f"          {check.look_at}")


def write_report(
    path: Path,
    *,
    options: dict[str, Any],
    found: dict[str, Any],
    entries: Sequence[Entry],
    checks: Sequence[Check],
) -> None:
    document = {
        "options": options,
        "figures": found,
        "timeline": [entry.document for entry in entries],
        "checks": [asdict(check) for check in checks],
    }
    path.write_text(json.dumps(document, indent=1, default=str) + "\n")

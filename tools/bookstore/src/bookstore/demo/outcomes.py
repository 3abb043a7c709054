"""What came of the orders, against what was expected; pure.

Guarantee: a request without an answer and an order without an end count as outcomes of their own,
so they make their scenario differ from its expectation.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bookstore.demo.plan import Scenario


@dataclass(frozen=True, slots=True)
class Result:
    """The end of one request.

    `outcome`: the order's status, or the reason of its rejection; 'same_order' for a repeated key;
    status and outcome in one ('201 confirmed') where the answer was waited for; else a problem's
    code or 'no answer'. `seconds`: from accepted to settled by the service's clock, or the
    request's duration where its answer is the outcome.
    """

    scenario: str
    outcome: str
    seconds: float | None = None
    order_id: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario's outcomes."""

    scenario: Scenario
    got: Mapping[str, int]
    p50_seconds: float | None
    p99_seconds: float | None

    @property
    def as_expected(self) -> bool:
        """Whether every outcome came as often as it should."""
        return dict(self.got) == dict(self.scenario.expected)


def rows_of(scenarios: Sequence[Scenario], results: Iterable[Result]) -> list[Row]:
    """One row for each scenario, in their order."""
    by_scenario: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_scenario[result.scenario].append(result)
    rows: list[Row] = []
    for scenario in scenarios:
        found = by_scenario[scenario.key]
        seconds = [each.seconds for each in found if each.seconds is not None]
        got = Counter(each.outcome for each in found)
        rows.append(Row(scenario, got, percentile(seconds, 50), percentile(seconds, 99)))
    return rows


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The nearest-rank percentile: the least value that `percent` % do not exceed."""
    if not values:
        return None
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return sorted(values)[rank - 1]


def outcome_of(view: Mapping[str, object]) -> str:
    """The outcome of an order as the API shows it."""
    if view["status"] == "rejected":
        return str(view.get("reason", "rejected"))
    return str(view["status"])

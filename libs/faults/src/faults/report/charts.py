"""Two drawings: who brought runs to their end, and how long that took.

Guarantee: every number that is drawn is also written.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence

from faults.report.grid import short
from faults.report.markup import Markup, element, joined, row, table
from faults.report.matrix import DRAWN
from faults.results import Exploration
from faults.scenario import Repairer

# Where one bucket ends and the next begins, and what the scale says there.
EDGES_SECONDS = (0, 1, 3, 10, 30, 60, 180, 600, 1_800, 3_600)
EDGE_LABELS = ("0", "1 s", "3 s", "10 s", "30 s", "1 min", "3 min", "10 min", "30 min", "1 h")
WIDTH, HEIGHT, BOTTOM, TOP, STEP = 430, 170, 140, 18, 42


def repairs(explorations: Sequence[Exploration]) -> Markup:
    """A bar for each scenario, of the deepest layer that it was hit in."""
    deepest: dict[str, tuple[str, Counter[str]]] = {}
    for exploration in explorations:
        counts: dict[str, Counter[str]] = {}
        for (scenario, repairer), count in exploration.tally.repairers.items():
            name = DRAWN if exploration.layer == DRAWN else scenario
            counts.setdefault(name, Counter())[repairer] += count
        deepest |= {name: (exploration.layer, each) for name, each in counts.items()}
    rows = []
    for scenario, (layer, who) in deepest.items():
        numbers = [f"{who[each]:,}" for each in Repairer]
        rows.append(row(scenario, layer, _bar(who), *numbers))
    heads: list[str | Markup] = ["scenario", "layer", "share of its runs"]
    heads += [
        joined(element("i", class_=f"key who{number}"), " ", str(each))
        for number, each in enumerate(Repairer)
    ]
    return table(heads, rows, caption="Who repaired, in runs", class_="repairs")


def _bar(who: Counter[str]) -> Markup:
    runs = who.total()
    parts = [
        element(
            "i",
            class_=f"who{number}",
            style=f"flex-grow:{who[each]}",
            title=f"{each}: {who[each]} of {runs}",
        )
        for number, each in enumerate(Repairer)
        if who[each]
    ]
    return element("span", *parts, class_="bar", aria_hidden="true")


def recoveries(explorations: Sequence[Exploration]) -> Markup:
    """A histogram for each layer."""
    figures = [_histogram(each) for each in explorations if each.tally.recoveries]
    return element("div", *figures, class_="charts")


def _histogram(exploration: Exploration) -> Markup:
    seconds = exploration.tally.recoveries
    buckets = [0] * len(EDGES_SECONDS)
    for value, count in seconds.items():
        buckets[bisect_right(EDGES_SECONDS, value) - 1] += count
    most = max(buckets)
    shapes: list[Markup] = []
    for share in (0.5, 1.0):
        y = BOTTOM - share * (BOTTOM - TOP)
        shapes.append(element("line", x1=0, x2=WIDTH, y1=y, y2=y, class_="guide"))
    for number, count in enumerate(buckets):
        if not count:
            continue
        height = max(count / most * (BOTTOM - TOP), 1.5)
        x = number * STEP
        shapes += [
            element(
                "rect", x=x + 2, y=round(BOTTOM - height, 1), width=STEP - 4,
                height=round(height, 1), class_="column",
            ),
            _text(x + STEP / 2, BOTTOM - height - 4, short(count)),
        ]  # fmt: skip
    shapes.append(element("line", x1=0, x2=WIDTH, y1=BOTTOM, y2=BOTTOM, class_="axis"))
    for number, label in enumerate(EDGE_LABELS):
        x = number * STEP
        shapes.append(element("line", x1=x, x2=x, y1=BOTTOM, y2=BOTTOM + 5, class_="axis"))
        shapes.append(_text(x, BOTTOM + 18, label))
    ordered = sorted(seconds.elements())
    summary = (
        f"half within {duration(ordered[len(ordered) // 2])}, 99 of 100 within "
        f"{duration(ordered[len(ordered) * 99 // 100])}, the longest {duration(ordered[-1])}"
    )
    return element(
        "figure",
        element("figcaption", element("b", exploration.layer), f": {summary}"),
        element(
            "svg",
            *shapes,
            viewBox=f"-14 0 {WIDTH + 22} {HEIGHT}",
            role="img",
            aria_label=f"Runs by recovery time, {exploration.layer}: {summary}",
        ),
    )


def _text(x: float, y: float, text: str) -> Markup:
    return element("text", text, x=x, y=round(y, 1), text_anchor="middle")


def duration(seconds: float) -> str:
    """Rounded, in the unit that suits it."""
    if seconds < 1:
        return "1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.0f} h"

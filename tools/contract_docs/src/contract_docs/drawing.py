"""The map as SVG: a layout in one of two sizes, as what the templates draw.

One guarantee: a label is as wide as its text in any monospaced font, and both sizes show the same
services and routes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from contract_docs.flow import Route
from contract_docs.layout import Geometry, Layout, PlacedRoute, Point, lay_out

# A monospaced glyph is 0.61 em wide at most (Menlo, DejaVu Sans Mono; Courier 0.6, Consolas 0.55).
NAME_SIZE = 12
NAME_ADVANCE = NAME_SIZE * 0.61
LINE = 17
HEAD = 25
PADDING = 11
# The arrow's point ends just before the service's border.
GAP = 1.5


def _named(route: Route) -> tuple[float, float]:
    longest = max(len(name) for name in (*route.messages, count_of(route)))
    return longest * NAME_ADVANCE + 2 * PADDING, HEAD + LINE * len(route.messages) + 7


def _counted(route: Route) -> tuple[float, float]:
    return 25.0, 25.0


WIDE = Geometry(
    service_width=lambda service: max(186, len(service) * 11 + 30),
    service_height=78,
    service_gap=34,
    port_gap=24,
    port_margin=18,
    bend=68,
    slot_gap=14,
    thread_width=10,
    margin=8,
    label=_named,
)
# For a telephone: 360 units across with three services in a row.
COMPACT = Geometry(
    service_width=lambda service: max(94, len(service) * 7.6 + 14),
    service_height=48,
    service_gap=12,
    port_gap=11,
    port_margin=11,
    bend=40,
    slot_gap=7,
    thread_width=3,
    margin=5,
    label=_counted,
)


@dataclass(frozen=True)
class Drawing:
    """A laid out map; `names` says whether the labels carry the messages' names."""

    size: str
    names: bool
    layout: Layout


def drawings(layers: Mapping[str, int], routes: Sequence[Route]) -> list[Drawing]:
    """The map for a wide and for a narrow page."""
    return [
        Drawing("wide", True, lay_out(layers, routes, WIDE)),
        Drawing("compact", False, lay_out(layers, routes, COMPACT)),
    ]


def count_of(route: Route) -> str:
    """Such as '1 command' or '5 replies'."""
    count = len(route.messages)
    if count == 1:
        return f"1 {route.kind}"
    return f"{count} replies" if route.kind == "reply" else f"{count} {route.kind}s"


def path(placed: PlacedRoute) -> str:
    """The line as SVG path data, from the sender to just before the receiver."""
    points = list(placed.points)
    points[-1] = _short_of(points[-2], points[-1])
    parts = ["M" + _at(points[0])]
    for index, (start, end) in enumerate(pairwise(points)):
        if index % 2:
            parts.append("L" + _at(end))
        else:
            y = placed.bends[index // 2]
            bend = _at((start[0], y)), _at((end[0], y)), _at(end)
            parts.append("C" + " ".join(bend))
    return "".join(parts)


def number(value: float) -> str:
    """A coordinate with one digit, none if that says as much."""
    return f"{value:.1f}".removesuffix(".0")


def _short_of(before: Point, end: Point) -> Point:
    return end[0], end[1] + (GAP if before[1] > end[1] else -GAP)


def _at(point: Point) -> str:
    return f"{number(point[0])},{number(point[1])}"

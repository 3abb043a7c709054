"""Places services and the routes between them on a plane: a map in layers.

One guarantee: no label lies on a service, on another label or on another route's line, however
many services there are. It holds by construction, not by trying:

    services    [ a ]      [ b ]         every service, and every route that only passes
      curves      \\  \\    /               through, has a slot of its own in the row
      labels     [x]  [y] |              every label has a slot of its own; lines go
      curves        \\    \\ |              straight down through slots and bend only
    services        [  c  ]              between the rows, where there is nothing but lines

A slot's place is the mean of what it is connected to, as far as its neighbours leave room: a least
squares fit under minimum distances, solved exactly by pooling adjacent violators (Barlow et al.,
Statistical Inference under Order Restrictions, 1972).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise, permutations, product
from math import factorial, fsum, prod

from contract_docs.flow import Route

SWEEPS = 12
# A sweep ends in the optimum that is nearest to where it began, so it begins in many places: with
# every order of the services in their layers, and with every route first. About a second's worth.
STARTS = 600
# How near to a service a line bends at the nearest, as a share of the room between the rows.
NEAREST_BEND = 0.28

Point = tuple[float, float]


@dataclass(frozen=True)
class Geometry:
    """Sizes, in units of the drawing.

    `service_width` is what a service's name takes, and `label` gives a label's width and height.
    """

    service_width: Callable[[str], float]
    service_height: float
    service_gap: float
    port_gap: float
    port_margin: float
    bend: float
    slot_gap: float
    thread_width: float
    margin: float
    label: Callable[[Route], tuple[float, float]]


@dataclass(frozen=True)
class Box:
    """A rectangle by its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> Point:
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True)
class PlacedRoute:
    """A route's line, from the sender to the receiver, and its label's place.

    Lines bend between an even point and the odd one after it, at the height that `bends` has for
    each of these, and are straight otherwise.
    """

    route: Route
    points: tuple[Point, ...]
    bends: tuple[float, ...]
    label: Box


@dataclass(frozen=True)
class Layout:
    width: float
    height: float
    services: dict[str, Box]
    routes: list[PlacedRoute]


@dataclass(eq=False)
class _Slot:
    """Something with a place of its own in a row: a service, a label, or a line passing through."""

    width: float
    height: float = 0.0
    service: str | None = None
    x: float = 0.0
    above: list["_Slot"] = field(default_factory=list)
    below: list["_Slot"] = field(default_factory=list)


@dataclass
class _Chain:
    """A route's slots from the upper service to the lower; `hangs` if both are in one layer."""

    route: Route
    slots: list[_Slot]
    label: _Slot
    hangs: bool
    points: list[Point] = field(default_factory=list)
    bends: list[float] = field(default_factory=list)


@dataclass
class _Graph:
    """Rows alternate: services, labels, services ..."""

    rows: list[list[_Slot]]
    chains: list[_Chain]
    services: dict[str, _Slot]


def lay_out(layers: Mapping[str, int], routes: Sequence[Route], geometry: Geometry) -> Layout:
    """The best that is found: fewest crossings, then the shortest lines.

    `layers` says in which layer a service is; among equals, its order holds.
    """
    candidates = (
        _arranged(rows, [*routes[first:], *routes[:first]], geometry)
        for rows in _orders(layers, len(routes))
        for first in range(max(len(routes), 1))
    )
    return _drawn(min(candidates, key=_cost), geometry)


def _orders(layers: Mapping[str, int], starts_each: int) -> Iterator[list[tuple[str, ...]]]:
    """All orders of the services in their layers, or only the given one if they are too many."""
    rows = [
        tuple(service for service, its in layers.items() if its == layer)
        for layer in sorted(set(layers.values()))
    ]
    if prod(factorial(len(row)) for row in rows) * starts_each > STARTS:
        yield rows
        return
    for order in product(*(permutations(row) for row in rows)):
        yield list(order)


def _arranged(rows: list[tuple[str, ...]], routes: Sequence[Route], geometry: Geometry) -> _Graph:
    graph = _graph(rows, routes, geometry)
    gaps = [geometry.service_gap, geometry.slot_gap] * len(rows)
    for row, gap in zip(graph.rows, gaps, strict=True):
        _settle(row, [0.0] * len(row), gap)
    for sweep in range(SWEEPS):
        for row, gap in zip(graph.rows[1:], gaps[1:], strict=True):
            _settle(row, [_mean(slot, slot.above) for slot in row], gap)
        for row, gap in reversed(list(zip(graph.rows, gaps, strict=True))):
            # In the end a slot is drawn to both of its sides, so that lines become straight.
            late = sweep > SWEEPS // 2
            sides = [slot.below + (slot.above if late else []) for slot in row]
            wanted = [_mean(slot, side) for slot, side in zip(row, sides, strict=True)]
            _settle(row, wanted, gap)
    return graph


def _graph(rows: list[tuple[str, ...]], routes: Sequence[Route], geometry: Geometry) -> _Graph:
    depth = {service: index * 2 for index, row in enumerate(rows) for service in row}
    services = {
        service: _Slot(
            _service_width(service, depth, routes, geometry),
            geometry.service_height,
            service=service,
        )
        for service in depth
    }
    slots: list[list[_Slot]] = []
    for row in rows:
        slots += [[services[service] for service in row], []]
    chains = []
    for route in routes:
        upper, lower = sorted((route.sender, route.receiver), key=lambda service: depth[service])
        label = _Slot(*geometry.label(route))
        hangs = depth[upper] == depth[lower]
        last = depth[upper] + 1 if hangs else depth[lower] - 1
        between = [_Slot(geometry.thread_width) for _ in range(depth[upper] + 1, last)] + [label]
        for slot, row_index in zip(between, range(depth[upper] + 1, last + 1), strict=True):
            slots[row_index].append(slot)
        chain = [services[upper], *between, services[lower]]
        for above, below in pairwise(chain[:-1] if hangs else chain):
            above.below.append(below)
            below.above.append(above)
        if hangs:
            label.above.append(services[lower])
            services[lower].below.append(label)
        chains.append(_Chain(route, chain, label, hangs))
    return _Graph(slots, chains, services)


def _service_width(
    service: str, depth: Mapping[str, int], routes: Sequence[Route], geometry: Geometry
) -> float:
    """Wide enough for the ports of its busier side."""
    others = [
        depth[other]
        for route in routes
        for other, end in ((route.receiver, route.sender), (route.sender, route.receiver))
        if end == service
    ]
    upward = sum(other < depth[service] for other in others)
    ports = max(upward, len(others) - upward, 1)
    needed = geometry.port_gap * (ports - 1) + 2 * geometry.port_margin
    return max(geometry.service_width(service), needed)


def _mean(slot: _Slot, others: list[_Slot]) -> float:
    return fsum(other.x for other in others) / len(others) if others else slot.x


def _settle(row: list[_Slot], wanted: list[float], gap: float) -> None:
    """Order the row by `wanted` (services keep theirs) and place it as near to that as possible."""
    fixed = iter([pair for pair in zip(row, wanted, strict=True) if pair[0].service])
    # Rounded, so that the order does not hang on how a processor or a Python version adds up.
    ordered = sorted(zip(row, wanted, strict=True), key=lambda pair: round(pair[1], 6))
    ordered = [next(fixed) if slot.service else (slot, place) for slot, place in ordered]
    row[:] = [slot for slot, _ in ordered]
    widths = [(left.width + right.width) / 2 + gap for left, right in pairwise(row)]
    offsets = list(accumulate(widths, initial=0.0))[: len(row)]
    targets = [place - offset for (_, place), offset in zip(ordered, offsets, strict=True)]
    for slot, offset, place in zip(row, offsets, _increasing(targets), strict=True):
        slot.x = place + offset


def _increasing(targets: list[float]) -> list[float]:
    """The non-decreasing sequence nearest to `targets` in least squares."""
    pools: list[tuple[float, int]] = []
    for target in targets:
        total, count = target, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / count:
            more, others = pools.pop()
            total, count = total + more, count + others
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]


def _cost(graph: _Graph) -> tuple[int, float]:
    crossings = 0
    lengths = []
    for upper in graph.rows:
        segments = [(above.x, below.x) for above in upper for below in above.below]
        lengths += [abs(above - below) for above, below in segments]
        crossings += sum(
            (a - c) * (b - d) < 0
            for index, (a, b) in enumerate(segments)
            for c, d in segments[index + 1 :]
        )
    return crossings, round(fsum(lengths), 3)


def _drawn(graph: _Graph, geometry: Geometry) -> Layout:
    """Turns slots into boxes and lines, moved to where the drawing begins."""
    used = [row for row in graph.rows if row]
    left = min(slot.x - slot.width / 2 for row in used for slot in row) - geometry.margin
    right = max(slot.x + slot.width / 2 for row in used for slot in row) + geometry.margin
    spans: dict[int, tuple[float, float]] = {}
    bottom = geometry.margin
    for row in used:
        span = bottom, bottom + max(slot.height for slot in row)
        spans |= {id(slot): span for slot in row}
        bottom = span[1] + geometry.bend
    for row in used:
        for slot in row:
            slot.x -= left

    def box(slot: _Slot) -> Box:
        top, end = spans[id(slot)]
        height = slot.height
        return Box(slot.x - slot.width / 2, (top + end - height) / 2, slot.width, height)

    for chain in graph.chains:
        chain.points = _points(chain, spans)
        chain.bends = [(start[1] + end[1]) / 2 for start, end in pairwise(chain.points)][::2]
    for slot in graph.services.values():
        for side in range(2):
            _spread(graph.chains, slot, spans[id(slot)][side], geometry)
    return Layout(
        width=right - left,
        height=bottom - geometry.bend + geometry.margin,
        services={service: box(slot) for service, slot in graph.services.items()},
        routes=[_placed(chain, box(chain.label)) for chain in graph.chains],
    )


def _points(chain: _Chain, spans: Mapping[int, tuple[float, float]]) -> list[Point]:
    """From the upper service's middle to the lower one's."""
    upper, *between, lower = chain.slots
    start, end = (upper.x, spans[id(upper)][1]), (lower.x, spans[id(lower)][0])
    if not chain.hangs:
        return [start, *((slot.x, y) for slot in between for y in spans[id(slot)]), end]
    top, bottom = spans[id(chain.label)]
    reach = chain.label.width / 4 * (1 if upper.x <= lower.x else -1)
    near, far, middle = chain.label.x - reach, chain.label.x + reach, (top + bottom) / 2
    hanging = [(near, top), (near, middle), (far, middle), (far, top)]
    return [start, *hanging, (lower.x, spans[id(lower)][1])]


def _spread(chains: list[_Chain], slot: _Slot, y: float, geometry: Geometry) -> None:
    """Give every line at one side of a service a port, by where it goes to.

    Those that go far aside bend nearer to the service, and so run clear of the ones between.
    """
    ends = [
        (chain.points[1 if end == 0 else -2], number, end)
        for number, chain in enumerate(chains)
        for end in (0, -1)
        if chain.slots[end] is slot and chain.points[end][1] == y
    ]
    ends.sort(key=lambda each: (each[0][0], each[1], each[2]))
    room = slot.width - 2 * geometry.port_margin
    step = min(geometry.port_gap * 2, room / max(len(ends) - 1, 1))
    ports = [slot.x + step * (place - (len(ends) - 1) / 2) for place in range(len(ends))]
    leftward = sum(
        next_point[0] < port for (next_point, _, _), port in zip(ends, ports, strict=True)
    )
    for place, ((next_point, number, end), port) in enumerate(zip(ends, ports, strict=True)):
        on_its_side = leftward if place < leftward else len(ends) - leftward
        from_outside = place if place < leftward else len(ends) - 1 - place
        share = NEAREST_BEND + (1 - 2 * NEAREST_BEND) * (from_outside + 0.5) / on_its_side
        chains[number].points[end] = (port, y)
        chains[number].bends[end] = y + (next_point[1] - y) * share


def _placed(chain: _Chain, label: Box) -> PlacedRoute:
    points, bends = tuple(chain.points), tuple(chain.bends)
    if chain.slots[0].service != chain.route.sender:
        points, bends = points[::-1], bends[::-1]
    return PlacedRoute(chain.route, points, bends, label)

"""The map's promise, held against systems that nobody drew by hand."""

from collections.abc import Iterator
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract_docs.documents import Documents
from contract_docs.drawing import COMPACT, WIDE, path
from contract_docs.flow import Route
from contract_docs.layout import Box, Geometry, Layout, PlacedRoute, Point, lay_out

SIZES = {"wide": WIDE, "compact": COMPACT}
STEPS = 24


@st.composite
def systems(draw: st.DrawFn) -> tuple[dict[str, int], list[Route]]:
    """Up to seven services in four layers, and whatever routes between them, to oneself too."""
    count = draw(st.integers(1, 7))
    layers = {f"s{number}": draw(st.integers(0, 3)) for number in range(count)}
    ends = st.sampled_from(sorted(layers))
    kinds = st.sampled_from(["command", "reply", "event"])
    chosen = draw(st.lists(st.tuples(ends, ends, kinds), unique=True, max_size=12))
    return layers, [
        Route(sender, receiver, kind, tuple(f"Message{n}" for n in range(1 + len(kind) % 3)))
        for sender, receiver, kind in chosen
    ]


@pytest.mark.parametrize("geometry", SIZES.values(), ids=SIZES)
@settings(max_examples=40, deadline=None)
@given(system=systems())
def test_nothing_covers_anything(
    geometry: Geometry, system: tuple[dict[str, int], list[Route]]
) -> None:
    layers, routes = system
    assert_clear(lay_out(layers, routes, geometry), len(routes))


@pytest.mark.parametrize("geometry", SIZES.values(), ids=SIZES)
def test_the_map_of_the_contracts_is_clear(geometry: Geometry, documents: Documents) -> None:
    layers = {service: role.layer for service, role in documents.roles.items()}
    assert_clear(lay_out(layers, documents.routes, geometry), len(documents.routes))


@pytest.mark.parametrize("geometry", SIZES.values(), ids=SIZES)
def test_lines_do_not_cross_where_they_need_not(geometry: Geometry) -> None:
    layers = {"lead": 0, "shelf": 1, "bank": 1, "post": 2, "index": 2, "parcel": 2}
    ends = [
        *(("lead", "shelf", "command"), ("lead", "shelf", "event"), ("lead", "bank", "command")),
        *(("lead", "post", "event"), ("lead", "index", "event"), ("lead", "parcel", "event")),
        *(("shelf", "lead", "reply"), ("shelf", "post", "event"), ("shelf", "index", "event")),
        *(("bank", "lead", "reply"), ("bank", "post", "reply"), ("parcel", "lead", "event")),
    ]
    layout = lay_out(layers, [Route(*each, ("One", "Another")) for each in ends], geometry)
    for one, other in combinations(layout.routes, 2):
        assert not crossing(one, other), f"{one.route} crosses {other.route}"


def assert_clear(layout: Layout, routes: int) -> None:
    assert len(layout.routes) == routes
    boxes = [*layout.services.values(), *(placed.label for placed in layout.routes)]
    for one, other in combinations(boxes, 2):
        assert not overlapping(one, other)
    for placed in layout.routes:
        foreign = [box for box in boxes if box is not placed.label]
        ends = {placed.route.sender, placed.route.receiver}
        own = [layout.services[service] for service in ends]
        for point in points(placed):
            assert 0 <= point[0] <= layout.width
            assert 0 <= point[1] <= layout.height
            for box in foreign:
                assert not inside(point, box) or (box in own and on_edge(point, box))


def points(placed: PlacedRoute) -> Iterator[Point]:
    """The line, as closely as it takes: bends are cubic curves with upright ends."""
    for index, (start, end) in enumerate(pairwise(placed.points)):
        bend = placed.bends[index // 2]
        for step in range(STEPS + 1):
            t = step / STEPS
            if index % 2:
                yield start[0] + (end[0] - start[0]) * t, start[1] + (end[1] - start[1]) * t
                continue
            a, b, c, d = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3
            yield (
                (a + b) * start[0] + (c + d) * end[0],
                a * start[1] + (b + c) * bend + d * end[1],
            )


def overlapping(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def inside(point: Point, box: Box) -> bool:
    return box.x <= point[0] <= box.x + box.width and box.y <= point[1] <= box.y + box.height


def on_edge(point: Point, box: Box) -> bool:
    return point[1] in (box.y, box.y + box.height)


def crossing(one: PlacedRoute, other: PlacedRoute) -> bool:
    first, second = list(points(one)), list(points(other))
    return any(
        side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
        for a, b in pairwise(first)
        for c, d in pairwise(second)
    )


def side(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def test_a_line_ends_at_its_receiver() -> None:
    routes = [Route("a", "b", "command", ("Go",)), Route("b", "a", "reply", ("Gone",))]
    layout = lay_out({"a": 0, "b": 1}, routes, WIDE)
    for placed in layout.routes:
        assert inside(placed.points[0], layout.services[placed.route.sender])
        assert inside(placed.points[-1], layout.services[placed.route.receiver])
        assert path(placed).startswith("M")


def test_services_keep_their_order_where_nothing_speaks_against_it() -> None:
    routes = [Route("a", service, "command", ("Go",)) for service in ("b", "c", "d")]
    layout = lay_out({"a": 0, "b": 1, "c": 1, "d": 1}, routes, WIDE)
    places = [layout.services[service].x for service in ("b", "c", "d")]
    assert places == sorted(places)

"""The matrix of places and faults as HTML: a table for each process, and what it leaves out.

Guarantee: complete without scripts; with them the scenario can be chosen.
"""

import json
from collections.abc import Mapping

from faults.plan import KINDS, TWISTS
from faults.report.markup import Markup, element, joined, row, table
from faults.report.matrix import FAULTS, Cell, Matrix, parts_of

MEANINGS: Mapping[str, str] = {**KINDS, **TWISTS}
# Counts from which a cell has the next darker shade.
SHADES = (1, 4, 16, 64, 256)
# Longer lists are folded.
LONG_LIST = 12


def grid(matrix: Matrix, by_scenario: Mapping[str, Matrix]) -> Markup:
    """The filter, its data, the legend and the tables."""
    numbers = {place: number for number, place in enumerate(matrix.offered)}
    tables = [_process(name, places, matrix, numbers) for name, places in matrix.processes.items()]
    data = json.dumps(
        {name: _of_scenario(each, numbers) for name, each in by_scenario.items()},
        separators=(",", ":"),
    ).replace("<", "\\u003c")
    return joined(
        _filter(list(by_scenario)),
        _legend(),
        *tables,
        element("script", Markup(data), type="application/json", id="matrix"),
    )


def _of_scenario(matrix: Matrix, numbers: Mapping[str, int]) -> dict[int, list[list[int]]]:
    """Of each place: (fault, count) for each fault that is offered; -1 where one stands for it."""
    return {
        numbers[place]: [
            [index, matrix.counts[place, fault] or -matrix.is_stood_for(place, fault)]
            for index, fault in enumerate(FAULTS)
            if fault in faults
        ]
        for place, faults in matrix.offered.items()
    }


def _filter(scenarios: list[str]) -> Markup:
    options = [element("option", "all scenarios", value="")]
    options += [element("option", each, value=each) for each in scenarios]
    return element(
        "p",
        element("label", "Scenario ", element("select", *options, id="scenario")),
        id="filter",
        hidden=True,
    )


def _legend() -> Markup:
    def cell(class_: str, sign: str = "") -> Markup:
        return element("span", sign, class_=f"cell {class_}")

    items = [
        (cell("shade1", "3") + cell("shade4", "99"), "met in so many runs; the darker, the more"),
        (cell("untested", "○"), "not tested"),
        (cell("stood", "·"), "not tested here: pairs hold a fault that is like it to the outside"),
        (cell("never"), "cannot apply"),
    ]
    return element(
        "ul",
        *(element("li", Markup(sign), " ", meaning) for sign, meaning in items),
        class_="legend",
    )


def _process(name: str, places: list[str], matrix: Matrix, numbers: Mapping[str, int]) -> Markup:
    on_path = [place for place in places if place in matrix.undisturbed]
    detours = [place for place in places if place not in matrix.undisturbed]

    def rows(title: str, several: list[str]) -> Markup:
        return table(
            _head(),
            [_place(place, matrix, numbers[place]) for place in several],
            caption=f"{name}, {title}: runs by place and fault",
            class_="matrix",
        )

    parts = [element("h3", name)]
    if on_path:
        parts.append(rows("undisturbed", on_path))
    if detours:
        many = f"{len(detours)} places" if len(detours) > 1 else "1 place"
        summary = element("summary", f"{many} that only a recovery comes through")
        parts.append(element("details", summary, rows("recovery", detours)))
    return element("section", *parts, class_="process")


def _head() -> list[str | Markup]:
    faults = [
        element("abbr", element("span", fault.replace("_", " ")), title=MEANINGS[fault])
        for fault in FAULTS
    ]
    return ["place", *faults]


def _place(place: str, matrix: Matrix, number: int) -> Markup:
    _, operation, subject = parts_of(place)
    label = element("th", element("b", operation), Markup("<wbr>"), f"({subject})", scope="row")
    cells = [_cell(matrix, place, fault) for fault in FAULTS]
    return element("tr", label, *cells, data_place=number)


def _cell(matrix: Matrix, place: str, fault: str) -> Markup:
    count = matrix.counts[place, fault]
    if count:
        shade = sum(count >= least for least in SHADES)
        return element("td", short(count), class_=f"shade{shade}", title=f"{fault}: {count} runs")
    if fault not in matrix.offered[place]:
        return element("td", class_="never")
    if matrix.is_stood_for(place, fault):
        return element("td", "·", class_="stood", title=f"{fault}: another fault stands for it")
    return element("td", "○", class_="untested", title=f"{fault}: not tested")


def short(count: int) -> str:
    """Four characters at the most."""
    if count < 1_000:
        return str(count)
    return f"{count / 1_000:.1f}k" if count < 9_950 else f"{count / 1_000:.0f}k"


def left_out(matrix: Matrix) -> Markup:
    """In words: what was not tested, what others stand for."""
    untested, stood_for = matrix.untested, matrix.stood_for
    on_path = sum(place in matrix.undisturbed for place, _ in untested)
    parts = [element("h3", "Not tested")]
    if untested:
        parts += [
            element(
                "p",
                f"{len(untested):,} faults could have been met and were not: {on_path:,} at "
                f"operations of undisturbed runs, {len(untested) - on_path:,} at operations that "
                "only a recovery comes through.",
            ),
            _list(untested),
        ]
    else:
        parts.append(element("p", "Nothing: every fault that was on offer was met."))
    if stood_for:
        parts += [
            element("h3", "Stood for by others"),
            element(
                "p",
                f"{len(stood_for):,} faults at operations that only a recovery comes through. "
                "Pairs are made of representatives: of faults that leave everything outside of the "
                "process alike, one is tried.",
            ),
            _list(stood_for),
        ]
    return joined(*parts)


def _list(cells: list[Cell]) -> Markup:
    by_place: dict[str, list[str]] = {}
    for place, fault in cells:
        by_place.setdefault(place, []).append(fault)
    items = [
        element("li", element("code", place), ": ", ", ".join(faults))
        for place, faults in by_place.items()
    ]
    listed = element("ul", *items, class_="plain")
    if len(items) <= LONG_LIST:
        return listed
    return element("details", element("summary", f"at {len(items)} places"), listed)


def kinds(matrix: Matrix) -> Markup:
    """Each kind of fault, its meaning, and the operations that can meet it."""
    rows = []
    every = {parts_of(place)[1] for place in matrix.offered}
    for fault in FAULTS:
        places = [place for place, faults in matrix.offered.items() if fault in faults]
        hit = sum(matrix.counts[place, fault] > 0 for place in places)
        operations = {parts_of(place)[1] for place in places}
        rows.append(
            row(
                element("code", fault),
                MEANINGS[fault],
                _named(operations, every),
                f"{hit} of {len(places)}",
            )
        )
    return joined(
        table(
            ["fault", "what happens", "operations that can meet it", "places hit"],
            rows,
            caption="Kinds of faults",
            class_="kinds",
        ),
        element(
            "p",
            "At the other operations a fault cannot apply: nothing there can happen twice, come "
            "late or be lost, or (for what is delivered from outside) there is no process of ours "
            f"that could die of it. {len(every)} operations were seen in all.",
            class_="note",
        ),
    )


def _named(operations: set[str], every: set[str]) -> str:
    others = every - operations
    if not operations:
        return "none in these scenarios"
    if not others:
        return "all"
    if len(others) < len(operations):
        return f"all but {', '.join(sorted(others))}"
    return ", ".join(sorted(operations))

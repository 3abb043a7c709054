"""The report as one file: no script, style, font or image from anywhere else.

Guarantee: the same material gives the same page, and the JSON beside it holds all that it tells;
that file can be read as results again.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faults.report import charts, grid, sections
from faults.report.markup import Markup, element, joined
from faults.report.material import Material
from faults.report.matrix import Matrix, matrices, total
from faults.results import document_of


def write(material: Material, html: Path) -> Path:
    """Write the page, and its JSON beside it, whose path is the answer."""
    html.parent.mkdir(parents=True, exist_ok=True)
    html.write_text(page(material), encoding="utf-8")
    beside = html.with_suffix(".json")
    beside.write_text(json.dumps(_document(material), indent=1) + "\n", encoding="utf-8")
    return beside


def page(material: Material) -> str:
    """The whole page."""
    by_scenario = matrices(material.explorations)
    parts = _parts(material, by_scenario)
    links = [element("a", title, href=f"#{_anchor(title)}") for title, _ in parts]
    body = [
        element("header", element("h1", material.title), sections.claim(material)),
        element("nav", *links, aria_label="Sections"),
        element("main", *(_section(title, content) for title, content in parts)),
        element(
            "footer",
            "Every run is deterministic: scenario, plan and seed give it again: ",
            element("code", f"{material.command} run SCENARIO 'PLAN' --seed SEED --trace"),
        ),
    ]
    if by_scenario:
        body.append(element("script", _asset("page.js")))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", material.title),
        element("style", _asset("page.css")),
    )
    return f"<!doctype html>\n{element('html', head, element('body', *body), lang='en')}\n"


def _parts(material: Material, by_scenario: dict[str, Matrix]) -> list[tuple[str, Markup]]:
    """The sections that there is something to say in."""
    parts: list[tuple[str, Markup]] = []
    if material.failures:
        parts.append(("Violations", sections.violations(material)))
    if by_scenario:
        explorations, matrix = material.explorations, total(list(by_scenario.values()))
        parts += [
            ("Key figures", sections.figures(material)),
            ("Where it was hit", grid.grid(matrix, by_scenario)),
            ("What was left out", grid.left_out(matrix)),
            ("Kinds of faults", grid.kinds(matrix)),
            ("Who repaired", charts.repairs(explorations)),
            (
                "Time to recover",
                joined(
                    element(
                        "p", "Virtual time from the last fault until everything rests, in runs."
                    ),
                    charts.recoveries(explorations),
                ),
            ),
            ("Sometimes", sections.states(material)),
        ]
    if material.judged:
        parts.append(("Mutants", sections.mutants(material)))
    if material.chaos:
        parts.append(("Real processes", sections.chaos(material)))
    if material.bugs:
        parts.append(("Bugs found so far", sections.bugs(material)))
    if material.limits:
        parts.append(("What is not modelled", sections.limits(material)))
    return parts


def _section(title: str, content: Markup) -> Markup:
    return element("section", element("h2", title, id=_anchor(title)), content)


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _asset(name: str) -> Markup:
    return Markup(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def _document(material: Material) -> dict[str, Any]:
    matrix = total(list(matrices(material.explorations).values()))
    guards = {mutant.name: mutant for mutant in material.mutants}
    document = document_of(material.results)
    return document | {
        "title": material.title,
        "violated": len(material.failures),
        "survivors": material.survivors,
        "unreached": material.unreached,
        "untested": [[place, fault] for place, fault in matrix.untested],
        "stood_for": [[place, fault] for place, fault in matrix.stood_for],
        "guards": {
            name: {"row": mutant.row, "guard": mutant.guard} for name, mutant in guards.items()
        },
        "states": list(material.states),
        "bugs": [asdict(bug) for bug in material.bugs],
        "limits": list(material.limits),
        "chaos": [asdict(run) for run in material.chaos],
    }

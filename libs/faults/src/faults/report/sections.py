"""The report's other sections, each a function of the material.

Guarantee: a section says no more than its data; what was not run is said to be not run.
"""

from faults.explore import Failure
from faults.mutants import Mutant
from faults.mutation import Verdict
from faults.report.charts import duration
from faults.report.markup import Markup, element, joined, row, table
from faults.report.material import ChaosRun, Material
from faults.results import Exploration

# More would hide the rest of the page; the JSON file has all.
SHOWN_VIOLATIONS = 100


def claim(material: Material) -> Markup:
    """The one sentence, and what else did not go as it should."""
    failures = material.failures
    runs = sum(each.tally.runs for each in material.explorations)
    broken = [f"seed {run.seed}: {text}" for run in material.chaos for text in run.broken]
    lines: list[Markup] = []
    if failures:
        many = "1 plan violates" if len(failures) == 1 else f"{len(failures):,} plans violate"
        lines.append(_verdict("bad", f"{many} an invariant."))
    if broken:
        lines.append(_verdict("bad", "Against real processes: " + "; ".join(broken)))
    if not failures and not broken:
        found = "No violation within these bounds." if runs else "Nothing was explored yet."
        lines.append(_verdict("good" if runs else "open", found))
    if material.survivors:
        names = ", ".join(material.survivors)
        lines.append(_verdict("bad", f"Mutants that survive: {names}."))
    return joined(*lines)


def _verdict(class_: str, text: str) -> Markup:
    return element("p", text, class_=f"verdict {class_}")


def violations(material: Material) -> Markup:
    """Each with the line that shows it again."""
    shown = [_violation(each, material.command) for each in material.failures[:SHOWN_VIOLATIONS]]
    more = len(material.failures) - len(shown)
    if more > 0:
        shown.append(element("li", f"and {more:,} more in the JSON file"))
    return element("ol", *shown, class_="violations")


def _violation(failure: Failure, command: str) -> Markup:
    texts = [element("strong", text) for text in failure.violations]
    return element("li", *texts, element("pre", failure.again(command), tabindex="0"))


def figures(material: Material) -> Markup:
    """Each layer's size."""
    return joined(
        table(
            [
                "layer", "runs", "violations", "scenarios", "sites", "faults met", "depth",
                "virtual time", "wall time", "workers", "seed",
            ],
            [_layer(each) for each in material.explorations],
            caption="Key figures",
            class_="figures",
        ),
        element(
            "p",
            "A run is one course of events with a plan of faults, in a world of its own. Sites are "
            "the operations of the undisturbed runs. A deeper layer runs the shorter plans of its "
            "scenarios again.",
            class_="note",
        ),
    )  # fmt: skip


def _layer(each: Exploration) -> Markup:
    tally = each.tally
    depth = max((depth for _, _, _, depth in tally.cells), default=0)
    violated = f"{len(tally.failures):,}"
    return row(
        each.layer,
        f"{tally.runs:,}",
        element("b", violated, class_="wrong") if tally.failures else violated,
        f"{len({scenario for scenario, _ in tally.offered}):,}",
        f"{len(tally.sites):,}",
        f"{tally.faults_met:,}",
        str(depth),
        duration(tally.virtual_seconds),
        duration(each.wall_seconds),
        str(each.workers),
        str(each.seed),
    )


def mutants(material: Material) -> Markup:
    """Each guard that was taken out, and the plan that notices."""
    judged = material.judged
    killed = sum(verdict is not None and verdict.killed for _, verdict in judged)
    untried = sum(verdict is None for _, verdict in judged)
    summary = f"{killed} of {len(judged)} killed, {len(material.survivors)} survive"
    if untried:
        summary += f", {untried} not tried"
    return joined(
        element("p", f"The product with one guard taken out; something has to break. {summary}."),
        table(
            ["mutant", "verdict", "row", "guard", "killed by", "what broke", "runs"],
            [_mutant(mutant, verdict) for mutant, verdict in judged],
            caption="Mutants",
            class_="mutants",
        ),
        element("p", "Row: the number in the catalogue of failures.", class_="note"),
    )


def _mutant(mutant: Mutant, verdict: Verdict | None) -> Markup:
    name = element("code", mutant.name)
    known = [str(mutant.row), mutant.guard]
    if verdict is None:
        return row(name, "not tried", *known, "", "", "", class_="open")
    if not verdict.killed:
        return row(name, "survives", *known, "", "", f"{verdict.runs:,}",
                   class_="wrong")  # fmt: skip
    killer = joined(verdict.scenario or "", element("br"), element("code", verdict.plan))
    broken = "; ".join(verdict.violations[:1])
    return row(name, "killed", *known, killer, broken, f"{verdict.runs:,}")


def states(material: Material) -> Markup:
    """What has to be true sometimes, by layer."""
    rows = []
    for state in material.states:
        counts = [each.tally.reached[state] for each in material.explorations]
        shown = [f"{count:,}" for count in counts]
        is_reached = any(counts)
        verdict = "reached" if is_reached else "never reached"
        rows.append(row(state, verdict, *shown, class_=None if is_reached else "wrong"))
    layers = [each.layer for each in material.explorations]
    return table(
        ["state", "", *layers],
        rows,
        caption="Runs that came through an interesting state",
        class_="states",
    )


def chaos(material: Material) -> Markup:
    """The runs against real processes."""
    return table(
        ["seed", "minutes", "orders", "settled", "faults", "by kind", "checks held"],
        [_chaos(run) for run in material.chaos],
        caption="Real processes, real stores, faults at random",
    )


def _chaos(run: ChaosRun) -> Markup:
    by_kind = ", ".join(f"{kind} {count}" for kind, count in run.faults.items())
    held = f"{run.checks - len(run.broken)} of {run.checks}"
    broken = joined(held, *(joined(element("br"), text) for text in run.broken))
    return row(
        str(run.seed),
        f"{run.minutes:g}",
        f"{run.orders:,}",
        f"{run.settled:,}",
        f"{sum(run.faults.values()):,}",
        element("small", by_kind),
        broken if run.broken else held,
        class_="wrong" if run.broken else None,
    )


def bugs(material: Material) -> Markup:
    """What was found so far, mended by now."""
    return element(
        "div",
        *(
            element(
                "article",
                element("h3", bug.title),
                element("p", bug.cause),
                element("p", f"Found by {bug.layer}; it broke {bug.invariant}.", class_="note"),
                element("pre", bug.plan, tabindex="0") if bug.plan else "",
            )
            for bug in material.bugs
        ),
        class_="bugs",
    )


def limits(material: Material) -> Markup:
    """What no run says anything about."""
    return element("ul", *(element("li", each) for each in material.limits))

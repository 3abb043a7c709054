"""Everything that a report tells, gathered in one place.

Guarantee: none of its own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.explore import Failure
from faults.findings import Bug
from faults.mutants import Mutant
from faults.mutation import Verdict
from faults.results import Exploration, Results

LAYERS = ("singles", "pairs", "triples", "random")


@dataclass(frozen=True, slots=True)
class ChaosRun:
    """A run against real processes, as far as the report tells of it. `broken` are its checks that
    did not hold, each in one line.
    """

    seed: int
    minutes: float
    orders: int
    settled: int
    faults: Mapping[str, int]
    checks: int
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """A report's content. `command` is how a shell calls the subject's command line."""

    title: str
    command: str
    results: Results
    mutants: Sequence[Mutant] = ()
    states: Sequence[str] = ()
    bugs: Sequence[Bug] = ()
    limits: Sequence[str] = ()
    chaos: Sequence[ChaosRun] = ()

    @property
    def explorations(self) -> list[Exploration]:
        """By depth."""
        found = self.results.explorations
        unknown = [layer for layer in found if layer not in LAYERS]
        return [found[layer] for layer in (*LAYERS, *unknown) if layer in found]

    @property
    def failures(self) -> list[Failure]:
        """Of all layers, each once: deeper layers run the shorter plans again."""
        every = [each for layer in self.explorations for each in layer.tally.failures]
        return list({str(failure): failure for failure in every}.values())

    @property
    def judged(self) -> list[tuple[Mutant, Verdict | None]]:
        """Each mutant of the catalogue, and what became of it if anything was tried on it."""
        verdicts = {verdict.mutant: verdict for verdict in self.results.verdicts if verdict.runs}
        return [(mutant, verdicts.get(mutant.name)) for mutant in self.mutants]

    @property
    def survivors(self) -> list[str]:
        """The names of mutants that broke nothing."""
        return [m.name for m, verdict in self.judged if verdict is not None and not verdict.killed]

    @property
    def unreached(self) -> list[str]:
        """Those of `states` that no run came through."""
        reached = {state for layer in self.explorations for state in layer.tally.reached}
        return [state for state in self.states if state not in reached]


def load_chaos(folder: Path) -> list[ChaosRun]:
    """The reports of a folder, and of its folders, in the order of their names."""
    if not folder.is_dir():
        return []
    paths = sorted([*folder.glob("*.json"), *folder.glob("*/report.json")])
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return [_chaos(document) for document in documents if "checks" in document]


def _chaos(document: Mapping[str, Any]) -> ChaosRun:
    options, figures, checks = document["options"], document["figures"], document["checks"]
    return ChaosRun(
        seed=options["seed"],
        minutes=options["minutes"],
        orders=figures["orders"],
        settled=figures["orders_settled"],
        faults=dict(figures["faults_by_kind"]),
        checks=len(checks),
        broken=tuple(
            f"{check['invariant']} {check['claim']}: {check['counted']}, not {check['must_be']}"
            for check in checks
            if not check["holds"]
        ),
    )

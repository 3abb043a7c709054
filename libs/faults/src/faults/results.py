"""What was found, as one JSON file: explorations, mutants, and how to see each failure again.

Guarantee: reading what was written gives the same results back; parts that were not run are absent,
never empty.
"""

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from faults.explore import Failure, Tally
from faults.mutation import Verdict
from faults.plan import Plan


@dataclass
class Exploration:
    """One layer's runs: 'singles', 'pairs', 'triples' or 'random'."""

    layer: str
    tally: Tally
    wall_seconds: float
    workers: int
    seed: int


@dataclass
class Results:
    """Everything that a report is made from."""

    explorations: dict[str, Exploration] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the file, keeping what it has of other layers."""
        known = load_results(path) if path.exists() else Results()
        known.explorations.update(self.explorations)
        verdicts = {each.mutant: each for each in known.verdicts}
        verdicts.update({each.mutant: each for each in self.verdicts})
        known.verdicts = list(verdicts.values())
        path.parent.mkdir(parents=True, exist_ok=True)
        # In one step, so that whoever reads it or is broken off has all of it.
        written = path.with_name(f"{path.name}.{os.getpid()}")
        written.write_text(json.dumps(document_of(known), indent=1) + "\n", encoding="utf-8")
        written.replace(path)


def load_results(path: Path) -> Results:
    """Read a file that `save` wrote."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return Results(
        explorations={
            layer: Exploration(
                layer, _tally(body["tally"]), body["wall_seconds"], body["workers"], body["seed"]
            )
            for layer, body in document["explorations"].items()
        },
        verdicts=[
            Verdict(**{**verdict, "violations": tuple(verdict["violations"])})
            for verdict in document["mutants"]
        ],
    )


def document_of(results: Results) -> dict[str, Any]:
    """What `save` writes."""
    return {
        "explorations": {
            layer: {
                "wall_seconds": each.wall_seconds,
                "workers": each.workers,
                "seed": each.seed,
                "tally": _tally_document(each.tally),
            }
            for layer, each in results.explorations.items()
        },
        "mutants": [asdict(verdict) for verdict in results.verdicts],
    }


def _tally_document(tally: Tally) -> dict[str, Any]:
    return {
        "runs": tally.runs,
        "faults_met": tally.faults_met,
        "virtual_seconds": tally.virtual_seconds,
        "cells": [[*cell, count] for cell, count in sorted(tally.cells.items())],
        "repairers": [[*who, count] for who, count in sorted(tally.repairers.items())],
        "recoveries": [[seconds, count] for seconds, count in sorted(tally.recoveries.items())],
        "reached": dict(sorted(tally.reached.items())),
        "sites": sorted(tally.sites),
        "offered": [[*place, sorted(faults)] for place, faults in tally.offered.items()],
        "failures": [
            {
                "scenario": failure.scenario,
                "plan": str(failure.plan),
                "seed": failure.seed,
                "violations": list(failure.violations),
            }
            for failure in tally.failures
        ],
    }


def _tally(document: dict[str, Any]) -> Tally:
    return Tally(
        runs=document["runs"],
        faults_met=document["faults_met"],
        virtual_seconds=document["virtual_seconds"],
        cells=Counter({tuple(cell): count for *cell, count in document["cells"]}),
        repairers=Counter({tuple(who): count for *who, count in document["repairers"]}),
        recoveries=Counter(dict(document["recoveries"])),
        reached=Counter(document["reached"]),
        sites={(scenario, place) for scenario, place in document["sites"]},
        offered={(scenario, place): set(faults) for scenario, place, faults in document["offered"]},
        failures=[
            Failure(
                each["scenario"],
                Plan.parse(each["plan"]),
                each["seed"],
                tuple(each["violations"]),
            )
            for each in document["failures"]
        ],
    )

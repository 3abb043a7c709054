"""Gate `derived`: what is generated from the contracts is what they imply now.

One guarantee: what passes is byte for byte what generating anew would write, with nothing missing
and nothing left over.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from contract_docs import render as pages
from contract_gates.check.context import Context
from contract_gates.check.topology import of_fault
from contract_gates.findings import Finding
from contract_gates.sources import Folders
from contracts.generate.__main__ import generate
from contracts.generate.routes import unsound
from contracts.generate.source import Contracts, ContractsError, read_contracts

# File text by path below the artefact's folder.
Rendered = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Artefact:
    """Something that is derived: where it is kept, which files are it, how it is made anew."""

    folder: Callable[[Folders], Path]
    patterns: Sequence[str]
    render: Callable[[Contracts], Rendered]
    command: str


ARTEFACTS = [
    Artefact(
        folder=lambda folders: folders.package,
        patterns=("_data/*.json", "models/*.py", "typescript/*.ts"),
        render=generate,
        command="make generate",
    ),
    Artefact(
        folder=lambda folders: folders.site,
        patterns=("**/*",),
        render=lambda contracts: pages(contracts.root),
        command="make docs",
    ),
]


def derived(context: Context) -> Iterator[Finding]:
    """Every derived file that differs, at the first line that does."""
    try:
        contracts = read_contracts(context.folders.contracts)
        if unsound(contracts):
            raise ContractsError(unsound(contracts))
    except ContractsError as error:
        yield Finding(
            *context.sources.place(error.faults[0].file, error.faults[0].pointer),
            "derived/unsound",
            "nothing can be derived from contracts that contradict themselves",
            "Mend what the gate topology finds, then run make generate",
        )
        return
    for artefact in ARTEFACTS:
        try:
            rendered = artefact.render(contracts)
        except ContractsError as error:
            for fault in error.faults:
                yield of_fault(context, "derived/unsound", fault)
        else:
            yield from stale(context.folders, artefact, rendered)


def stale(folders: Folders, artefact: Artefact, rendered: Rendered) -> Iterator[Finding]:
    """What in the artefact's folder is not as it was rendered."""
    folder = artefact.folder(folders)
    present = {
        path.relative_to(folder).as_posix(): path
        for pattern in artefact.patterns
        for path in folder.glob(pattern)
        if path.is_file()
    }
    for name in sorted(present.keys() | rendered.keys()):
        where = folders.shown(folder / name)
        if name not in rendered:
            what, line = "nothing in the contracts leads to this file any more", 0
        elif name not in present:
            what, line = "this derived file is missing", 0
        else:
            line = _first_difference(present[name].read_text(encoding="utf-8"), rendered[name])
            what = "this derived file is not what the contracts imply"
            if not line:
                continue
        yield Finding(where, line, "derived/stale", what, f"Run {artefact.command}; never edit it")


def _first_difference(present: str, wanted: str) -> int:
    if present == wanted:
        return 0
    pairs = zip_longest(present.splitlines(keepends=True), wanted.splitlines(keepends=True))
    return next(line for line, (left, right) in enumerate(pairs, 1) if left != right)

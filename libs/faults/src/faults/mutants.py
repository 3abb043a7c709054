"""Mutants: the product with one guard removed, to see that the tests miss it.

Guarantee: a mutant is the product's own source with one passage replaced, and nothing else; where
the passage is not found exactly once the mutant is refused, so that none survives by being stale.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any


class StaleMutant(LookupError):
    """The passage that a mutant replaces is not in the source exactly once: update the mutant."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard less. `row` is its number in the catalogue of failures, `guard` what is missing.

    `killers` are (scenario, plan) known to break an invariant without the guard, under `seed`; the
    first of them that does kills the mutant. `also` holds further (module, original, replacement)
    where a guard stands in several places.
    """

    name: str
    row: int
    guard: str
    module: str
    original: str
    replacement: str
    killers: tuple[tuple[str, str], ...] = ()
    seed: int = 0
    also: tuple[tuple[str, str, str], ...] = ()

    @property
    def edits(self) -> list[tuple[str, str, str]]:
        """(module, original, replacement) of every place."""
        return [(self.module, self.original, self.replacement), *self.also]


def path_of(module: str) -> Path:
    """The source file of a module, which is not imported for that; raises StaleMutant."""
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None or not spec.submodule_search_locations:
        raise StaleMutant(f"there is no package {module.partition('.')[0]}")
    path = Path(spec.submodule_search_locations[0], *module.split(".")[1:]).with_suffix(".py")
    if not path.is_file():
        raise StaleMutant(f"there is no module {module}")
    return path


def check(mutants: Sequence[Mutant]) -> None:
    """Raise StaleMutant unless every mutant can be made."""
    for mutant in mutants:
        for module, source in _mutated(mutant).items():
            compile(source, module, "exec")


def install(mutant: Mutant) -> None:
    """Let this process import the mutant instead of the product, which it must not have yet."""
    sources = _mutated(mutant)
    for module in sources:
        if module in sys.modules:
            raise RuntimeError(f"{module} is imported already")
    sys.meta_path.insert(0, _Finder(sources))


def _mutated(mutant: Mutant) -> dict[str, str]:
    """The source of each module that the mutant changes, with all of its passages replaced."""
    sources: dict[str, str] = {}
    for module, original, replacement in mutant.edits:
        path = path_of(module)
        text = sources.get(module, path.read_text(encoding="utf-8"))
        sources[module] = _replaced(text, original, replacement, path.name)
    return sources


def _replaced(text: str, original: str, replacement: str, name: str) -> str:
    if text.count(original) != 1:
        raise StaleMutant(f"{name} has {text.count(original)} times, not once:\n{original}")
    return text.replace(original, replacement)


class _Finder(importlib.abc.MetaPathFinder):
    """Answers for the mutated modules alone."""

    def __init__(self, sources: dict[str, str]) -> None:
        self._sources = sources

    def find_spec(
        self, name: str, path: Any, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._sources:
            return None
        location = path_of(name)
        return importlib.util.spec_from_file_location(
            name, location, loader=_Loader(self._sources[name], str(location))
        )


class _Loader(importlib.abc.Loader):
    def __init__(self, source: str, path: str) -> None:
        self._source = source
        self._path = path

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, self._path, "exec"), module.__dict__)  # noqa: S102

"""A YAML or JSON document whose parts know the line that they stand on.

One guarantee: `line_of` leads to the line of the named part, or of the innermost part around it
that exists; it never fails.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml


class Document:
    """One file; `data` is its content as plain lists and dicts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def data(self) -> Any:
        """Its content; raises OSError, or yaml.YAMLError, which names the file and the line."""
        with self.path.open("rb") as file:
            return yaml.load(file, Loader=_Loader)  # noqa: S506  (it is a safe loader)

    @cached_property
    def _root(self) -> yaml.Node | None:
        with self.path.open("rb") as file:
            return yaml.compose(file, Loader=_Loader)

    def line_of(self, pointer: Sequence[str | int]) -> int:
        """The line, from 1, of the part that these keys and indices lead to."""
        node = self._root
        line = 1
        for part in pointer:
            found = _step(node, part)
            if found is None:
                break
            line, node = found
        return line


# JSON is YAML, but for speed: libyaml's loader where PyYAML was built with it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _step(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    """The line of a part of a node (of its key, in a mapping), and the part itself."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        value = node.value[part]
        return value.start_mark.line + 1, value
    return None

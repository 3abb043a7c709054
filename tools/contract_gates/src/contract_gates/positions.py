"""Documents whose parts know their lines, YAML and JSON alike.

One guarantee: `line_of` always answers with a line of the file, that of the nearest part that is
there, so a finding about something missing still leads to where it is missing.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

Pointer = Sequence[str | int]


class UnreadableError(Exception):
    """A file that cannot be parsed: which, at which line, and why."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}")
        self.path = path
        self.line = line
        self.reason = reason


class Document:
    """A parsed YAML or JSON file. `data` is its content, as the file's own format reads it.

    Raises UnreadableError for what does not parse, OSError for what is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
            # YAML is a superset of JSON as people write it: one way to the lines serves both.
            loader = yaml.CSafeLoader(text)
            self._root = loader.get_single_node()
            if path.suffix == ".json":
                self.data: Any = json.loads(text)
            else:
                self.data = loader.construct_document(self._root) if self._root else None
        except json.JSONDecodeError as error:
            raise UnreadableError(path, error.lineno, error.msg) from None
        except (yaml.YAMLError, ValueError) as error:  # A UnicodeDecodeError is a ValueError.
            mark = getattr(error, "problem_mark", None)
            reason = str(getattr(error, "problem", None) or error).splitlines()[0]
            raise UnreadableError(path, mark.line + 1 if mark else 1, reason) from None

    def line_of(self, pointer: Pointer) -> int:
        """The 1-based line on which the part's key (in a list, the item itself) stands."""
        node = self._root
        line = node.start_mark.line + 1 if node else 1
        for part in pointer:
            found = _child(node, part)
            if found is None:
                break
            line, node = found
        return line

    def repeated_keys(self) -> Iterator[tuple[str | int, ...]]:
        """The way to every key that stands in its mapping before: parsers drop one of the two."""
        return _repeated(self._root, (), set())


def _child(node: Any, part: str | int) -> tuple[int, Any] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and str(part).isdecimal():
        index = int(part)
        if index < len(node.value):
            return node.value[index].start_mark.line + 1, node.value[index]
    return None


def _repeated(
    node: Any, at: tuple[str | int, ...], visited: set[int]
) -> Iterator[tuple[str | int, ...]]:
    if id(node) in visited:  # An alias leads to the node of its anchor once more.
        return
    visited.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated(item, (*at, index), visited)
    if isinstance(node, yaml.MappingNode):
        known: set[str] = set()
        for key, value in node.value:
            if key.value in known:
                yield (*at, key.value)
            known.add(key.value)
            yield from _repeated(value, (*at, key.value), visited)

"""The contracts' documents with every `$ref` followed, each part knowing where it was written.

One guarantee: what `Folder.read` returns means what the file means, and a part that came through a
`$ref` still names the file and line that it stands on: the one to edit.
"""

import os.path
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contract_gates.positions import Document
from contracts.generate.source import ContractsError

# Words for people and hints for tools: they say nothing about which data are valid.
ANNOTATIONS = frozenset(
    {"$schema", "$id", "$comment", "title", "description", "summary", "examples", "example"}
    | {"default", "deprecated", "readOnly", "writeOnly"}
)


class Located(dict[str, Any]):
    """A JSON object that remembers its document and its place in there.

    `via` is the `$ref` that led to it, if one did.
    """

    def __init__(
        self,
        content: dict[str, Any],
        document: Document,
        pointer: Sequence[str | int],
        via: "Located | None" = None,
    ) -> None:
        super().__init__(content)
        self.document = document
        self.pointer = tuple(pointer)
        self.via = via

    @property
    def path(self) -> Path:
        """The file that it is written in."""
        return self.document.path

    def line(self, *keys: str | int) -> int:
        """The line of a part of it; of itself, without keys."""
        return self.document.line_of((*self.pointer, *keys))


class Folder:
    """A contracts folder; each file is read once."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._documents: dict[Path, Document] = {}
        self._followed: dict[str, Located] = {}
        self._targets: dict[str, Any] = {}

    def read(self, name: str) -> Located:
        """A file by its name in the folder; raises ContractsError for a `$ref` to nowhere."""
        if name not in self._followed:
            document = self._document(self.root / name)
            self._followed[name] = self._follow(document.data, document, (), frozenset())
        return self._followed[name]

    def _document(self, path: Path) -> Document:
        if path not in self._documents:
            self._documents[path] = Document(path)
        return self._documents[path]

    def _follow(
        self, node: Any, document: Document, pointer: tuple[str | int, ...], within: frozenset[str]
    ) -> Any:
        if isinstance(node, list):
            return [
                self._follow(each, document, (*pointer, index), within)
                for index, each in enumerate(node)
            ]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        if isinstance(reference, str):
            return self._target(node, reference, document, pointer, within)
        followed = {
            key: self._follow(value, document, (*pointer, key), within)
            for key, value in node.items()
        }
        return Located(followed, document, pointer)

    def _target(
        self,
        node: dict[str, Any],
        reference: str,
        document: Document,
        pointer: tuple[str | int, ...],
        within: frozenset[str],
    ) -> Any:
        name, _, fragment = reference.partition("#")
        path = _beside(document.path, name)
        goal = f"{path}#{fragment}"
        if goal in within:  # A schema that contains itself: left as it is, and judged as such.
            return Located(node, document, pointer)
        if goal not in self._targets:
            what = f"{document.path}: the $ref to {reference}"
            other, keys, found = self._at(path, fragment, what)
            self._targets[goal] = self._follow(found, other, keys, within | {goal})
        target = self._targets[goal]
        beside = {key: value for key, value in node.items() if key != "$ref"}
        if beside.keys() <= ANNOTATIONS:
            # A description beside the `$ref` is about this use; the rest stands where it stands.
            via = Located(node, document, pointer)
            return Located({**target, **beside}, target.document, target.pointer, via)
        rest = self._follow(beside, document, pointer, within)
        return Located({"allOf": [target, rest]}, document, pointer)

    def _at(
        self, path: Path, fragment: str, what: str
    ) -> tuple[Document, tuple[str | int, ...], Any]:
        """What a JSON Pointer leads to, also through parts that are references themselves."""
        keys: tuple[str | int, ...] = ()
        if fragment and not fragment.startswith("/"):
            raise ContractsError([f"{what} is no JSON Pointer: write #/ and the way to it"])
        try:
            document = self._document(path)
            found = document.data
            for part in fragment.split("/")[1:]:
                while _unescaped(part) not in found and "$ref" in found:
                    name, _, further = found["$ref"].partition("#")
                    place = _beside(document.path, name)
                    document, keys, found = self._at(place, further, what)
                keys = (*keys, _unescaped(part))
                found = found[keys[-1]]
        except (OSError, KeyError, TypeError):
            raise ContractsError([f"{what} leads nowhere"]) from None
        return document, keys, found


def _beside(file: Path, name: str) -> Path:
    """The file that a relative reference in another one names; that one itself without a name."""
    return Path(os.path.normpath(file.parent / name)) if name else file


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")

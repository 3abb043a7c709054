"""The contracts as they are written: every document with its lines, and what a `$ref` leads to.

One guarantee: all documents are read once and before anything is judged, so that a file which
cannot be parsed is named instead of half judged.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract_gates.findings import Finding
from contract_gates.positions import Document, Pointer, UnreadableError

ROOT = Path(__file__).resolve().parents[4]
# What holds values, not schemas: a `$ref` in there would be a value, too.
VERBATIM = frozenset({"const", "default", "enum", "example", "examples"})


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a document: what it holds, and the way to it."""

    document: Document
    pointer: tuple[str | int, ...]
    data: Any

    @property
    def line(self) -> int:
        """The line that it stands on."""
        return self.document.line_of(self.pointer)

    def step(self, key: str | int) -> "Part":
        """The part that is there under the key."""
        return Part(self.document, (*self.pointer, key), self.data[key])

    def at(self, *keys: str | int) -> "Part | None":
        """The part further in, or None if there is none."""
        data = self.data
        for key in keys:
            try:
                data = data[key]
            except (LookupError, TypeError):
                return None
        return Part(self.document, (*self.pointer, *keys), data)

    def each(self, *keys: str | int) -> "Iterator[tuple[str, Part]]":
        """The members of the mapping that `keys` lead to, by name; none if there is none."""
        held = self.at(*keys)
        if held is not None and isinstance(held.data, dict):
            for name, value in held.data.items():
                yield str(name), Part(held.document, (*held.pointer, name), value)


def references(part: Part) -> Iterator[Part]:
    """Every part that is a `$ref`."""
    if isinstance(part.data, list):
        for index in range(len(part.data)):
            yield from references(part.step(index))
    if isinstance(part.data, dict):
        if isinstance(part.data.get("$ref"), str):
            yield part
        for key in part.data:
            if key not in VERBATIM:
                yield from references(part.step(key))


class DanglingError(Exception):
    """A `$ref` that leads nowhere; `part` is where it stands."""

    def __init__(self, part: Part) -> None:
        super().__init__(f"{part.document.path}: the $ref {part.data['$ref']} leads nowhere")
        self.part = part


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the contracts are, and what is held against them."""

    contracts: Path = ROOT / "contracts"
    package: Path = ROOT / "libs" / "contracts" / "src" / "contracts"
    services: Path = ROOT / "services"
    site: Path = ROOT / "docs" / "site"

    def shown(self, path: Path) -> str:
        """A path as findings name it: relative to what holds the contracts, or the repository."""
        path = path.resolve()
        for base in (self.contracts.resolve().parent, ROOT):
            if path.is_relative_to(base):
                return path.relative_to(base).as_posix()
        return path.as_posix()


class Sources:
    """The documents of one contracts folder. `unreadable` are the files that do not parse."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.unreadable: list[Finding] = []
        self._documents: dict[Path, Document] = {}
        root = folders.contracts.resolve()
        for path in sorted([*root.glob("*/*.yaml"), *root.glob("**/*.json")]):
            try:
                self._documents[path] = _object(path)
            except UnreadableError as error:
                self.unreadable.append(
                    Finding(
                        folders.shown(path),
                        error.line,
                        "parse/unreadable",
                        f"it does not parse: {error.reason}",
                        "Mend it; no gate judges contracts that cannot be read",
                    )
                )

    @property
    def documents(self) -> list[Document]:
        """All of them, in the order of their paths."""
        return list(self._documents.values())

    @property
    def services(self) -> list[str]:
        """The names of the services that have contracts."""
        return sorted({path.parent.name for path in self._documents if path.suffix == ".yaml"})

    def asyncapi(self) -> Iterator[tuple[str, Part]]:
        """Each service's AsyncAPI document."""
        return self._of_services("asyncapi.yaml")

    def openapi(self) -> Iterator[tuple[str, Part]]:
        """Each service's OpenAPI document."""
        return self._of_services("openapi.yaml")

    def messages(self) -> Iterator[tuple[str, Part]]:
        """Each message's schema, with the name of its owner."""
        for path, document in self._documents.items():
            if path.parent.name == "schemas":
                yield path.parent.parent.name, Part(document, (), document.data)

    def common(self) -> Iterator[Part]:
        """Each schema that several share."""
        for path, document in self._documents.items():
            if path.parent.name == "common":
                yield Part(document, (), document.data)

    def followed(self, part: Part) -> Part | None:
        """What the part's `$ref` leads to, over as many as there are; None if it leads nowhere."""
        visited: set[tuple[Path, tuple[str | int, ...]]] = set()
        found: Part | None = part
        while found is not None and isinstance(found.data, dict) and "$ref" in found.data:
            if (found.document.path, found.pointer) in visited:
                return None
            visited.add((found.document.path, found.pointer))
            found = self._target(found.document, str(found.data["$ref"]))
        return found

    def resolved(self, part: Part) -> Any:
        """The schema with all that it refers to written in; raises DanglingError.

        What stands beside a `$ref` is about this use, and wins. Copies go without `$id`: the
        references are relative paths, which do not resolve against a URN.
        """
        found = self.followed(part)
        if found is None:
            raise DanglingError(part)
        if isinstance(found.data, list):
            return [self.resolved(found.step(index)) for index in range(len(found.data))]
        if not isinstance(found.data, dict):
            return found.data
        whole = self._members(found)
        return whole if found == part else whole | self._members(part)

    def _members(self, part: Part) -> dict[str, Any]:
        return {
            key: value if key in VERBATIM else self.resolved(part.step(key))
            for key, value in part.data.items()
            if key not in ("$ref", "$id", "$schema")
        }

    def finding(self, part: Part, rule: str, message: str, remedy: str) -> Finding:
        """A finding about a part."""
        return Finding(self.folders.shown(part.document.path), part.line, rule, message, remedy)

    def place(self, path: Path | None, pointer: Pointer = ()) -> tuple[str, int]:
        """File and line as a finding shows them, for a path that may be none of the documents."""
        if path is None:
            return self.folders.shown(self.folders.contracts), 0
        document = self._documents.get(path.resolve())
        return self.folders.shown(path), document.line_of(pointer) if document else 0

    def _of_services(self, name: str) -> Iterator[tuple[str, Part]]:
        for path, document in self._documents.items():
            if path.name == name:
                yield path.parent.name, Part(document, (), document.data)

    def _target(self, document: Document, reference: str) -> Part | None:
        location, _, pointer = reference.partition("#")
        if pointer and not pointer.startswith("/"):
            return None  # An anchor: what derives from the contracts follows JSON Pointers only.
        path = (document.path.parent / location).resolve() if location else document.path
        target = self._documents.get(path)
        if target is None:
            return None
        keys = [
            key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:] if pointer
        ]
        return Part(target, (), target.data).at(*keys)


def _object(path: Path) -> Document:
    """The document, which has to be a JSON object; raises UnreadableError."""
    document = Document(path)
    if not isinstance(document.data, dict):
        raise UnreadableError(path, 1, "it is empty, or no object")
    return document

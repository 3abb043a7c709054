"""Every schema in the contracts, down to single properties, with what it describes.

One guarantee: each is visited once, whatever leads to it, in the file in which it is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from contract_gates.sources import Part, Sources

# `request`: what a client sends, parameters included. `response`: what a client reads.
Use = Literal["message", "common", "request", "response"]
METHODS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema: of a property by that name, or without a name if it is none's."""

    part: Part
    use: Use
    name: str | None = None
    root: bool = False

    @property
    def own(self) -> bool:
        """Whether it says itself what it is, instead of referring to what does."""
        return "$ref" not in self.part.data


def schemas(sources: Sources) -> Iterator[Schema]:
    """All of them, those within others included."""
    for _, part in sources.messages():
        yield from _within(Schema(part, "message", root=True))
    for part in sources.common():
        yield from _within(Schema(part, "common", root=True))
    for _, document in sources.openapi():
        yield from _of_http(document)


def properties(sources: Sources) -> Iterator[Schema]:
    """Those that are a property."""
    return (each for each in schemas(sources) if each.name is not None)


def operations(document: Part) -> Iterator[tuple[str, Part, Part]]:
    """Each operation of an OpenAPI document with its path and its path item."""
    for path, item in document.each("paths"):
        for method in METHODS:
            operation = item.at(method)
            if operation is not None:
                yield path, item, operation


def parameters(sources: Sources, item: Part, operation: Part) -> list[Part]:
    """An operation's parameters, those of its path included, behind their references."""
    found = [sources.followed(each) for part in (item, operation) for each in _listed(part)]
    return [each for each in found if each is not None]


def _listed(part: Part) -> list[Part]:
    held = part.at("parameters")
    return [held.step(index) for index in range(len(held.data))] if held else []


def _within(schema: Schema) -> Iterator[Schema]:
    if not isinstance(schema.part.data, dict):
        return
    yield schema
    for name, part in schema.part.each("properties"):
        yield from _within(Schema(part, schema.use, name))
    for key in ("items", "additionalProperties"):
        if (member := schema.part.at(key)) is not None:
            yield from _within(Schema(member, schema.use))
    for key in ("allOf", "anyOf", "oneOf"):
        for index in range(len(schema.part.data.get(key, []))):
            yield from _within(Schema(schema.part.step(key).step(index), schema.use))


def _of_http(document: Part) -> Iterator[Schema]:
    """The document's own schemas: first what requests lead to, then all others."""
    visited: set[tuple[str | int, ...]] = set()
    uses: list[tuple[Use, list[Part]]] = [
        ("request", list(_asked(document))),
        ("response", list(_answered(document))),
    ]
    for use, roots in uses:
        waiting = roots
        while waiting:
            for schema in _within(Schema(waiting.pop(0), use)):
                if schema.part.pointer in visited:
                    continue
                visited.add(schema.part.pointer)
                yield schema
                target = _local(document, schema.part)
                if target is not None:
                    waiting.append(target)


def _asked(document: Part) -> Iterator[Part]:
    for _, item, operation in operations(document):
        for holder in (item, operation):
            for parameter in _listed(holder):
                yield from _schema_of(_behind(document, parameter))
        if (body := operation.at("requestBody")) is not None:
            yield from _contents(_behind(document, body))


def _answered(document: Part) -> Iterator[Part]:
    for _, _, operation in operations(document):
        for _, response in operation.each("responses"):
            found = _behind(document, response)
            yield from _contents(found)
            for _, header in found.each("headers"):
                yield from _schema_of(_behind(document, header))
    for _, schema in document.each("components", "schemas"):
        yield schema


def _contents(holder: Part) -> Iterator[Part]:
    for _, media_type in holder.each("content"):
        yield from _schema_of(media_type)


def _schema_of(holder: Part) -> Iterator[Part]:
    if (schema := holder.at("schema")) is not None:
        yield schema


def _behind(document: Part, part: Part) -> Part:
    return _local(document, part) or part


def _local(document: Part, part: Part) -> Part | None:
    reference = part.data.get("$ref", "") if isinstance(part.data, dict) else ""
    return document.at(*reference[2:].split("/")) if reference.startswith("#/") else None

"""Gate `validity`: every document is what it says it is, by the parsers that others will use.

One guarantee: what passes is valid AsyncAPI 3.0, OpenAPI 3.1 or JSON Schema 2020-12, with every
`$ref` leading somewhere.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs

from contract_gates.check.context import CannotAskError, Context
from contract_gates.findings import Finding
from contract_gates.positions import Document
from contract_gates.sources import Part, Sources, references
from contracts.generate.node import run_node_tool
from contracts.generate.source import ContractsError

Place = tuple[Path, tuple[str | int, ...]]
METASCHEMA = jsonschema_rs.Draft202012Validator(
    {"$ref": "https://json-schema.org/draft/2020-12/schema"}
)


def validity(context: Context) -> Iterator[Finding]:
    """What the meta-schema and the references say; if they are content, what the parsers say.

    The parsers would only repeat those faults, once for each document that refers to the file.
    """
    sources = context.sources
    faults = [*_schemas(sources), *_references(sources), *_loops(sources)]
    yield from faults or _by_node(sources)


def _schemas(sources: Sources) -> Iterator[Finding]:
    files = [part for _, part in sources.messages()] + list(sources.common())
    for part in files:
        for error in METASCHEMA.iter_errors(part.data):
            broken = part.at(*error.instance_path) or part
            yield sources.finding(
                broken,
                "validity/json-schema",
                error.message,
                "Write what JSON Schema 2020-12 allows there",
            )


def _references(sources: Sources) -> Iterator[Finding]:
    for document in sources.documents:
        for part in references(Part(document, (), document.data)):
            if sources.followed(part) is None:
                yield sources.finding(
                    part,
                    "validity/reference",
                    f"the $ref to {part.data['$ref']} leads nowhere",
                    "Name a file and a part that are there, by a relative path",
                )


def _loops(sources: Sources) -> Iterator[Finding]:
    """What contains itself: the parsers would follow it for ever, and no example is all of it."""
    through: set[Place] = set()

    def beneath(part: Part, within: frozenset[Place]) -> Iterator[Part]:
        for reference in references(part):
            goal = sources.followed(reference)
            if goal is None:
                continue  # It leads nowhere, which is said as such.
            place = (goal.document.path, goal.pointer)
            if place in within:
                yield reference
            elif place not in through:
                yield from beneath(goal, within | {place})
                through.add(place)

    for document in sources.documents:
        for part in beneath(Part(document, (), document.data), frozenset()):
            yield sources.finding(
                part,
                "validity/loop",
                f"the $ref to {part.data['$ref']} leads back to what it stands in",
                "Write the levels out, as many as there are, or name the inner one by its id",
            )


def _by_node(sources: Sources) -> Iterator[Finding]:
    documents = {
        str(part.document.path): part.document
        for _, part in (*sources.asyncapi(), *sources.openapi())
    }
    for fault in _faults(list(documents)):
        path = Path(fault["file"])
        document = documents.get(fault["file"])
        yield Finding(
            sources.folders.shown(path),
            _line(fault, document),
            f"validity/{fault['rule']}",
            fault["message"].rstrip("."),
            "Write what the specification allows there"
            if path.name.startswith("asyncapi")
            else f"See redocly.com/docs/cli/rules/oas/{fault['rule']}",
            "warning" if fault["level"] == "warning" else "error",
        )


def _line(fault: dict[str, Any], document: Document | None) -> int:
    pointer = fault.get("pointer")
    line: int = document.line_of(pointer) if document and pointer else fault["line"]
    return line


def _faults(files: list[str]) -> list[dict[str, Any]]:
    try:
        printed = run_node_tool("lint.mjs", *files)
    except ContractsError as error:
        raise CannotAskError(str(error)) from None
    # The same fault is met once for each document that refers to the file.
    return [json.loads(line) for line in dict.fromkeys(printed.splitlines())]

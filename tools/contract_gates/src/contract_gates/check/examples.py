"""Gate `examples`: whoever copies an example from the contracts has something that works.

One guarantee: every example is valid against what it is an example of, formats included, and shows
no field that the schema does not name; an envelope's data is valid against its own `dataschema`.
"""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from contract_gates.check.context import Context
from contract_gates.findings import Finding
from contract_gates.sources import VERBATIM, DanglingError, Part, Sources


def examples(context: Context) -> Iterator[Finding]:
    """What is wrong with the examples."""
    sources = context.sources
    for document in sources.documents:
        for schema, example in _examples(Part(document, (), document.data)):
            yield from _faults(sources, schema, example)
    for part in sources.common():
        if part.document.path.stem == "envelope":
            for index in range(len(part.data.get("examples", []))):
                yield from _enveloped(sources, part.step("examples").step(index))


def _examples(part: Part) -> Iterator[tuple[Part, Part]]:
    """Each schema with each example of it, whatever the way to say so."""
    if isinstance(part.data, list):
        for index in range(len(part.data)):
            yield from _examples(part.step(index))
    if not isinstance(part.data, dict):
        return
    # OpenAPI's media types, parameters and headers hold a schema; AsyncAPI's messages a payload.
    schema = part.at("schema") or part.at("payload") or part
    if "example" in part.data:
        yield schema, part.step("example")
    held = part.data.get("examples")
    if isinstance(held, list):
        for index, each in enumerate(held):
            example = part.step("examples").step(index)
            yield schema, (example.step("payload") if _is_message(part, each) else example)
    if isinstance(held, dict) and schema is not part:
        for _, named in part.each("examples"):
            if (value := named.at("value")) is not None:
                yield schema, value
    for key in part.data:
        if key == "properties":  # A property may have any name, that of a keyword, too.
            for _, named in part.each(key):
                yield from _examples(named)
        elif key not in VERBATIM:
            yield from _examples(part.step(key))


def _is_message(part: Part, example: Any) -> bool:
    return "payload" in part.data and isinstance(example, dict) and "payload" in example


def _faults(sources: Sources, schema: Part, example: Part) -> Iterator[Finding]:
    try:
        whole = sources.resolved(schema)
    except DanglingError as dangling:
        yield sources.finding(
            dangling.part,
            "examples/reference",
            f"examples cannot be judged: the $ref {dangling.part.data['$ref']} leads nowhere",
            "Name a file and a part that are there",
        )
        return
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    for error in validator.iter_errors(example.data):
        yield sources.finding(
            example.at(*error.instance_path) or example,
            "examples/invalid",
            f"the example breaks its schema: {error.message}",
            "Mend the example, or the schema if the example is what is meant",
        )
    for name, at in _undeclared(whole, example):
        yield sources.finding(
            at,
            "examples/undeclared",
            f"the example has {name}, which its schema does not name",
            "Declare it, or take it out of the example",
        )


def _undeclared(schema: Any, value: Part) -> Iterator[tuple[str, Part]]:
    if isinstance(value.data, list) and isinstance(schema.get("items"), dict):
        for index in range(len(value.data)):
            yield from _undeclared(schema["items"], value.step(index))
    declared = schema.get("properties")
    if not isinstance(value.data, dict) or declared is None:
        return
    for name in value.data:
        if name in declared:
            yield from _undeclared(declared[name], value.step(name))
        elif not schema.get("additionalProperties"):
            yield name, value.step(name)


def _enveloped(sources: Sources, example: Part) -> Iterator[Finding]:
    by_id = {part.data.get("$id"): part for _, part in sources.messages()}
    schema = by_id.get(example.data.get("dataschema"))
    if schema is None or schema.data.get("title") != example.data.get("type"):
        yield sources.finding(
            example.at("dataschema") or example,
            "examples/envelope",
            "the envelope's dataschema is not the $id of the message that its type names",
            "Name a message of the contracts in both",
        )
    elif "data" in example.data:
        yield from _faults(sources, schema, example.step("data"))

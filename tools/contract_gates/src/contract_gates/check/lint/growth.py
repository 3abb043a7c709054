"""Rules that leave room to grow: old readers stand new messages, and new readers old ones."""

from collections.abc import Iterator

from contract_gates.check.lint.breach import Breach
from contract_gates.check.lint.schemas import schemas
from contract_gates.sources import Part, Sources

CLOSED = "x-closed"


def readers_are_tolerant(sources: Sources) -> Iterator[Breach]:
    """Else a new optional field of the sender's sends every message to the dead letters."""
    for schema in schemas(sources):
        held = schema.part.data
        closed = held.get("additionalProperties") is False or "unevaluatedProperties" in held
        if schema.use in ("message", "common", "response") and closed:
            yield Breach(
                schema.part,
                "the schema refuses fields that it does not know",
                "Remove the keyword: readers ignore what they do not know",
            )


def absent_is_not_null(sources: Sources) -> Iterator[Breach]:
    """Absent and null mean two things to one reader and one thing to another."""
    for schema in schemas(sources):
        kind = schema.part.data.get("type")
        if kind == "null" or isinstance(kind, list) or "nullable" in schema.part.data:
            yield Breach(
                schema.part,
                "the schema allows null, or several types",
                "Give it one type; a field without a value is left out, not null",
            )


def enums_of_events_are_closed(sources: Sources) -> Iterator[Breach]:
    """On the day on which an enum gets one more value, all older readers refuse the message."""
    received = {str(part.document.path) for part in _commands(sources)}
    for schema in schemas(sources):
        is_sent = schema.use == "message" and str(schema.part.document.path) not in received
        if is_sent and "enum" in schema.part.data and not schema.part.data.get(CLOSED):
            yield Breach(
                schema.part,
                "an event or reply has an enum, to which no value can ever be added",
                f"Use common/code.json; or say in {CLOSED} why the set is complete for good",
            )


def _commands(sources: Sources) -> Iterator[Part]:
    """The schemas of commands: their owner reads them, and may widen what it takes."""
    by_path = {part.document.path: part for _, part in sources.messages()}
    for _, document in sources.asyncapi():
        for name, message in document.each("components", "messages"):
            path = document.document.path.parent / "schemas" / f"{name}.json"
            tags = [tag.get("name") for tag in message.data.get("tags", [])]
            if "command" in tags and path in by_path:
                yield by_path[path]

"""Rules that leave room to grow: old readers stand new messages, and new readers old ones."""

from collections.abc import Iterator
from pathlib import Path

from contract_gates.check.lint.breach import Breach
from contract_gates.check.lint.schemas import schemas
from contract_gates.sources import Sources, references

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
    sent = _files_of_events(sources)
    for schema in schemas(sources):
        is_sent = schema.part.document.path in sent
        if is_sent and "enum" in schema.part.data and not schema.part.data.get(CLOSED):
            yield Breach(
                schema.part,
                "an event or reply has an enum, to which no value can ever be added",
                f"Use common/code.json; or say in {CLOSED} why the set is complete for good",
            )


def _files_of_events(sources: Sources) -> set[Path]:
    """The schemas of events and replies and what they refer to; a command's reader is its owner,
    who may take more than before.
    """
    commands = _commands(sources)
    waiting = [part for _, part in sources.messages() if part.document.path not in commands]
    files: set[Path] = set()
    while waiting:
        part = waiting.pop()
        if part.document.path not in files:
            files.add(part.document.path)
            waiting.extend(filter(None, map(sources.followed, references(part))))
    return files


def _commands(sources: Sources) -> set[Path]:
    return {
        document.document.path.parent / "schemas" / f"{name}.json"
        for _, document in sources.asyncapi()
        for name, message in document.each("components", "messages")
        if "command" in [tag.get("name") for tag in message.data.get("tags", [])]
    }

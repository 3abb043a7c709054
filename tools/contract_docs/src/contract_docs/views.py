"""What a template shows of messages and shared schemas, put together from the documents.

One guarantee: every message of the contracts has a place that `Documents.href` leads to.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from contract_docs.documents import COMMON_PAGE, Documents
from contract_docs.examples import example_of
from contract_docs.fields import Field, Lookup, Named, fields
from contracts.generate.source import ContractsError, Message


@dataclass(frozen=True)
class End:
    """A service at one end of a message, and what it says it does there."""

    service: str
    why: str


@dataclass(frozen=True)
class MessageView:
    message: Message
    href: str
    fields: list[Field]
    examples: list[Any]
    senders: list[End]
    receivers: list[End]

    @property
    def words(self) -> str:
        """What the list of messages can be filtered by, its visible text aside."""
        return " ".join(field.path for field in self.fields)


@dataclass(frozen=True)
class CommonView:
    """A shared schema and who uses it, directly or through another one."""

    named: Named
    id: str
    fields: list[Field]
    examples: list[Any]
    messages: list[str]
    apis: list[str]


@dataclass(frozen=True)
class Note:
    """A line of the annotated envelope. `json` is the line's text, `field` what it means."""

    json: str
    field: Field


def common_by_title(documents: Documents) -> dict[str, Named]:
    return {
        schema["title"]: Named(schema["title"], schema, f"{COMMON_PAGE}#{schema['title']}")
        for schema in documents.contracts.common.values()
    }


def file_lookup(documents: Documents) -> Lookup:
    """What the relative paths in schema files lead to: always to a shared schema."""
    by_title = common_by_title(documents)

    def lookup(reference: str) -> Named:
        target = documents.contracts.common.get(PurePosixPath(reference).stem)
        if target is None:
            raise ContractsError([f"{reference} is not in contracts/common"])
        return by_title[target["title"]]

    return lookup


def message_view(documents: Documents, name: str) -> MessageView:
    message = documents.contracts.messages[name]
    lookup = file_lookup(documents)
    receivers = [
        End(service, documents.why(service, "receive", name))
        for service in documents.receivers(name)
    ]
    told = {end.why for end in receivers}
    senders = [
        # What both ends say in the same words is shown once, where it takes effect.
        End(service, "" if why in told else why)
        for service in documents.senders(name)
        for why in [documents.why(service, "send", name)]
    ]
    return MessageView(
        message=message,
        href=documents.href(name),
        fields=fields(message.schema, lookup),
        examples=message.schema.get("examples") or [example_of(message.schema, lookup)],
        senders=senders,
        receivers=receivers,
    )


def common_views(documents: Documents) -> list[CommonView]:
    """All shared schemas but the envelope, which has a section of its own, by their titles."""
    lookup = file_lookup(documents)
    views = []
    for title, named in sorted(common_by_title(documents).items()):
        if named.schema is documents.contracts.common["envelope"]:
            continue
        views.append(
            CommonView(
                named=named,
                id=named.schema["$id"],
                fields=fields(named.schema, lookup),
                examples=named.schema.get("examples", []),
                messages=[
                    message.name
                    for message in documents.messages
                    if title in _titles(message.schema, lookup)
                ],
                apis=[
                    service
                    for service in documents.services
                    if title in _component_titles(documents.openapi.get(service, {}))
                ],
            )
        )
    return views


def envelope_notes(documents: Documents) -> list[Note]:
    """The envelope's example, a line at a time, each with its field."""
    envelope = documents.contracts.common["envelope"]
    by_path = {field.path: field for field in fields(envelope, file_lookup(documents))}
    return [
        Note(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}", by_path[key])
        for key, value in envelope["examples"][0].items()
    ]


def _titles(schema: Mapping[str, Any], lookup: Lookup) -> set[str]:
    found: set[str] = set()
    for reference in _references(schema):
        named = lookup(reference)
        found |= {named.name} | _titles(named.schema, lookup)
    return found


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _references(each)
    elif isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from _references(each)


def _component_titles(document: Mapping[str, Any]) -> set[str]:
    schemas = document.get("components", {}).get("schemas", {})
    return {schema["title"] for schema in schemas.values() if "title" in schema}

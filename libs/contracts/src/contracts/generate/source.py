"""Reads `contracts/`: the AsyncAPI documents and JSON Schemas as the generators need them.

One guarantee: a message without a channel, a channel without a schema, or a `$ref` that leads
nowhere is an error here, so the generators only ever see a whole.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

KINDS = ("command", "reply", "event")
# A channel's x-audience: `public` is an event for whoever listens, services outside of these
# contracts included, so it may have no receiver here.
AUDIENCES = (None, "public")


@dataclass(frozen=True)
class Fault:
    """One contradiction: what it is, what to do, and the part of the file that it is about."""

    what: str
    remedy: str = ""
    file: Path | None = None
    pointer: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}" if self.remedy else self.what


class ContractsError(Exception):
    """The contracts contradict themselves; `faults` says where."""

    def __init__(self, faults: Iterable[Fault | str]) -> None:
        self.faults = [each if isinstance(each, Fault) else Fault(each) for each in faults]
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(frozen=True)
class Message:
    """One message as its owner's documents declare it.

    `sources` may put it on the bus; a `public` one is meant for others than these services, too.
    """

    name: str
    owner: str
    version: int
    kind: str
    bus: str
    sources: tuple[str, ...]
    public: bool
    schema: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Contracts:
    """All documents. `sends` and `receives` are message names by service, in document order."""

    root: Path
    messages: dict[str, Message]
    common: dict[str, dict[str, Any]]
    sends: dict[str, tuple[str, ...]]
    receives: dict[str, tuple[str, ...]]

    @property
    def services(self) -> list[str]:
        return sorted(self.sends)

    def owned_by(self, service: str) -> list[Message]:
        owned = [message for message in self.messages.values() if message.owner == service]
        return sorted(owned, key=lambda message: message.name)


def read_contracts(root: Path) -> Contracts:
    """Read the folder `contracts/`; raises ContractsError with all the faults found."""
    documents = {
        path.parent.name: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted(root.glob("*/asyncapi.yaml"))
    }
    if not documents:
        raise ContractsError([f"{root} holds no contracts; name the folder with --contracts"])
    faults: list[Fault] = []
    messages: dict[str, Message] = {}
    for service, document in documents.items():
        for message in _owned_messages(root, service, document, faults):
            if message.name in messages:
                owners = f"{service} and {messages[message.name].owner}"
                faults.append(
                    Fault(
                        f"{message.name}: owned by {owners}",
                        "let one of them refer to the other's channel",
                        *_channel(root, service, message.name),
                    )
                )
            messages[message.name] = message
        faults.extend(_schemas_without_channel(root, service, messages))
    sends: dict[str, tuple[str, ...]] = {}
    receives: dict[str, tuple[str, ...]] = {}
    for service, document in documents.items():
        sends[service] = _operations(root, service, document, "send", messages, faults)
        receives[service] = _operations(root, service, document, "receive", messages, faults)
    common = {path.stem: _json(path) for path in sorted((root / "common").glob("*.json"))}
    if faults:
        raise ContractsError(faults)
    return Contracts(root, messages, common, sends, receives)


def _owned_messages(
    root: Path, service: str, document: dict[str, Any], faults: list[Fault]
) -> list[Message]:
    found = []
    for name, channel in document["channels"].items():
        if "$ref" in channel:
            continue
        try:
            found.append(_owned_message(root, service, name, document))
        except ContractsError as error:
            faults.extend(error.faults)
    return found


def _owned_message(root: Path, service: str, name: str, document: dict[str, Any]) -> Message:
    """The message of a service's own channel; raises ContractsError with the first fault."""
    file, at = _channel(root, service, name)
    where = f"contracts/{service}/asyncapi.yaml: channel {name}"
    channel = document["channels"][name]

    def refuse(what: str, remedy: str, *pointer: str) -> ContractsError:
        return ContractsError([Fault(f"{where}: {what}", remedy, file, (*at, *pointer))])

    declared = document.get("components", {}).get("messages", {}).get(name)
    if channel.get("address") != name or declared is None:
        what = f"its address and its one message must be named {name}"
        raise refuse(what, "name all three alike", "address")
    path = root / service / "schemas" / f"{name}.json"
    if declared.get("payload") != {"$ref": f"./schemas/{name}.json"} or not path.exists():
        what = f"its payload must be ./schemas/{name}.json"
        raise refuse(what, "write that file and refer to it", "messages")
    schema = _json(path)
    prefix, _, version = schema.get("$id", "").rpartition(":")
    if prefix != f"urn:bookstore:{service}:{name}" or not version.isdecimal():
        what = f"{path.name}: $id must be urn:bookstore:{service}:{name}:<major version>"
        raise ContractsError([Fault(what, "set it", path, ("$id",))])
    kinds = [tag["name"] for tag in declared.get("tags", []) if tag["name"] in KINDS]
    if len(kinds) != 1:
        raise refuse(f"its message needs one tag of {', '.join(KINDS)}", "add it", "messages")
    audience = channel.get("x-audience")
    if audience not in AUDIENCES:
        what = f"x-audience is {audience!r}; it can only be public, or absent"
        raise refuse(what, "set or remove it", "x-audience")
    if audience == "public" and kinds[0] != "event":
        what = f"x-audience: public is for events; this is a {kinds[0]}"
        raise refuse(what, "remove it", "x-audience")
    routing = channel.get("x-eventbridge")
    if not isinstance(routing, dict) or not {"bus", "source"} <= routing.keys():
        what = "x-eventbridge must name its bus and a list as its source"
        raise refuse(what, "add it as the other channels have it", "x-eventbridge")
    return Message(
        name=name,
        owner=service,
        version=int(version),
        kind=kinds[0],
        bus=routing["bus"],
        sources=tuple(routing["source"]),
        public=audience == "public",
        schema=schema,
    )


def _channel(root: Path, service: str, name: str) -> tuple[Path, tuple[str, ...]]:
    """Where a channel stands: the file and the pointer."""
    return root / service / "asyncapi.yaml", ("channels", name)


def _schemas_without_channel(root: Path, service: str, messages: dict[str, Message]) -> list[Fault]:
    return [
        Fault(
            f"contracts/{service}/schemas/{path.name}: no channel carries it",
            f"add the channel to contracts/{service}/asyncapi.yaml, or remove the schema",
            path,
        )
        for path in sorted((root / service / "schemas").glob("*.json"))
        if path.stem not in messages
    ]


def _operations(
    root: Path,
    service: str,
    document: dict[str, Any],
    action: str,
    messages: dict[str, Message],
    faults: list[Fault],
) -> tuple[str, ...]:
    names = []
    for key, operation in document.get("operations", {}).items():
        if operation["action"] != action:
            continue
        file, at = root / service / "asyncapi.yaml", ("operations", key)
        where = f"contracts/{service}/asyncapi.yaml: operation {key}"
        name = operation["channel"]["$ref"].rpartition("/")[2]
        channel = document["channels"].get(name)
        message = messages.get(name)
        if channel is None or message is None:
            what = f"{where}: there is no channel {name}"
            faults.append(Fault(what, "add it, or name one that is there", file, at))
            continue
        owners = f"../{message.owner}/asyncapi.yaml#/channels/{name}"
        if message.owner != service and channel != {"$ref": owners}:
            what = f"{where}: the channel must be a $ref to {owners}"
            faults.append(Fault(what, "refer to the owner's", file, ("channels", name)))
        if action == "send" and f"bookstore.{service}" not in message.sources:
            what = f"{where}: bookstore.{service} is not among {name}'s x-eventbridge.source"
            remedy = f"add it there if {service} may send it, else remove the operation"
            faults.append(Fault(what, remedy, file, at))
        names.append(name)
    return tuple(names)


def _json(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded

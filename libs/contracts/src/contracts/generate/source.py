"""Reads `contracts/`: the AsyncAPI documents and JSON Schemas as the generators need them.

One guarantee: a message without a channel, a channel without a schema, or a `$ref` that leads
nowhere is an error here, so the generators only ever see a whole.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

# libyaml's, ten times as fast, where PyYAML was built with it.
_SAFE_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
KINDS = ("command", "reply", "event")
# A channel's x-audience: `public` is an event for whoever listens, services outside of these
# contracts included, so it may have no receiver here.
AUDIENCES = (None, "public")


class ContractsError(Exception):
    """The contracts contradict themselves; `faults` says where."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Message:
    """One major version of a message as its owner's documents declare it.

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

    @property
    def model(self) -> str:
        """What its schema file and its types are called: the name, from version 2 on with it."""
        return model_name(self.name, self.version)


def model_name(name: str, version: int) -> str:
    """ReserveStock for version 1, ReserveStockV2 for version 2."""
    return name if version == 1 else f"{name}V{version}"


@dataclass(frozen=True)
class Contracts:
    """All documents. `sends` and `receives` are message names by service, in document order.

    `messages` holds the newest version of each; `older` those that are still carried beside it.
    """

    root: Path
    messages: dict[str, Message]
    common: dict[str, dict[str, Any]]
    sends: dict[str, tuple[str, ...]]
    receives: dict[str, tuple[str, ...]]
    older: tuple[Message, ...] = ()

    @property
    def all_messages(self) -> list[Message]:
        """Every version of every message, by name and version."""
        found = [*self.messages.values(), *self.older]
        return sorted(found, key=lambda message: (message.name, message.version))

    @property
    def services(self) -> list[str]:
        return sorted(self.sends)

    def owned_by(self, service: str) -> list[Message]:
        """Every version of the messages that the service's documents declare, in that order."""
        return [message for message in self.all_messages if message.owner == service]


def read_contracts(root: Path) -> Contracts:
    """Read the folder `contracts/`; raises ContractsError with all the faults found."""
    documents = {path.parent.name: _yaml(path) for path in sorted(root.glob("*/asyncapi.yaml"))}
    if not documents:
        raise ContractsError([f"{root} holds no contracts; name the folder with --contracts"])
    faults: list[str] = []
    messages: dict[str, Message] = {}
    older: list[Message] = []
    for service, document in documents.items():
        owned = _owned_messages(root, service, document, faults)
        for message in sorted(owned, key=lambda each: each.version):
            before = messages.get(message.name)
            if before is not None and before.owner != service:
                faults.append(f"{message.name}: owned by {service} and {before.owner}")
            elif before is not None:
                older.append(before)
            messages[message.name] = message
        faults.extend(_schemas_without_channel(root, service, owned))
    sends: dict[str, tuple[str, ...]] = {}
    receives: dict[str, tuple[str, ...]] = {}
    for service, document in documents.items():
        sends[service] = _operations(service, document, "send", messages, faults)
        receives[service] = _operations(service, document, "receive", messages, faults)
    common = {path.stem: _json(path) for path in sorted((root / "common").glob("*.json"))}
    if faults:
        raise ContractsError(faults)
    return Contracts(root, messages, common, sends, receives, tuple(older))


def _owned_messages(
    root: Path, service: str, document: dict[str, Any], faults: list[str]
) -> list[Message]:
    found = []
    for name, model, channel in _carried(document):
        where = f"contracts/{service}/asyncapi.yaml: channel {name}"
        path = root / service / "schemas" / f"{model}.json"
        declared = document["components"]["messages"].get(model)
        if channel.get("address") != name or declared is None:
            faults.append(f"{where}: its address and its message must be named {name}")
            continue
        if declared["payload"] != {"$ref": f"./schemas/{model}.json"} or not path.exists():
            faults.append(f"{where}: the payload of {model} must be ./schemas/{model}.json")
            continue
        schema = _json(path)
        prefix, _, version = schema.get("$id", "").rpartition(":")
        if prefix != f"urn:bookstore:{service}:{name}" or not version.isdecimal():
            faults.append(
                f"{path.name}: $id must be urn:bookstore:{service}:{name}:<major version>"
            )
            continue
        if model != model_name(name, int(version)):
            right = model_name(name, int(version))
            faults.append(
                f"{path.name}: version {version} stands in a file, and under a title and a message "
                f"name of its own, {right}, beside the versions before it"
            )
            continue
        kinds = [tag["name"] for tag in declared.get("tags", []) if tag["name"] in KINDS]
        if len(kinds) != 1:
            faults.append(f"{where}: its message needs one tag of {', '.join(KINDS)}")
            continue
        audience = channel.get("x-audience")
        if audience not in AUDIENCES:
            faults.append(f"{where}: x-audience is {audience!r}; it can only be public, or absent")
            continue
        if audience == "public" and kinds[0] != "event":
            faults.append(f"{where}: x-audience: public is for events; this is a {kinds[0]}")
            continue
        routing = channel["x-eventbridge"]
        found.append(
            Message(
                name=name,
                owner=service,
                version=int(version),
                kind=kinds[0],
                bus=routing["bus"],
                sources=tuple(routing["source"]),
                public=audience == "public",
                schema=schema,
            )
        )
    return found


def _carried(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each of the service's own channels with each message that it carries: one a version."""
    for name, channel in document["channels"].items():
        if "$ref" not in channel:
            for model in channel.get("messages") or {name: None}:
                yield name, model, channel


def _schemas_without_channel(root: Path, service: str, owned: list[Message]) -> list[str]:
    carried = {message.model for message in owned}
    return [
        f"contracts/{service}/schemas/{path.name}: no channel carries it"
        for path in sorted((root / service / "schemas").glob("*.json"))
        if path.stem not in carried
    ]


def _operations(
    service: str,
    document: dict[str, Any],
    action: str,
    messages: dict[str, Message],
    faults: list[str],
) -> tuple[str, ...]:
    names = []
    for key, operation in document["operations"].items():
        if operation["action"] != action:
            continue
        where = f"contracts/{service}/asyncapi.yaml: operation {key}"
        name = operation["channel"]["$ref"].rpartition("/")[2]
        channel = document["channels"].get(name)
        message = messages.get(name)
        if channel is None or message is None:
            faults.append(f"{where}: there is no channel {name}")
            continue
        owners = f"../{message.owner}/asyncapi.yaml#/channels/{name}"
        if message.owner != service and channel != {"$ref": owners}:
            faults.append(f"{where}: the channel must be a $ref to {owners}")
        if action == "send" and f"bookstore.{service}" not in message.sources:
            faults.append(
                f"{where}: bookstore.{service} is not among {name}'s x-eventbridge.source"
            )
        names.append(name)
    return tuple(names)


def _yaml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            loaded: dict[str, Any] = yaml.load(file, Loader=_SAFE_LOADER)  # noqa: S506
    except yaml.YAMLError as error:
        raise ContractsError([f"{path} is malformed: {error}"]) from None
    return loaded


def _json(path: Path) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ContractsError([f"{path} is malformed: {error}"]) from None
    return loaded

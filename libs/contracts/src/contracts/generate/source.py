"""Reads `contracts/`: the AsyncAPI documents and JSON Schemas as the generators need them.

One guarantee: a message without a channel, a channel without a schema, or a `$ref` that leads
nowhere is an error here, so the generators only ever see a whole.
"""

import json
from collections.abc import Iterable, Iterator
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
    faults: list[Fault] = []
    messages: dict[str, Message] = {}
    older: list[Message] = []
    for service, document in documents.items():
        owned = _owned_messages(root, service, document, faults)
        for message in sorted(owned, key=lambda each: each.version):
            before = messages.get(message.name)
            if before is not None and before.owner != service:
                faults.append(
                    Fault(
                        f"{message.name}: owned by {service} and {before.owner}",
                        "let one of them refer to the other's channel",
                        *_channel(root, service, message.name),
                    )
                )
            elif before is not None:
                older.append(before)
            messages[message.name] = message
        faults.extend(_schemas_without_channel(root, service, owned))
    sends: dict[str, tuple[str, ...]] = {}
    receives: dict[str, tuple[str, ...]] = {}
    for service, document in documents.items():
        sends[service] = _operations(root, service, document, "send", messages, faults)
        receives[service] = _operations(root, service, document, "receive", messages, faults)
    common = {path.stem: _json(path) for path in sorted((root / "common").glob("*.json"))}
    if faults:
        raise ContractsError(faults)
    return Contracts(root, messages, common, sends, receives, tuple(older))


def _owned_messages(
    root: Path, service: str, document: dict[str, Any], faults: list[Fault]
) -> list[Message]:
    found = []
    for name, model in _carried(document):
        try:
            found.append(_owned_message(root, service, name, model, document))
        except ContractsError as error:
            faults.extend(error.faults)
    return found


def _carried(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The service's own channels with each message that they carry: one a version."""
    for name, channel in document["channels"].items():
        if "$ref" not in channel:
            for model in channel.get("messages") or {name: None}:
                yield name, model


def _owned_message(
    root: Path, service: str, name: str, model: str, document: dict[str, Any]
) -> Message:
    """One message of a service's own channel; raises ContractsError with the first fault."""
    file, at = _channel(root, service, name)
    where = f"contracts/{service}/asyncapi.yaml: channel {name}"
    channel = document["channels"][name]

    def refuse(what: str, remedy: str, *pointer: str) -> ContractsError:
        return ContractsError([Fault(f"{where}: {what}", remedy, file, (*at, *pointer))])

    declared = document.get("components", {}).get("messages", {}).get(model)
    if channel.get("address") != name or declared is None:
        what = f"its address and its message must be named {name}"
        raise refuse(what, "name all of them alike", "address")
    path = root / service / "schemas" / f"{model}.json"
    if declared.get("payload") != {"$ref": f"./schemas/{model}.json"} or not path.exists():
        what = f"the payload of {model} must be ./schemas/{model}.json"
        raise refuse(what, "write that file and refer to it", "messages")
    schema = _json(path)
    prefix, _, version = schema.get("$id", "").rpartition(":")
    if prefix != f"urn:bookstore:{service}:{name}" or not version.isdecimal():
        what = f"{path.name}: $id must be urn:bookstore:{service}:{name}:<major version>"
        raise ContractsError([Fault(what, "set it", path, ("$id",))])
    if model != model_name(name, int(version)):
        what = f"{path.name}: version {version} of {name} stands in a file of another name"
        right = model_name(name, int(version))
        remedy = f"call file, title and message {right}, and keep the versions before it"
        raise ContractsError([Fault(what, remedy, path, ("$id",))])
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


def _schemas_without_channel(root: Path, service: str, owned: list[Message]) -> list[Fault]:
    carried = {message.model for message in owned}
    return [
        Fault(
            f"contracts/{service}/schemas/{path.name}: no channel carries it",
            f"add the channel to contracts/{service}/asyncapi.yaml, or remove the schema",
            path,
        )
        for path in sorted((root / service / "schemas").glob("*.json"))
        if path.stem not in carried
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

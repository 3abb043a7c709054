"""Every message by name and major version, and by its model.

One guarantee: the registry holds exactly the messages that the contracts' channels declare.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel

Kind = Literal["command", "reply", "event"]


class UnknownMessageError(LookupError):
    """A message of a name or a major version that the contracts do not declare."""

    code = "unknown_message"

    def __init__(self, name: str, version: int | None = None) -> None:
        shown = name if version is None else f"{name} version {version}"
        super().__init__(
            f"{shown} is not in the contracts; known are {', '.join(sorted(MESSAGES))}"
        )
        self.name = name
        self.version = version


@dataclass(frozen=True, slots=True)
class MessageType:
    """One message of the contracts. `dataschema` is the `$id` of its schema."""

    name: str
    owner: str
    version: int
    kind: Kind
    model: type[BaseModel]
    dataschema: str
    schema: Mapping[str, Any] = field(repr=False, compare=False, hash=False)


@cache
def raw_schemas() -> Mapping[str, Mapping[str, Any]]:
    """Every message's self-contained JSON Schema by its `$id`."""
    loaded: dict[str, Mapping[str, Any]] = json.loads(_data("schemas.json"))
    return MappingProxyType(loaded)


def message_type(name: str, version: int = 1) -> MessageType:
    """The message of that name and major version; raises UnknownMessageError."""
    try:
        return _by_version()[name, version]
    except KeyError:
        raise UnknownMessageError(name, version) from None


def message_type_of(model: BaseModel | type[BaseModel]) -> MessageType:
    """The message that a model (or its class) stands for; raises UnknownMessageError."""
    model_class = model if isinstance(model, type) else type(model)
    try:
        return _by_model()[model_class]
    except KeyError:
        raise UnknownMessageError(model_class.__name__) from None


def _data(file: str) -> str:
    return files("contracts").joinpath("_data", file).read_text(encoding="utf-8")


@cache
def _all() -> tuple[MessageType, ...]:
    schemas = raw_schemas()
    return tuple(
        MessageType(
            name=entry["name"],
            owner=entry["owner"],
            version=entry["version"],
            kind=entry["kind"],
            model=getattr(
                import_module(f"contracts.models.{entry['owner']}"),
                schemas[entry["dataschema"]]["title"],
            ),
            dataschema=entry["dataschema"],
            schema=schemas[entry["dataschema"]],
        )
        for entry in json.loads(_data("messages.json"))
    )


@cache
def _by_version() -> dict[tuple[str, int], MessageType]:
    return {(message.name, message.version): message for message in _all()}


@cache
def _by_model() -> dict[type[BaseModel], MessageType]:
    return {message.model: message for message in _all()}


class _Messages(Mapping[str, MessageType]):
    """Read on first use, so that the generator runs even while the derived files are broken."""

    def __getitem__(self, name: str) -> MessageType:
        return self._by_name()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name())

    def __len__(self) -> int:
        return len(self._by_name())

    @staticmethod
    @cache
    def _by_name() -> dict[str, MessageType]:
        return {message.name: message for message in sorted(_all(), key=lambda each: each.version)}


# The newest version of each message, by name.
MESSAGES: Mapping[str, MessageType] = _Messages()

"""The routes that the contracts imply: bus, rules, queues, dead letters, tables, who sends what.

One guarantee: `load_topology()` is the one reading of `_data/topology.json`, which is derived from
the services' `receive` and `send` operations and never edited. `messaging.topology` applies it.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Archive:
    """Keeps every event of the bus for replay."""

    name: str
    retention_days: int


@dataclass(frozen=True, slots=True)
class Table:
    """A DynamoDB table with a string key, perhaps a second one to sort by, and time-to-live on an
    attribute in epoch seconds.
    """

    name: str
    key: str
    ttl_attribute: str
    sort_key: str | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """A service's one queue; what fails `max_receive_count` times moves to its dead letters."""

    name: str
    visibility_seconds: int
    retention_seconds: int
    long_poll_seconds: int
    max_receive_count: int


@dataclass(frozen=True, slots=True)
class DeadLetterQueue:
    """Holds what could not be handled, or what a rule could not deliver."""

    name: str
    retention_seconds: int


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long the bus tries to deliver before an event goes to the undelivered queue."""

    maximum_attempts: int
    maximum_age_seconds: int


@dataclass(frozen=True, slots=True)
class Rule:
    """Leads the named messages of one sender to the service's queue; `pattern` is EventBridge's."""

    name: str
    description: str
    pattern: Mapping[str, list[str]]
    retry: RetryPolicy


@dataclass(frozen=True, slots=True)
class Service:
    """One service's part: where it listens, and the names of what it receives and sends."""

    name: str
    source: str
    queue: Queue
    dead_letters: DeadLetterQueue
    undelivered: DeadLetterQueue
    rules: tuple[Rule, ...]
    receives: tuple[str, ...]
    sends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Topology:
    """The whole of it. `services` is keyed by the service's name, such as 'order'; `mail_domain` is
    where mails come from, if any are sent.
    """

    bus: str
    archive: Archive
    tables: tuple[Table, ...]
    services: Mapping[str, Service]
    mail_domain: str | None = None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of all services."""
        return tuple(rule for service in self.services.values() for rule in service.rules)

    def only(self, services: Collection[str]) -> "Topology":
        """The part of it that these services have: nothing is led to any other."""
        kept = {name: each for name, each in self.services.items() if name in services}
        return replace(self, services=MappingProxyType(kept))

    def receivers_of(self, message: str) -> tuple[str, ...]:
        """The names of the services that receive a message."""
        return tuple(name for name, each in self.services.items() if message in each.receives)

    def senders_of(self, message: str) -> tuple[str, ...]:
        """The names of the services that send a message."""
        return tuple(name for name, each in self.services.items() if message in each.sends)


def parse_topology(document: Mapping[str, Any]) -> Topology:
    """The typed form of a topology document."""
    return Topology(
        bus=document["bus"],
        archive=Archive(**document["archive"]),
        tables=tuple(Table(**table) for table in document["tables"]),
        mail_domain=document.get("mail_domain"),
        services=MappingProxyType(
            {name: _service(name, body) for name, body in document["services"].items()}
        ),
    )


@cache
def load_topology() -> Topology:
    """The topology that this version of the contracts implies."""
    text = files("contracts").joinpath("_data", "topology.json").read_text(encoding="utf-8")
    return parse_topology(json.loads(text))


def _service(name: str, body: Mapping[str, Any]) -> Service:
    return Service(
        name=name,
        source=body["source"],
        queue=Queue(**body["queue"]),
        dead_letters=DeadLetterQueue(**body["dead_letters"]),
        undelivered=DeadLetterQueue(**body["undelivered"]),
        rules=tuple(
            Rule(
                name=rule["name"],
                description=rule["description"],
                pattern=rule["pattern"],
                retry=RetryPolicy(**rule["retry"]),
            )
            for rule in body["rules"]
        ),
        receives=tuple(body["receives"]),
        sends=tuple(body["sends"]),
    )

"""Who sends what to whom, and what part each service plays in that.

One guarantee: a route exists if and only if one service sends the message and another receives it;
nothing here knows a service by its name.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from contracts.generate.source import KINDS, Contracts


class Role(Enum):
    """What a service does with messages; `layer` is its row on the map, from the top."""

    ORCHESTRATOR = ("orchestrator", 0, "Sends commands and decides by the replies.")
    PUBLISHER = ("publisher", 0, "Tells of events and receives nothing.")
    PARTICIPANT = ("participant", 1, "Does what commands say and replies.")
    REACTOR = ("reactor", 2, "Reacts to events and tells of events of its own.")
    LISTENER = ("listener", 2, "Reacts to events; nothing waits for it.")

    def __init__(self, label: str, layer: int, meaning: str) -> None:
        self.label = label
        self.layer = layer
        self.meaning = meaning


@dataclass(frozen=True)
class Route:
    """All messages of one kind from one service to another, as the sender's document has them."""

    sender: str
    receiver: str
    kind: str
    messages: tuple[str, ...]


def roles(contracts: Contracts) -> dict[str, Role]:
    """Every service's role, the services in the order in which work flows through them.

    Orchestrators come first, then the participants as they are first commanded, then who reacts to
    events, as those are first sent.
    """
    found = {service: _role(contracts, service) for service in contracts.services}
    ordered: list[str] = []
    for layer in sorted({role.layer for role in found.values()}):
        sent = [name for service in ordered for name in contracts.sends[service]]
        members = [service for service in contracts.services if found[service].layer == layer]
        ordered += sorted(
            members,
            key=lambda service: (
                -len(_of_kind(contracts, contracts.sends[service], "command")),
                list(Role).index(found[service]),
                _first(sent, contracts.receives[service]),
                service,
            ),
        )
    return {service: found[service] for service in ordered}


def routes(contracts: Contracts, services: Iterable[str]) -> list[Route]:
    """All routes, in the order of `services`, then of the kinds."""
    order = list(services)
    return [
        Route(sender, receiver, kind, names)
        for sender in order
        for receiver in order
        for kind in KINDS
        if (names := _shared(contracts, sender, receiver, kind))
    ]


def senders(contracts: Contracts, message: str) -> list[str]:
    return [service for service in contracts.services if message in contracts.sends[service]]


def receivers(contracts: Contracts, message: str) -> list[str]:
    return [service for service in contracts.services if message in contracts.receives[service]]


def _role(contracts: Contracts, service: str) -> Role:
    sends, receives = contracts.sends[service], contracts.receives[service]
    if _of_kind(contracts, receives, "command"):
        return Role.PARTICIPANT
    if _of_kind(contracts, sends, "command"):
        return Role.ORCHESTRATOR
    if not sends:
        return Role.LISTENER
    return Role.REACTOR if receives else Role.PUBLISHER


def _shared(contracts: Contracts, sender: str, receiver: str, kind: str) -> tuple[str, ...]:
    received = contracts.receives[receiver]
    sent = _of_kind(contracts, contracts.sends[sender], kind)
    return tuple(name for name in sent if name in received)


def _of_kind(contracts: Contracts, names: Iterable[str], kind: str) -> list[str]:
    return [name for name in names if contracts.messages[name].kind == kind]


def _first(sent: list[str], received: tuple[str, ...]) -> int:
    """How early in what is sent something comes that is received; after all of it if nothing."""
    return min((sent.index(name) for name in received if name in sent), default=len(sent))

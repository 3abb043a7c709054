"""Bus, queues and rules of the gift saga's three services.

Guarantee: a queue gets what its service has a route for, from the service that sends it.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel

from contracts import Topology
from contracts.topology import parse_topology
from gift_world.messages import (
    GiftCalledOff,
    GiftSent,
    GiftShipped,
    GiftUnwrapped,
    GiftWrapped,
    GivePointsBack,
    PaperUsedUp,
    PointsGivenBack,
    PointsRefused,
    PointsTaken,
    ShipGift,
    TakePoints,
    UnwrapGift,
    WrapGift,
)

Messages = list[type[BaseModel]]
_ROUTES: Mapping[str, Mapping[str, Messages]] = {
    "gifts": {
        "points": [PointsTaken, PointsRefused, PointsGivenBack],
        "parcels": [GiftWrapped, PaperUsedUp, GiftUnwrapped, GiftShipped],
    },
    "points": {"gifts": [TakePoints, GivePointsBack]},
    "parcels": {"gifts": [WrapGift, UnwrapGift, ShipGift]},
}
_SAID_TO_NOBODY: Mapping[str, Messages] = {"gifts": [GiftSent, GiftCalledOff]}


@cache
def gift_topology() -> Topology:
    """As `contracts.load_topology` has it for the bookstore."""
    return parse_topology(
        {
            "bus": "gifts",
            "archive": {"name": "gifts-archive", "retention_days": 1},
            "tables": [],
            "services": {name: _service(name) for name in _ROUTES},
        }
    )


def _service(name: str) -> dict[str, Any]:
    received = _ROUTES[name]
    sent = [*_SAID_TO_NOBODY.get(name, ()), *(m for r in _ROUTES.values() for m in r.get(name, ()))]
    return {
        "source": f"bookstore.{name}",
        "queue": {
            "name": name,
            "visibility_seconds": 30,
            "retention_seconds": 345_600,
            "long_poll_seconds": 20,
            "max_receive_count": 8,
        },
        "dead_letters": {"name": f"{name}-dlq", "retention_seconds": 1_209_600},
        "undelivered": {"name": f"{name}-undelivered", "retention_seconds": 1_209_600},
        "rules": [
            {
                "name": f"{name}-from-{sender}",
                "description": f"What {name} receives from {sender}",
                "pattern": {"source": [f"bookstore.{sender}"], "detail-type": _names(messages)},
                "retry": {"maximum_attempts": 185, "maximum_age_seconds": 86_400},
            }
            for sender, messages in received.items()
        ],
        "receives": [each for messages in received.values() for each in _names(messages)],
        "sends": _names(sent),
    }


def _names(messages: Messages) -> list[str]:
    return [message.__name__ for message in messages]

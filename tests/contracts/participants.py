"""Who takes part in the pacts: each consumer's asks and its scene, each provider's course.

Guarantee: whoever receives or sends by the topology, and does not in here, fails a test.

A service that is no Python is here by two functions that start its process on the servers: a `play`
that lends its queue to a ServerScene, and a course that answers what its process has published on
the emulator's bus. `fulfillment_scene` and `fulfillment_course` are the ones to follow.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from contracts import load_topology

from . import (
    catalog_asks,
    fulfillment_asks,
    fulfillment_course,
    fulfillment_scene,
    notification_asks,
    order_asks,
    payment_asks,
    search_asks,
)
from .asks import Ask, examples_of, messages_between, pact_of
from .bookstore_course import Said, everything_said
from .server_scene import Servers

Play = Callable[..., Awaitable[Any]]

ASKS: Mapping[str, Sequence[Ask]] = {
    "catalog": catalog_asks.ASKS,
    "fulfillment": fulfillment_asks.ASKS,
    "notification": notification_asks.ASKS,
    "order": order_asks.ASKS,
    "payment": payment_asks.ASKS,
    "search": search_asks.ASKS,
}
# In virtual time, over stores in memory.
IN_MEMORY: Mapping[str, Play] = {
    "catalog": catalog_asks.play,
    "notification": notification_asks.play,
    "order": order_asks.play,
    "payment": payment_asks.play,
}
# On a real queue and real stores; `play` takes them too.
ON_SERVERS: Mapping[str, Play] = {
    "fulfillment": fulfillment_scene.play,
    "search": search_asks.play,
}
# Courses in which providers say all that they can; a provider may appear in several.
COURSES_IN_MEMORY: Sequence[Callable[[], Sequence[Said]]] = (everything_said,)
COURSES_ON_SERVERS: Sequence[Callable[[Servers], Awaitable[Sequence[Said]]]] = (
    fulfillment_course.everything_said,
)


def pact_between(consumer: str, provider: str) -> Any:
    """What the consumer asks of the provider; raises LookupError where it is no participant."""
    if consumer not in ASKS:
        raise LookupError(
            f"{consumer} receives messages of {provider} and takes no part in the pacts: write its "
            f"asks in tests/contracts/{consumer}_asks.py, and add it to ASKS and to IN_MEMORY or "
            "ON_SERVERS in tests/contracts/participants.py"
        )
    between = messages_between(load_topology(), consumer, provider)
    return pact_of(consumer, provider, [a for a in ASKS[consumer] if a.message in between])


def examples_for(consumer: str) -> dict[str, dict[str, Any]]:
    """The example of each message that the consumer asks for, as its pacts hand it out."""
    topology = load_topology()
    examples: dict[str, dict[str, Any]] = {}
    for ask in ASKS[consumer]:
        for provider in topology.senders_of(ask.message):
            examples |= examples_of(pact_of(consumer, provider, [ask]))
    return examples

"""A consumer at work: what a test tells it, and what can be seen of it then.

Guarantee: what runs is the service's own composition root, behind its own queue.

Here are scenes in virtual time; those on real servers are in `server_scene.py`.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import orjson

from contracts import load_topology
from faults.loop import VirtualLoop, run_virtually
from faults.plan import Plan
from faults.stage import Process, Stage

T = TypeVar("T")

SEED = 20261126
# In virtual time: longer than handling takes, shorter than any deadline and any backoff's end.
SETTLE_SECONDS = 10.0

Detail = Mapping[str, Any]


class Scene(Protocol):
    """One life of one consumer."""

    async def prepare(self, given: Sequence[str]) -> None:
        """Bring about what an ask takes as given."""
        ...

    async def tell(self, details: Sequence[Detail]) -> None:
        """Put messages into the consumer's queue; return once it is done with all of them."""
        ...

    async def handled(self) -> Mapping[str, int]:
        """How many messages of each type its inbox holds."""
        ...

    async def refused(self) -> Sequence[Detail]:
        """The details of its dead letters."""
        ...

    def fill_in(self, detail: Detail) -> Detail:
        """An example about what this scene holds: its own ids in place of the example's."""
        ...


def event_of(detail: Detail, number: int) -> dict[str, Any]:
    """A message as the bus puts it into a queue."""
    return {
        "id": f"event-{number}",
        "source": detail.get("source"),
        "detail-type": detail.get("type"),
        "detail": detail,
    }


class MemoryScene:
    """Processes of a service over stores in memory, in virtual time."""

    def __init__(
        self,
        loop: VirtualLoop,
        service: str,
        processes: Sequence[Process],
        examples: Mapping[str, Detail],
    ) -> None:
        self.service = service
        self.examples = examples
        self.stage = Stage(
            loop,
            Plan(),
            SEED,
            processes=processes,
            topology=load_topology().only({service}),
            pause_seconds=SETTLE_SECONDS,
        )

    async def start(self) -> None:
        """Open the stage and wait for its processes."""
        self.stage.open()
        await asyncio.sleep(SETTLE_SECONDS)

    def stop(self) -> None:
        """End every process; raises AssertionError where one has ended by itself."""
        assert self.stage.world.ended == []
        assert self.stage.aws.unsupported == []
        self.stage.world.stop()

    async def prepare(self, given: Sequence[str]) -> None:
        """Each word is a message of which the example comes, or an act of this scene's."""
        for word in given:
            if word in self.examples:
                await self.tell([self.fill_in(self.examples[word])])
            else:
                act: Callable[[], Awaitable[None]] = getattr(self, word.replace(" ", "_"))
                await act()

    async def tell(self, details: Sequence[Detail]) -> None:
        """See Scene."""
        for number, detail in enumerate(details):
            queue = self.stage.topology.services[self.service].queue.name
            self.stage.aws.put(queue, orjson.dumps(event_of(detail, number)).decode())
        await asyncio.sleep(SETTLE_SECONDS)

    async def handled(self) -> Mapping[str, int]:
        """See Scene."""
        kinds = self.stage.inbox(self.service)
        return {kind: kinds.count(kind) for kind in kinds}

    async def refused(self) -> Sequence[Detail]:
        """See Scene."""
        letters = self.stage.aws.queue(self.stage.topology.services[self.service].dead_letters.name)
        return [orjson.loads(message.body)["detail"] for message in letters.messages]

    def fill_in(self, detail: Detail) -> Detail:
        """See Scene."""
        return detail

    def said(self, message: str) -> bool:
        """Whether the consumer has sent that message meanwhile."""
        return any(detail["type"] == message for _, detail in self.stage.aws.published)


def play_in_memory(
    new_scene: Callable[[VirtualLoop], MemoryScene], script: Callable[[Any], Awaitable[T]]
) -> T:
    """Run a script on a scene of its own; no time passes for real."""

    async def main(loop: VirtualLoop) -> T:
        scene = new_scene(loop)
        await scene.start()
        result = await script(scene)
        scene.stop()
        return result

    random.seed(SEED)  # The product's own dice: jitter.
    logging.disable(logging.CRITICAL)
    try:
        return run_virtually(main)
    finally:
        logging.disable(logging.NOTSET)


def says(message: str) -> Callable[[MemoryScene], bool]:
    """The ask is handled once the consumer has sent that."""
    return lambda scene: scene.said(message)

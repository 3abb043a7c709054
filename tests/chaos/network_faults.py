"""Faults of the network between clients, services, PostgreSQL, the bus and the gateway.

Guarantee: each takes its rules away again, also when it is cut off itself.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar, Self

from chaos.fault import Fault
from chaos.stage import Stage, links
from faults.proxy import (
    POSTGRES_COMMIT,
    Blackhole,
    CutAfter,
    CutAtPattern,
    Delay,
    Direction,
    Refuse,
    Rule,
)

FIRED_SECONDS = 10.0
# One in so many hits all ways to a server at once, as when the server's own network fails.
WIDE = 6
DIRECTIONS = tuple(Direction)
# Longer than a saga's deadlines: nobody may wait for a dead connection for as long.
LONG_SECONDS = 130.0
LONG_SHARE = 0.2


def _way(chance: random.Random) -> str:
    if chance.randrange(WIDE) == 0:
        return f"*>{chance.choice(('postgres', 'aws', 'gateway', 'redis'))}"
    return chance.choice(links())


@asynccontextmanager
async def _ruled(stage: Stage, target: str, *rules: Rule) -> AsyncIterator[None]:
    """The same rules on all proxies of the target, for as long as the body runs."""
    for proxy in stage.on(target):
        for rule in rules:
            proxy.add(rule)
    try:
        yield
    finally:
        for proxy in stage.on(target):
            for rule in rules:
                proxy.remove(rule)


async def _fired(event: asyncio.Event) -> str:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), FIRED_SECONDS)
    return "cut" if event.is_set() else "no such bytes came"


@dataclass(frozen=True)
class SlowWay(Fault):
    weight: ClassVar[int] = 6
    about: ClassVar[str] = "every piece of data comes late"

    delay_seconds: float
    seconds: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        delay = round(chance.uniform(0.02, 0.8), 2)
        return cls(_way(chance), delay, round(chance.uniform(3, 10), 1))

    async def inflict(self, stage: Stage) -> str:
        async with _ruled(stage, self.target, Delay(self.delay_seconds)):
            await asyncio.sleep(self.seconds)
        return "fast again"


@dataclass(frozen=True)
class DeadWay(Fault):
    weight: ClassVar[int] = 8
    about: ClassVar[str] = "nothing passes and nobody is told; then it arrives late, or is reset"

    direction: Direction | None
    ends_in_reset: bool
    seconds: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        direction = chance.choice((None, *DIRECTIONS))
        return cls(_way(chance), direction, chance.random() < 0.5, round(chance.uniform(2, 14), 1))

    async def inflict(self, stage: Stage) -> str:
        count = 0
        async with _ruled(stage, self.target, Blackhole(self.direction)):
            await asyncio.sleep(self.seconds)
            if self.ends_in_reset:
                count = sum(proxy.reset() for proxy in stage.on(self.target))
        return f"{count} connections reset" if self.ends_in_reset else "all of it arrived"


@dataclass(frozen=True)
class ForgottenConnections(Fault):
    weight: ClassVar[int] = 3
    about: ClassVar[str] = "what is open swallows everything, while new connections work"

    seconds: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        seconds = round(chance.uniform(10, 30), 1)
        if chance.random() < LONG_SHARE:
            seconds = LONG_SECONDS
        return cls(chance.choice(links()), seconds)

    async def inflict(self, stage: Stage) -> str:
        (proxy,) = stage.on(self.target)
        old = proxy.connections
        async with _ruled(stage, self.target, Blackhole(connections=old)):
            await asyncio.sleep(self.seconds)
            left = len(old & proxy.connections)
            proxy.reset(old)
        return f"{len(old)} connections, {left} of them still in use at the end"


@dataclass(frozen=True)
class Resets(Fault):
    weight: ClassVar[int] = 6
    about: ClassVar[str] = "all that is open is reset (RST), and for a while so is what comes"

    refuse_seconds: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        return cls(_way(chance), round(max(0.0, chance.uniform(-2, 5)), 1))

    async def inflict(self, stage: Stage) -> str:
        async with _ruled(stage, self.target, Refuse()):
            count = sum(proxy.reset() for proxy in stage.on(self.target))
            await asyncio.sleep(self.refuse_seconds)
        return f"{count} connections"


@dataclass(frozen=True)
class HalfCloses(Fault):
    weight: ClassVar[int] = 4
    about: ClassVar[str] = "one direction of all that is open ends (FIN), the other does not"

    direction: Direction

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        return cls(_way(chance), chance.choice(DIRECTIONS))

    async def inflict(self, stage: Stage) -> str:
        count = sum(proxy.half_close(self.direction) for proxy in stage.on(self.target))
        return f"{count} connections"


@dataclass(frozen=True)
class CutInMessage(Fault):
    weight: ClassVar[int] = 8
    about: ClassVar[str] = "a connection is cut after some bytes of one direction"

    direction: Direction
    bytes: int

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        # From the first byte of an answer to beyond its headers.
        return cls(
            chance.choice(links()), chance.choice(DIRECTIONS), int(2 ** chance.uniform(0, 13))
        )

    async def inflict(self, stage: Stage) -> str:
        rule = CutAfter(self.direction, self.bytes)
        async with _ruled(stage, self.target, rule):
            return await _fired(rule.fired)


@dataclass(frozen=True)
class LostCommitReply(Fault):
    weight: ClassVar[int] = 14
    about: ClassVar[str] = "PostgreSQL commits, and its answer is cut within or around the word"

    keep_bytes: int
    nth: int

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        target = chance.choice([name for name in links() if name.endswith(">postgres")])
        return cls(target, chance.randint(0, len(POSTGRES_COMMIT)), chance.randint(1, 6))

    async def inflict(self, stage: Stage) -> str:
        rule = CutAtPattern(
            Direction.TO_CLIENT, POSTGRES_COMMIT, keep=self.keep_bytes, nth=self.nth
        )
        async with _ruled(stage, self.target, rule):
            return await _fired(rule.fired)

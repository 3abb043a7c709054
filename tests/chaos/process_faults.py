"""Faults of processes and servers: killed, frozen, restarted, with a wrong clock, beside old ones.

Guarantee: each leaves behind a whole set of running processes, also when it is cut off itself.
"""

import asyncio
import random
import signal
import sys
import time
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from redis.asyncio import Redis

from bookstore.local_stack import DATABASES, HOST, ON_NODE, SERVICES
from chaos.fault import Fault
from chaos.stage import (
    HTTP_KEY_LEASE_SECONDS,
    INSTANCES,
    LEASE_SECONDS,
    ORDER_WEBS,
    POLL_SECONDS,
    VISIBILITY_SECONDS,
    Stage,
    another_port,
)
from drive.old_code import old_code
from faults.barriers import arm, barrier_file, clock_file, disarm, write
from stack import HttpReady, StackError, Supervisor

REACHED_SECONDS = 12.0
# Longer than a saga's deadlines: what the frozen process has locked must not be so for as long.
LONG_FREEZE_SECONDS = 130.0
LONG_SHARE = 0.1
_EVERY_WORKER = (
    *("commit:before", "commit:after", "put_events:before", "put_events:after"),
    *("receive:after", "delete:before", "delete:after"),
)
BARRIERS = {
    "order-web": (
        *("commit:before", "commit:after", "put_events:before", "put_events:after"),
        *("claim:before", "claim:after"),
    ),
    "order-worker": _EVERY_WORKER,
    "catalog-worker": _EVERY_WORKER,
    "payment-worker": (
        *_EVERY_WORKER,
        *("claim:before", "claim:after", "mark:before", "mark:after"),
        *("gateway_post:before", "gateway_post:after"),
    ),
}

# Whose clock can be set: a program that is no Python reads the machine's own.
WITH_CLOCKS = tuple(name for name in INSTANCES if not name.startswith(tuple(ON_NODE)))
WITH_BARRIERS = tuple(name for name in INSTANCES if name.removesuffix("-2") in BARRIERS)


@dataclass(frozen=True)
class KillAtBarrier(Fault):
    weight: ClassVar[int] = 24
    about: ClassVar[str] = "a process kills itself (SIGKILL) the nth time it comes to a point"

    barrier: str
    nth: int

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        target = chance.choice(WITH_BARRIERS)
        barrier = chance.choice(BARRIERS[target.removesuffix("-2")])
        return cls(target, barrier, chance.randint(1, 6))

    async def inflict(self, stage: Stage) -> str:
        async with stage.locks[self.target]:
            pid = stage.supervisor.pid(self.target)
            waited, fired = await _fired(stage, self, signal.SIGKILL)
            if not fired:
                pid = await stage.signal(self.target, signal.SIGKILL)
            back = await stage.back(self.target, pid or 0)
        how = "died there" if fired else "not reached, so killed anywhere"
        return f"{how} after {waited:.1f} s, back after {back:.1f} s"


@dataclass(frozen=True)
class FreezeAtBarrier(Fault):
    weight: ClassVar[int] = 8
    about: ClassVar[str] = "a process stops at a point (SIGSTOP), and goes on from there much later"

    barrier: str
    nth: int
    seconds: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        target = chance.choice(WITH_BARRIERS)
        barrier = chance.choice(BARRIERS[target.removesuffix("-2")])
        seconds = _beyond_lease(chance, target)
        if chance.random() < LONG_SHARE:
            seconds = LONG_FREEZE_SECONDS
        return cls(target, barrier, chance.randint(1, 6), seconds)

    async def inflict(self, stage: Stage) -> str:
        async with stage.locks[self.target]:
            waited, fired = await _fired(stage, self, signal.SIGSTOP)
            if not fired:
                await stage.signal(self.target, signal.SIGSTOP)
            try:
                await asyncio.sleep(self.seconds)
            finally:
                await stage.signal(self.target, signal.SIGCONT)
        how = "stopped there" if fired else "not reached, so stopped anywhere"
        return f"{how} after {waited:.1f} s"


async def _fired(
    stage: Stage, fault: KillAtBarrier | FreezeAtBarrier, number: signal.Signals
) -> tuple[float, bool]:
    """Arm the fault's barrier and wait for it; how long that took, and whether it has fired."""
    began = time.monotonic()
    arm(stage.control, fault.target, fault.barrier, fault.nth, number)
    try:
        while (
            barrier_file(stage.control, fault.target).exists()
            and time.monotonic() - began < REACHED_SECONDS
        ):
            await asyncio.sleep(POLL_SECONDS)
    finally:
        fired = not disarm(stage.control, fault.target)
    return time.monotonic() - began, fired


def _beyond_lease(chance: random.Random, target: str) -> float:
    lease = HTTP_KEY_LEASE_SECONDS if target in ORDER_WEBS else VISIBILITY_SECONDS
    return round(max(lease, LEASE_SECONDS) + chance.uniform(1.0, 8.0), 1)


@dataclass(frozen=True)
class Kill(Fault):
    weight: ClassVar[int] = 5
    about: ClassVar[str] = "SIGKILL, wherever the process stands"

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        return cls(chance.choice(INSTANCES))

    async def inflict(self, stage: Stage) -> str:
        async with stage.locks[self.target]:
            pid = await stage.signal(self.target, signal.SIGKILL)
            back = await stage.back(self.target, pid)
        return f"pid {pid}, back after {back:.1f} s"


@dataclass(frozen=True)
class Freeze(Fault):
    weight: ClassVar[int] = 10
    about: ClassVar[str] = "SIGSTOP beyond every lease, then SIGCONT: it wakes as a stale owner"

    seconds: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        target = chance.choice(INSTANCES)
        return cls(target, _beyond_lease(chance, target))

    async def inflict(self, stage: Stage) -> str:
        async with stage.locks[self.target]:
            pid = await stage.signal(self.target, signal.SIGSTOP)
            try:
                await asyncio.sleep(self.seconds)
            finally:
                await stage.signal(self.target, signal.SIGCONT)
        return f"pid {pid}"


@dataclass(frozen=True)
class RollingRestart(Fault):
    weight: ClassVar[int] = 6
    about: ClassVar[str] = "SIGTERM to each process of a service in turn, each back before the next"

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        return cls(chance.choice(SERVICES))

    async def inflict(self, stage: Stage) -> str:
        names = [name for name in INSTANCES if name.startswith(f"{self.target}-")]
        for name in names:
            async with stage.locks[name]:
                await stage.supervisor.restart(name)
        return f"{len(names)} processes"


class ServerCrash(Fault):
    """A server dies of a signal, and is started again."""

    server: ClassVar[str]
    number: ClassVar[signal.Signals] = signal.SIGKILL

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        return cls(cls.server)

    async def inflict(self, stage: Stage) -> str:
        async with stage.locks[self.server]:
            pid = await stage.signal(self.server, self.number)
            back = await stage.back(self.server, pid)
        return f"back after {back:.1f} s"


@dataclass(frozen=True)
class PostgresCrash(ServerCrash):
    weight: ClassVar[int] = 4
    about: ClassVar[str] = "immediate shutdown (SIGQUIT), then recovery from the log"
    server: ClassVar[str] = "postgres"
    number: ClassVar[signal.Signals] = signal.SIGQUIT


@dataclass(frozen=True)
class EmulatorAmnesia(ServerCrash):
    weight: ClassVar[int] = 3
    about: ClassVar[str] = "the bus, the queues and the ledger are killed and forget everything"
    server: ClassVar[str] = "emulator"


@dataclass(frozen=True)
class RedisKill(ServerCrash):
    weight: ClassVar[int] = 2
    about: ClassVar[str] = "the cache is killed"
    server: ClassVar[str] = "valkey"


@dataclass(frozen=True)
class RedisFlush(Fault):
    weight: ClassVar[int] = 2
    about: ClassVar[str] = "the cache is emptied"

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        return cls("valkey")

    async def inflict(self, stage: Stage) -> str:
        async with stage.locks["valkey"], Redis.from_url(stage.stack.endpoints["redis"]) as redis:
            count = await redis.dbsize()
            await redis.flushall()
        return f"{count} keys"


@dataclass(frozen=True)
class ClockStep(Fault):
    weight: ClassVar[int] = 6
    about: ClassVar[str] = "one process's clock is minutes ahead or behind for a while"

    step_seconds: int
    seconds: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        step = chance.choice((-1, 1)) * chance.randint(60, 900)
        return cls(chance.choice(WITH_CLOCKS), step, round(chance.uniform(4, 15), 1))

    async def inflict(self, stage: Stage) -> str:
        path = clock_file(stage.control, self.target)
        async with stage.locks[path.name]:
            write(path, str(self.step_seconds))
            try:
                await asyncio.sleep(self.seconds)
            finally:
                path.unlink(missing_ok=True)
        return "set right again"


@dataclass(frozen=True)
class OldBesideNew(Fault):
    weight: ClassVar[int] = 3
    about: ClassVar[str] = "a worker of the code before this one runs beside the present ones"

    seconds: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        return cls(f"{chance.choice(DATABASES)}-worker", round(chance.uniform(6, 15), 1))

    async def inflict(self, stage: Stage) -> str:
        async with stage.locks["old"]:
            commit, path = await old_code(stage.folder / "old")
            (present,) = (p for p in stage.stack.processes if p.name == self.target)
            port = another_port(stage.stack.processes)
            old = replace(
                present,
                argv=(
                    sys.executable,
                    "-m",
                    f"{self.target.removesuffix('-worker')}_service",
                    "worker",
                ),
                env={**present.env, "PYTHONPATH": path, "HTTP_PORT": str(port)},
                readiness=HttpReady(f"http://{HOST}:{port}/health/ready"),
                depends_on=(),
                port=port,
            )
            run = stage.folder / "logs" / f"old-{self.target}-at-{stage.seconds:.0f}-s"
            supervisor = Supervisor([old], run)
            try:
                await supervisor.start()
                await asyncio.sleep(self.seconds)
            except StackError as error:
                return f"{commit} could not start beside the other faults: {str(error)[:80]}"
            finally:
                await supervisor.stop()
        return f"commit {commit}"

"""Any team's services as processes of a world, over one bus and a database each, in memory.

Guarantee: what runs is each service's own composition root, under its own settings; whatever it
does outside of itself can be hit.
"""

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, SecretStr
from sqlalchemy import Table, insert

from chassis import HttpConnections, Problem, Service, ServiceSettings, SqlService
from contracts import Topology
from faults.engine import Database, NewDatabase
from faults.loop import EPOCH, VirtualLoop, wall_seconds
from faults.memory.aws import MemoryAws
from faults.memory.database import MemoryDatabase
from faults.mutation import load
from faults.plan import Plan
from faults.service import ServiceProcess
from faults.world import Incarnation, World, in_process
from messaging import Sender

T = TypeVar("T")
Databases = Mapping[str, Database]

# By which a message that is overtaken arrives later.
REORDER_SECONDS = 10.0
AGAIN_SECONDS = 2.0
# Longer than this many pauses of the process that is asked, nobody waits for an answer.
PATIENCE_PAUSES = 5
# Another request under the same key is under way; or it is the service's own fault.
_ASK_AGAIN = frozenset({409, 500, 502, 503, 504})
# Ids, times and counters: the parts of a key that differ from run to run.
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")
_DATABASE = SecretStr("postgresql+asyncpg://world:world@127.0.0.1:1/world")


class Unanswered(Exception):
    """Nobody answered for longer than any fault lasts."""


@dataclass(frozen=True)
class Process:
    """A service in a role. `settings` are those that differ from production's; `name` is by default
    `<service>-<role>`; `without` names classes of workers that are left out.
    """

    service: Service
    role: str = "worker"
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    skew_seconds: float = 0.0
    without: tuple[type, ...] = ()

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", f"{self.service.name}-{self.role}")

    @cached_property
    def all_settings(self) -> ServiceSettings:
        """Production's, but for `settings` and for a database, which is in memory."""
        database = {"database_url": _DATABASE} if isinstance(self.service, SqlService) else {}
        return self.service.settings(**{**database, **self.settings})

    def __reduce__(self) -> tuple[Any, ...]:
        # By name: tables are told apart by identity, so a copy of a service would have no rows.
        reference = _reference_of(self.service)
        rest = (self.role, dict(self.settings), self.name, self.skew_seconds, self.without)
        return _process_of, (reference, *rest)


def _reference_of(service: Service) -> str:
    module = service.compose.__module__
    for name, value in vars(sys.modules[module]).items():
        if value is service:
            return f"{module}:{name}"
    raise LookupError(f"{service.name} has to stand in {module}, beside its compose()")


def _process_of(reference: str, *rest: Any) -> Process:
    return Process(load(reference), *rest)


class Stage:
    """A world with these processes in it. `pause_seconds`, `reads`, `without` as in World.

    `database` makes a service's database; `republish` as in ServiceProcess.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        plan: Plan,
        seed: int,
        *,
        processes: Sequence[Process],
        topology: Topology,
        pause_seconds: float,
        reads: bool = False,
        without: frozenset[str] = frozenset(),
        keep_trace: bool = False,
        database: NewDatabase = MemoryDatabase,
        republish: bool = False,
    ) -> None:
        self.topology = topology
        # Those with a database, and so with an inbox and an outbox in it.
        self.services = {
            each.service.name: each.service
            for each in processes
            if isinstance(each.service, SqlService)
        }
        # Ids of messages that came from outside of all services.
        self.told: set[str] = set()
        self.aws = MemoryAws(
            topology,
            late_seconds=pause_seconds,
            reorder_seconds=REORDER_SECONDS,
            epoch_seconds=EPOCH,
        )
        self.world = World(
            loop,
            plan,
            seed,
            pause_seconds=pause_seconds,
            subject=Names(self.aws).subject,
            reads=reads,
            keep_trace=keep_trace,
        )
        self.world.without = without

        def now() -> datetime:
            return datetime.fromtimestamp(wall_seconds(loop), UTC)

        self.databases: Databases = {
            name: database(service.metadata, now) for name, service in self.services.items()
        }
        # How a process reaches third parties; a world that has some sets it before it opens.
        self.connect: Callable[[Incarnation], Callable[..., HttpConnections]] | None = None
        self._republish = republish
        self._declared = processes
        self._processes: dict[str, ServiceProcess] = {}

    def open(self) -> None:
        """Start every process."""
        for each in self._declared:
            process = self._processes[each.name] = ServiceProcess(
                service=each.service,
                role=each.role,
                settings=each.all_settings,
                topology=self.topology,
                database=self.databases.get(each.service.name),
                aws=self.aws,
                connect=self.connect,
                without=each.without,
                republish=self._republish,
            )
            self.world.start(each.name, process.run, skew_seconds=each.skew_seconds)

    def application(self, process: str) -> Any:
        """What a process offers in its present life; None while it starts for the first time."""
        return self._processes[process].application

    async def fill(self, service: str, table: Table, **values: Any) -> None:
        """Write a row into a service's database, past every gate."""
        await self.databases[service].execute(insert(table).values(**values))

    async def ask(self, process: str, question: Callable[[Any], Awaitable[T]]) -> T:
        """Put a question to the application of a process, again and again until it is answered.

        Raises Problem where it is refused for good, and Unanswered.
        """
        loop = self.world.loop
        give_up_at = loop.time() + PATIENCE_PAUSES * self.world.pause_seconds
        while loop.time() < give_up_at:
            life = self.world.life_of(process)
            application = self.application(process)
            if not life.dead and application is not None:
                asking = _awaited(question, application)
                asked = in_process(life, lambda asking=asking: loop.create_task(asking))  # type: ignore[misc]
                await asyncio.wait([asked])
                error = asked.exception() if not asked.cancelled() else asyncio.CancelledError()
                if error is None:
                    answer: T = asked.result()
                    return answer
                if isinstance(error, Problem) and error.status not in _ASK_AGAIN:
                    raise error
            await asyncio.sleep(AGAIN_SECONDS)
        raise Unanswered(f"{process} does not answer any more")

    def tell(self, sender: str, payload: BaseModel, *, subject: str) -> None:
        """Put a message into the queue of everyone who receives it, as if `sender` had sent it."""
        message = Sender(sender).envelope(
            payload, cause=f"told/{len(self.told)}", subject=subject, correlation_id=subject
        )
        self.told.add(message.id)
        for receiver in self.topology.receivers_of(message.type):
            self.put(receiver, orjson.loads(message.encode()))

    def put(self, receiver: str, detail: Mapping[str, Any]) -> None:
        """Put a message into a service's queue, as the bus would, past all senders."""
        event = {
            "id": detail["id"],
            "source": detail["source"],
            "detail-type": detail["type"],
            "detail": detail,
        }
        queue = self.topology.services[receiver].queue.name
        self.aws.put(queue, orjson.dumps(event).decode())

    def inbox(self, service: str) -> list[str]:
        """The types of what a service has handled."""
        inbox = self.services[service].tables.inbox
        return [row["type"] for row in self.databases[service].rows(inbox)]

    def dead_letters(self, service: str) -> list[tuple[str, str]]:
        """Message ids and reason codes of a service's dead letters."""
        queue = self.aws.queue(self.topology.services[service].dead_letters.name)
        return [
            (
                orjson.loads(message.body)["detail"]["id"],
                message.attributes.get("reason_code", {}).get("StringValue", "receives_exhausted"),
            )
            for message in queue.messages
        ]


async def _awaited(question: Callable[[Any], Awaitable[T]], application: Any) -> T:
    return await question(application)


class Names:
    """Names what an operation is done to, the same in every run: ids have no place in it."""

    def __init__(self, aws: MemoryAws) -> None:
        self._aws = aws
        self._types: dict[str, str] = {}
        self._known = 0

    def subject(self, operation: str, detail: Sequence[str]) -> str:
        """Messages by their type, tables by what is done to them."""
        if operation in ("commit", "write"):
            for kind in ("inbox ", "outbox "):
                types = [each.removeprefix(kind) for each in detail if each.startswith(kind)]
                if types:
                    return "+".join(types)
            return ", ".join(detail)
        return "+".join(dict.fromkeys(map(self._name_of, detail)))

    def _name_of(self, text: str) -> str:
        partition, is_sorted, sort_key = text.partition("\n")
        if is_sorted:
            words = [word for word in sort_key.split("#") if not _ID.fullmatch(word)]
            if _ID.fullmatch(sort_key.partition("#")[0]):
                words.insert(0, partition.partition("#")[0])
            return " ".join(words)
        scope, separator, key = text.partition("#")
        if not separator:
            return text
        for _, detail in self._aws.published[self._known :]:
            self._types[detail["id"]] = detail["type"]
        self._known = len(self._aws.published)
        return self._types.get(key, f"{scope} key")

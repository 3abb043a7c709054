"""A service as its `app.py` declares it, and what its composition root makes of the resources.

Guarantee: declaring one connects to nothing and reads no environment.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter

from chassis.resources import Resources, Worker, open_resources
from chassis.settings import ServiceSettings
from observability import Tracing


class CannotStart(Exception):
    """Something that a person has to mend first; the text says what, on one line."""


@dataclass(slots=True)
class Parts:
    """What a composition root made of the resources.

    `application` is what the routers put on HTTP, for who calls it in the same process; `routers`
    are made for the web role alone; `media_types` says what the bodies of a path may be, where that
    is not JSON alone. `check`: returns if the process can do its work and raises NotReady if not,
    where that is not decided by whether its resources answer.
    """

    application: Any = None
    routers: Callable[[], Sequence[APIRouter]] = list
    workers: Sequence[Worker] = ()
    web_workers: Sequence[Worker] = field(default_factory=list)
    closers: Sequence[Callable[[], Awaitable[None]]] = ()
    media_types: Mapping[str, Sequence[str]] = field(default_factory=dict)
    check: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service without a database; `aws` names the clients that it needs.

    `commands` are what `python -m <package>` does once, on open resources, besides the roles; each
    answers with the process's exit code.
    """

    name: str
    title: str
    package: str
    settings: type[ServiceSettings]
    compose: Callable[[Any], Awaitable[Parts]]
    aws: Sequence[str] = ("sqs", "dynamodb")
    commands: Mapping[str, Callable[[Any], Awaitable[int]]] = field(default_factory=dict)

    @property
    def roles(self) -> Sequence[str]:
        """As what a process of it may run."""
        return ("web", "worker", "all", *self.commands)

    def open(
        self, settings: ServiceSettings, tracing: Tracing, role: str = "all"
    ) -> AbstractAsyncContextManager[Resources]:
        """The resources of a process of it."""
        return open_resources(self.name, settings, tracing, self.aws, role)

    async def migrate(self, settings: ServiceSettings) -> None:
        """Nothing to bring up to date."""

"""What a process holds open: its AWS clients, and what it knows of its place among the services.

Guarantee: opened once, bounded, and closed in reverse order however the process ends.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from tenacity import before_sleep_log, retry, retry_if_exception_type, stop_after_delay
from tenacity import wait_exponential_jitter as exponential_jitter

from chassis.aws import open_clients
from chassis.connections import HttpConnections
from chassis.settings import ServiceSettings
from contracts import Topology, load_topology
from idempotency import Inbox
from observability import Tracing

log = logging.getLogger(__name__)


class Worker(Protocol):
    """A background activity: `run` returns soon after `stop`, with its work in hand finished."""

    async def run(self) -> None: ...

    def stop(self) -> None: ...


class NotReady(Exception):
    """What the service stands on does not answer; the text says what, and never shows a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The open resources of one process of one service.

    `clients` are the AWS clients that the service asked for, by the names that AWS gives them.
    `role` is what the process runs as: web, worker, or all of it.
    """

    service: str
    role: str = "all"
    settings: ServiceSettings
    topology: Topology
    clients: Mapping[str, Any]
    tracing: Tracing
    # How the service reaches third parties by HTTP.
    connect: Callable[..., HttpConnections] = HttpConnections

    @property
    def sqs(self) -> Any:
        """The queues' client."""
        return self.clients["sqs"]

    @property
    def dynamodb(self) -> Any:
        """The tables' client."""
        return self.clients["dynamodb"]

    @property
    def inbox(self) -> Inbox:
        """What a service without SQL has handled."""
        return Inbox(self.dynamodb, table=self.table("ledger"), scope=f"{self.service}-inbox")

    @property
    def senders(self) -> Sequence[Worker]:
        """What sends the process's results out, in every role; it is stopped last."""
        return ()

    @property
    def keepers(self) -> Sequence[Worker]:
        """What the worker role does for the resources' own sake."""
        return ()

    async def check(self) -> None:
        """Return if what the service stands on answers; raises NotReady."""
        try:
            await self.inbox.census()
        except (ClientError, BotoCoreError, OSError) as error:
            raise NotReady(f"DynamoDB does not answer: {type(error).__name__}") from None

    async def census(self) -> dict[str, Any]:
        """Messages `sent`, in the `outbox`, and `handled`, for the balance sheet."""
        nothing = {"pending": 0, "parked": 0}
        return {"sent": {}, "outbox": nothing, "handled": dict(await self.inbox.census())}

    def table(self, purpose: str) -> str:
        """The name of the DynamoDB table for a purpose: 'ledger' or 'http-idempotency'."""
        for table in self.topology.tables:
            if table.name.endswith(f"-{purpose}"):
                return table.name
        raise LookupError(f"the topology has no table for {purpose}")

    async def queue_urls(self) -> tuple[str, str]:
        """Addresses of the service's queue and of its dead-letter queue; waits until they exist."""
        mine = self.topology.services[self.service]
        return await self._queue_url(mine.queue.name), await self._queue_url(mine.dead_letters.name)

    async def _queue_url(self, name: str) -> str:
        @retry(
            retry=retry_if_exception_type((ClientError, BotoCoreError, OSError)),
            wait=exponential_jitter(multiplier=0.1, max=2),
            stop=stop_after_delay(60),
            before_sleep=before_sleep_log(log, logging.WARNING),
            reraise=True,
        )
        async def look_up() -> str:
            answer = await self.sqs.get_queue_url(QueueName=name)
            return str(answer["QueueUrl"])

        return await look_up()


@asynccontextmanager
async def open_resources(
    service: str,
    settings: ServiceSettings,
    tracing: Tracing,
    aws: Sequence[str],
    role: str = "all",
) -> AsyncIterator[Resources]:
    """Open a client of each service that `aws` names; nothing is contacted yet, except that clients
    read their credentials.
    """
    async with AsyncExitStack() as stack:
        yield Resources(
            service=service,
            role=role,
            settings=settings,
            topology=load_topology(),
            clients=await clients_of(stack, settings, tracing, aws),
            tracing=tracing,
        )


async def clients_of(
    stack: AsyncExitStack, settings: ServiceSettings, tracing: Tracing, aws: Sequence[str]
) -> dict[str, Any]:
    """The AWS clients, by name, for as long as the stack lives."""
    return await open_clients(
        stack,
        *aws,
        region=settings.aws_region,
        endpoint_url=settings.aws_endpoint_url,
        short_way=not tracing.enabled,
    )

"""AWS in memory: the bus, rules, queues, dead letters and tables of a topology, and a mail server.

Guarantee: the same requests at the same times give the same answers. There is no clock but the
running loop's, no randomness, and ids are counted.
"""

import itertools
from datetime import datetime
from typing import Any

from contracts.topology import Topology
from faults.gate import Gate
from faults.memory.bus import Bus, EventsClient
from faults.memory.dynamodb import DynamoDbClient
from faults.memory.items import Table
from faults.memory.queues import Queue
from faults.memory.ses import Arrival, MailServer, SesClient
from faults.memory.sqs import SqsClient


class MemoryAws:
    """The state behind all clients; each incarnation of a process gets clients of its own.

    `late_seconds`, `reorder_seconds`: how long the bus holds back what the twists 'late' and
    'reorder' ask it to. `epoch_seconds`: what the wall clock shows when the loop's shows 0; times
    in events and of the bus's creation are told by it.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        late_seconds: float = 60.0,
        reorder_seconds: float = 0.5,
        epoch_seconds: float = 0.0,
    ) -> None:
        # What clients asked for that is not supported: a run that leaves something here is void.
        self.unsupported: list[str] = []
        self._queues = _queues(topology)
        self._service_queues = [
            self._queues[service.queue.name] for service in topology.services.values()
        ]
        self._tables = {
            each.name: Table(each.name, each.key, each.sort_key) for each in topology.tables
        }
        self._mail_server = MailServer()
        self._bus = Bus(
            topology,
            self._queues,
            late_seconds=late_seconds,
            reorder_seconds=reorder_seconds,
            epoch_seconds=epoch_seconds,
        )

    def events(self, gate: Gate) -> EventsClient:
        """A client of the bus."""
        return EventsClient(gate, self.unsupported, self._bus)

    def sqs(self, gate: Gate) -> SqsClient:
        """A client of the queues."""
        return SqsClient(gate, self.unsupported, self._queues)

    def dynamodb(self, gate: Gate) -> DynamoDbClient:
        """A client of the tables."""
        return DynamoDbClient(gate, self.unsupported, self._tables)

    def ses(self, gate: Gate) -> SesClient:
        """A client of the mail server."""
        return SesClient(gate, self.unsupported, self._mail_server)

    @property
    def mails(self) -> list[Arrival]:
        """What the mail server has taken, in the order of arrival."""
        return self._mail_server.arrivals

    @property
    def published(self) -> list[tuple[float, dict[str, Any]]]:
        """Loop time and detail of every entry that the bus has taken, in the order of arrival."""
        return self._bus.published

    @property
    def born(self) -> datetime:
        """When the bus was made; the first one is as old as the loop's clock."""
        return self._bus.born

    def queue(self, name: str) -> Queue:
        """A queue by its name, be it a service's, its dead letters or what is undelivered."""
        return self._queues[name]

    def table(self, name: str) -> Table:
        """A table by its name."""
        return self._tables[name]

    def put(self, queue_name: str, body: str) -> None:
        """Put a message into a queue, past all clients."""
        self._queues[queue_name].put(body)

    def tag(self, name: str) -> None:
        """Leave a tag on the bus, past all clients."""
        self._bus.tags[name] = "true"

    def is_idle(self) -> bool:
        """Whether no service has a message to come, be it hidden, delayed or held back, and no mail
        is on its way.
        """
        return self._bus.is_idle() and self._mail_server.is_idle() and not any(self._service_queues)

    def forget(self) -> None:
        """Start anew with an empty memory, the topology applied again; polls go on waiting, since
        real clients try again by themselves.
        """
        for queue in self._queues.values():
            queue.clear()
        for table in self._tables.values():
            table.items.clear()
        self._bus.forget()


def _queues(topology: Topology) -> dict[str, Queue]:
    """All queues by name, each service's with its redrive policy."""
    numbers = itertools.count(1)
    places = itertools.count(1)
    queues: dict[str, Queue] = {}
    for service in topology.services.values():
        dead_letters = Queue(service.dead_letters.name, next(places), numbers)
        undelivered = Queue(service.undelivered.name, next(places), numbers)
        queue = Queue(
            service.queue.name,
            next(places),
            numbers,
            visibility_seconds=service.queue.visibility_seconds,
            long_poll_seconds=service.queue.long_poll_seconds,
            max_receive_count=service.queue.max_receive_count,
            dead_letters=dead_letters,
        )
        queues |= {each.name: each for each in (queue, dead_letters, undelivered)}
    return queues

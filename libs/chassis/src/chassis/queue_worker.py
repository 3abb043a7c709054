"""The consumer of a service's queue, as a worker of the process.

Guarantee: it starts as soon as its queue exists, whichever of the two comes up first.
"""

import asyncio

from chassis.resources import Resources
from messaging import Consumer
from messaging.consumer import Handle


class QueueWorker:
    """Consumes the service's one queue with the settings that all services share.

    `handle` is what becomes of each message.
    """

    def __init__(self, resources: Resources, handle: Handle) -> None:
        self._resources = resources
        self.handle = handle
        self._consumer: Consumer | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Wait for the queue, then consume until `stop`."""
        looking_up = asyncio.create_task(self._resources.queue_urls())
        stopped = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([looking_up, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._stopping.is_set():
            looking_up.cancel()
            return
        queue_url, dead_letter_url = looking_up.result()
        settings = self._resources.settings
        self._consumer = Consumer(
            self._resources.sqs,
            queue_url=queue_url,
            dead_letter_url=dead_letter_url,
            handle=self.handle,
            visibility_seconds=settings.visibility_seconds,
            max_in_flight=settings.max_messages_in_flight,
        )
        await self._consumer.run()

    def stop(self) -> None:
        """Receive nothing more; `run` returns when the messages at work are settled."""
        self._stopping.set()
        if self._consumer is not None:
            self._consumer.stop()

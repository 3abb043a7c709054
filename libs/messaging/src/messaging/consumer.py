"""The consumer: takes messages from one queue and sees each through to its end.

Guarantee: a message is deleted only after its effect has committed, or after it stands in the
dead-letter queue with the reason attached; everything else is received again.

    receive -> decode -> contract -> handle -> delete
                 |          |          |-- RetryLater, error: visible again later, with jitter
                 +----------+----------+-- can never succeed: dead letter, then delete

A database or bus that is down is nobody's fault: the consumer then stops receiving for a while, so
that an outage does not use up the receive counts of innocent messages.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError
from opentelemetry import propagate, trace
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from batching import Batcher
from messaging import metrics
from messaging.envelope import Envelope
from messaging.errors import AWS_OUTAGE_CODES, DeadLetter, MalformedMessage, RetryLater
from messaging.outbox import interruptible_sleep
from observability import correlated

log = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)

# SQS hands out, deletes and changes at most ten messages a call (SQS quotas).
MAX_RECEIVE = 10
# Deleting is in no hurry beside the visibility of seconds, and full calls are fewer calls.
DELETE_LINGER_SECONDS = 0.1
# The first retry comes after about a second, the last ones after a minute.
BACKOFF_LIMIT_SECONDS = 60.0
# Under load an answer is never far; an idle long poll is cut off.
LAST_ANSWER_SECONDS = 0.5
# Half of the receives after which the topology's queues give a message up.
MAX_INNOCENT_RECEIVES = 4
# SQS delays a message by a quarter of an hour at most (SQS quotas).
MAX_DELAY_SECONDS = 900
# SQS lets a message be invisible for 12 hours in all from its receipt (SQS quotas).
MAX_INVISIBLE_SECONDS = 12 * 3600

Handle = Callable[[Envelope], Awaitable[bool]]


@dataclass(slots=True)
class Record:
    """A message as received: its envelope text and the handle that settles it."""

    body: str
    receipt: str
    receives: int
    received_at: float
    extended_at: float


def is_outage(error: BaseException) -> bool:
    """Whether the error speaks of a dependency rather than of the message."""
    if isinstance(error, ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return status >= 500 or error.response.get("Error", {}).get("Code") in AWS_OUTAGE_CODES
    if isinstance(error, DBAPIError):
        # asyncpg's server errors arrive as plain DBAPIErrors; only the SQLSTATE tells.
        state = str(getattr(error.orig, "sqlstate", None) or "")
        return (
            error.connection_invalidated
            or isinstance(error, OperationalError | InterfaceError)
            or state[:2] in _OUTAGE_CLASSES
            or state in _OUTAGE_STATES
        )
    return isinstance(error, PoolTimeoutError | TimeoutError | OSError | BotoCoreError)


# PostgreSQL, Appendix A "Error Codes": connection, authorisation, resources (disk full, too many
# connections), operator's intervention (shutdown, crash, starting up, cancelled), system errors.
_OUTAGE_CLASSES = frozenset({"08", "28", "53", "57", "58"})
# Read-only, as a standby is after a failover; and what goes away by itself when tried again:
# serialization failure, deadlock, lock not available. And the session of a process that stood still
# within a transaction, which the server has ended.
_OUTAGE_STATES = frozenset({"25006", "25P03", "40001", "40P01", "55P03"})


class Consumer:
    """Feeds one queue's messages to `handle` with bounded concurrency.

    `handle(envelope)` answers False for a copy of a message that was handled before.
    `visibility_seconds`: how long a message stays hidden from others unless extended, and so how
    soon the messages of a killed worker come back. `max_in_flight`: messages at work at once.
    """

    def __init__(
        self,
        sqs: Any,
        *,
        queue_url: str,
        dead_letter_url: str,
        handle: Handle,
        visibility_seconds: int = 30,
        max_in_flight: int = 200,
        pollers: int = 2,
        wait_seconds: int = 20,
    ) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._dead_letter_url = dead_letter_url
        self._handle = handle
        self._visibility_seconds = visibility_seconds
        self._pollers = pollers
        self._wait_seconds = wait_seconds
        self._slots = asyncio.Semaphore(max_in_flight)
        self._at_work: dict[str, Record] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._resume_at = 0.0
        # Without an exporter no span is recorded, and making one for each message is wasted.
        self._tracing = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
        self._deletes: Batcher[Record, None] = Batcher(
            self._delete_all,
            max_items=MAX_RECEIVE,
            max_in_flight=2,
            linger_seconds=DELETE_LINGER_SECONDS,
        )

    async def run(self) -> None:
        """Receive until `stop`, then finish what is at work; raises what ended it otherwise."""
        polls = [asyncio.create_task(self._poll()) for _ in range(self._pollers)]
        extending = asyncio.create_task(self._extend_forever())
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([stopped, *polls], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stopping.set()
            # What an answer brings that is cut off stays hidden until its visibility ends.
            await asyncio.wait(polls, timeout=LAST_ANSWER_SECONDS)
            for poll in polls:
                poll.cancel()
            await asyncio.wait(polls)
            if self._tasks:
                await asyncio.wait(self._tasks)
            await self._deletes.drain()
            extending.cancel()
            stopped.cancel()
        for poll in polls:
            if not poll.cancelled():
                poll.result()

    def stop(self) -> None:
        """Receive nothing more; `run` returns when the messages at work are settled."""
        self._stopping.set()

    async def _poll(self) -> None:
        while not self._stopping.is_set():
            pause = self._resume_at - _loop_seconds()
            if pause > 0:
                await interruptible_sleep(pause, self._stopping)
                continue
            try:
                await self._receive()
            except (ClientError, BotoCoreError, OSError) as error:
                log.warning("cannot receive, trying again soon: %s", error)
                await interruptible_sleep(random.uniform(0.2, 2.0), self._stopping)

    async def _receive(self) -> None:
        slots = await self._take_slots()
        taken = 0
        try:
            if self._stopping.is_set():
                return
            answer = await self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=slots,
                WaitTimeSeconds=self._wait_seconds,
                VisibilityTimeout=self._visibility_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
            for message in answer.get("Messages", ()):
                now = _loop_seconds()
                record = Record(
                    received_at=now,
                    extended_at=now,
                    body=message["Body"],
                    receipt=message["ReceiptHandle"],
                    receives=int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
                )
                task = asyncio.create_task(self._settle(record))
                taken += 1
                self._tasks.add(task)
                task.add_done_callback(self._settled)
        finally:
            for _ in range(slots - taken):
                self._slots.release()

    async def _take_slots(self) -> int:
        """As many as one call can use, or as many as are free, once one is: a poller that held some
        while it waited for more would wait forever for another that does the same.
        """
        await self._slots.acquire()
        taken = 1
        while taken < MAX_RECEIVE and not self._slots.locked():
            await self._slots.acquire()
            taken += 1
        return taken

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()
        if not task.cancelled() and task.exception() is not None:
            # Settling failed, so the message was not deleted: it will be received again.
            log.warning("a message could not be settled", exc_info=task.exception())

    async def _settle(self, record: Record) -> None:
        self._at_work[record.receipt] = record
        metrics.IN_FLIGHT.inc()
        name = "unknown"
        try:
            message = _decode(record.body)
            name = message.type
            age_seconds = max(time.time() - message.time.timestamp(), 0)
            fresh = await self._traced(message)
        except DeadLetter as reason:
            await self._dead_letter(record, reason)
            outcome = "dead_lettered"
        except RetryLater as early:
            log.info("%s is too early: %s", name, early)
            await self._put_back(record, early.seconds)
            outcome = "retried"
        except Exception as error:
            await self._retry_after_failure(record, name, error)
            outcome = "failed"
        else:
            await self._deletes(record)
            outcome = "handled" if fresh else "duplicate"
            # Here, where the contracts know the name: a type out of nowhere makes no series.
            metrics.labelled(metrics.AGE_SECONDS, name).observe(age_seconds)
            handling_seconds = _loop_seconds() - record.received_at
            metrics.labelled(metrics.HANDLING_SECONDS, name).observe(handling_seconds)
        finally:
            self._at_work.pop(record.receipt, None)
            metrics.IN_FLIGHT.dec()
        counted_as = name if outcome != "dead_lettered" else "any"
        metrics.labelled(metrics.HANDLED, counted_as, outcome).inc()

    async def _traced(self, message: Envelope) -> bool:
        if not self._tracing:
            with correlated(message.correlation_id, message.id):
                return await self._handle(message)
        parent = propagate.extract({"traceparent": message.traceparent or ""})
        attributes = {
            "messaging.system": "aws_sqs",
            "messaging.message.id": message.id,
            "messaging.message.conversation_id": message.correlation_id,
        }
        with (
            correlated(message.correlation_id, message.id),
            tracer.start_as_current_span(
                f"process {message.type}",
                context=parent,
                kind=trace.SpanKind.CONSUMER,
                attributes=attributes,
            ),
        ):
            return await self._handle(message)

    async def _retry_after_failure(self, record: Record, name: str, error: Exception) -> None:
        delay = min(2.0 ** (record.receives - 1), BACKOFF_LIMIT_SECONDS) * random.uniform(0.5, 1.5)
        if is_outage(error):
            self._resume_at = _loop_seconds() + delay
            log.warning("a dependency is down; receiving pauses %.1f s: %s", delay, error)
            await self._put_back(record, delay)
        else:
            log.error("%s failed and is tried again in %.1f s", name, delay, exc_info=error)
            await self._retry_in(record, delay)

    async def _put_back(self, record: Record, seconds: float) -> None:
        """Try again later what is not the message's fault.

        SQS counts every receipt towards the dead-letter queue, whatever the reason; before an
        innocent message has used up its receives, a copy with the same id takes its place.
        """
        if record.receives < MAX_INNOCENT_RECEIVES:
            await self._retry_in(record, seconds)
            return
        await self._sqs.send_message(
            QueueUrl=self._queue_url,
            MessageBody=record.body,
            DelaySeconds=min(math.ceil(seconds), MAX_DELAY_SECONDS),
        )
        await self._deletes(record)

    async def _retry_in(self, record: Record, seconds: float) -> None:
        await self._sqs.change_message_visibility(
            QueueUrl=self._queue_url,
            ReceiptHandle=record.receipt,
            VisibilityTimeout=min(int(seconds + random.random()), MAX_INVISIBLE_SECONDS),
        )

    async def _dead_letter(self, record: Record, reason: DeadLetter) -> None:
        log.error("dead letter: %s: %s", reason.code, reason)
        await self._sqs.send_message(
            QueueUrl=self._dead_letter_url,
            MessageBody=record.body,
            MessageAttributes={
                "reason_code": {"DataType": "String", "StringValue": reason.code},
                "reason": {"DataType": "String", "StringValue": str(reason)[:1000] or reason.code},
            },
        )
        await self._deletes(record)

    async def _delete_all(self, records: list[Record]) -> Sequence[None]:
        answer = await self._sqs.delete_message_batch(
            QueueUrl=self._queue_url,
            Entries=[
                {"Id": str(i), "ReceiptHandle": record.receipt} for i, record in enumerate(records)
            ],
        )
        # A superseded receipt means that the message is out again: its copy will be recognised.
        for failure in answer.get("Failed", ()):
            log.info("a message was not deleted and will come again: %s", failure)
        return [None] * len(records)

    async def _extend_forever(self) -> None:
        """Keep what is still at work invisible to others."""
        third = self._visibility_seconds / 3
        while True:
            await asyncio.sleep(third)
            now = _loop_seconds()
            due = [r for r in self._at_work.values() if now - r.extended_at >= third]
            for start in range(0, len(due), MAX_RECEIVE):
                lot = due[start : start + MAX_RECEIVE]
                for record in lot:
                    record.extended_at = now
                try:
                    await self._sqs.change_message_visibility_batch(
                        QueueUrl=self._queue_url,
                        Entries=[
                            {
                                "Id": str(i),
                                "ReceiptHandle": record.receipt,
                                "VisibilityTimeout": self._visibility_seconds,
                            }
                            for i, record in enumerate(lot)
                        ],
                    )
                except (ClientError, BotoCoreError, OSError) as error:
                    log.warning("could not extend %d messages: %s", len(lot), error)


def _loop_seconds() -> float:
    """For durations: monotonic, and the clock that the loop's timers go by."""
    return asyncio.get_running_loop().time()


def _decode(body: str) -> Envelope:
    """EventBridge wraps the CloudEvents document as `detail` of an event of its own."""
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedMessage(f"not JSON: {error}") from None
    if not isinstance(event, dict) or "detail" not in event:
        raise MalformedMessage("no EventBridge event: it has no 'detail'")
    message = Envelope.decode(event["detail"])
    if message.type != event.get("detail-type"):
        raise MalformedMessage(
            f"detail-type {event.get('detail-type')!r} and type {message.type!r} differ"
        )
    return message

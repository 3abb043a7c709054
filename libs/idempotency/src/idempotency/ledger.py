"""The ledger of processed messages: who is at work on a message, and which are done.

Guarantee: while a lease lives, one owner holds a key; 'done' is never undone.

    (absent) --claim--> LEASED --finish--> DONE (absorbing, until its TTL)
        ^                 | lease over: another owner may claim
        +----release------+ (only by the owner who holds it)

The ledger is the fast path, and it keeps two workers from asking the outside world for the same
thing at once. It does not decide: where a service has a SQL database the inbox row does; a crash
between the two costs a repeated attempt under the same business key, never a second effect.
"""

import asyncio
import contextlib
import enum
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from batching import Batcher
from idempotency.records import MAX_BATCH_ITEMS, epoch_milliseconds, insert_all

# Marks are in no hurry, and a full call carries 25 of them.
MARK_LINGER_SECONDS = 0.1
# Where claims come in numbers, a call waits this long for more.
BUSY_CLAIMS = 4
BUSY_LINGER_SECONDS = 0.006

# When to ask again for a key that another task of this process is at work on.
HELD_RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


class ClaimState(enum.Enum):
    """What became of a claim."""

    ACQUIRED = "acquired"
    DONE = "done"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim; `retry_after_seconds` says when a busy key's lease ends."""

    state: ClaimState
    retry_after_seconds: float = 0.0


class Ledger:
    """Claims and marks message ids in one DynamoDB table, 25 a call.

    `lease_seconds` bounds how long a dead owner keeps a key; `keep_seconds` is how long 'done' is
    remembered and must be longer than queue retention plus redrive (default: 4 + 14 + 3 days).
    """

    def __init__(
        self,
        dynamodb: Any,
        *,
        table: str,
        scope: str,
        lease_seconds: float = 30.0,
        keep_seconds: int = 21 * 24 * 3600,
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._scope = scope
        self._owner = str(uuid.uuid4())
        self._lease_ms = int(lease_seconds * 1000)
        self._keep_seconds = keep_seconds
        self._claims: Batcher[str, Claim] = Batcher(
            self._claim_all,
            max_items=MAX_BATCH_ITEMS,
            linger_seconds=BUSY_LINGER_SECONDS,
            linger_after=BUSY_CLAIMS,
        )
        self._marks: Batcher[str, None] = Batcher(
            self._finish_all,
            max_items=MAX_BATCH_ITEMS,
            linger_seconds=MARK_LINGER_SECONDS,
        )
        self._marking: set[asyncio.Task[None]] = set()
        # The record names the process; which of its tasks is at work is only known here.
        self._held: set[str] = set()

    async def claim(self, key: str) -> Claim:
        """Take the key, or learn that it is done or that somebody else is at work on it."""
        if key in self._held:
            return Claim(ClaimState.BUSY, HELD_RETRY_SECONDS)
        self._held.add(key)
        state: ClaimState | None = None
        try:
            claim = await self._claims(key)
            state = claim.state
        finally:
            if state is not ClaimState.ACQUIRED:
                self._held.discard(key)
        return claim

    def finish(self, key: str) -> None:
        """Remember soon that the key's work is committed; `drain` waits for it.

        Unconditional on purpose: it is called after the effect has committed, so it is true whoever
        writes it, and a late owner can only repeat it. A mark that is lost costs a repeated
        attempt, which the inbox recognises.
        """
        task = asyncio.get_running_loop().create_task(self._marks(key))
        self._marking.add(task)
        task.add_done_callback(self._marking.discard)
        task.add_done_callback(lambda _: self._held.discard(key))
        task.add_done_callback(_log_lost_mark)

    async def release(self, key: str) -> None:
        """Give the key up after a failure, so that a retry need not wait for the lease."""
        self._held.discard(key)
        try:
            await self._dynamodb.delete_item(
                TableName=self._table,
                Key={"pk": {"S": self._key(key)}},
                ConditionExpression="#o = :owner AND #s = :leased",
                ExpressionAttributeNames={"#o": "owner", "#s": "state"},
                ExpressionAttributeValues={
                    ":owner": {"S": self._owner},
                    ":leased": {"S": "leased"},
                },
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return  # Someone else holds it by now, or it is done: nothing to give up.

    @contextlib.asynccontextmanager
    async def kept(self, key: str) -> AsyncIterator[None]:
        """Prolong the lease for as long as the body runs, a third of it at a time."""
        loop = asyncio.get_running_loop()
        interval = self._lease_ms / 3000
        extensions: set[asyncio.Task[bool]] = set()
        timer: asyncio.TimerHandle

        def extend() -> None:
            nonlocal timer
            task = loop.create_task(self._extend(key))
            extensions.add(task)
            task.add_done_callback(_log_lost_lease)
            task.add_done_callback(extensions.discard)
            timer = loop.call_later(interval, extend)

        timer = loop.call_later(interval, extend)
        try:
            yield
        finally:
            timer.cancel()
            for task in extensions:
                task.cancel()

    async def _extend(self, key: str) -> bool:
        """Prolong the own lease; False when it was lost."""
        now = epoch_milliseconds()
        try:
            await self._dynamodb.update_item(
                TableName=self._table,
                Key={"pk": {"S": self._key(key)}},
                UpdateExpression="SET lease_ends_ms = :until",
                ConditionExpression="#o = :owner AND #s = :leased",
                ExpressionAttributeNames={"#o": "owner", "#s": "state"},
                ExpressionAttributeValues={
                    ":owner": {"S": self._owner},
                    ":leased": {"S": "leased"},
                    ":until": {"N": str(now + self._lease_ms)},
                },
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    async def drain(self) -> None:
        """Return once every mark handed in is written, or has failed."""
        while self._marking:
            await self._marks.drain()
            await asyncio.gather(*self._marking, return_exceptions=True)

    def _key(self, key: str) -> str:
        return f"{self._scope}#{key}"

    def _record(self, key: str, state: str, now_ms: int) -> dict[str, dict[str, str]]:
        return {
            "pk": {"S": self._key(key)},
            "state": {"S": state},
            "owner": {"S": self._owner},
            "lease_ends_ms": {"N": str(now_ms + self._lease_ms)},
            "expires_at": {"N": str(now_ms // 1000 + self._keep_seconds)},
        }

    async def _claim_all(self, keys: list[str]) -> Sequence[Claim | BaseException]:
        now = epoch_milliseconds()
        records = [self._record(key, "leased", now) for key in keys]
        inserted = await insert_all(self._dynamodb, self._table, records)

        async def settle(key: str, new: bool) -> Claim:
            return Claim(ClaimState.ACQUIRED) if new else await self._take_over(key)

        return await asyncio.gather(
            *(settle(k, new) for k, new in zip(keys, inserted, strict=True)),
            return_exceptions=True,
        )

    async def _take_over(self, key: str) -> Claim:
        """Claim a key that has a record: possible when its lease is over, or was ours."""
        now = epoch_milliseconds()
        try:
            # Our own lease is taken again too: botocore may have retried an insert that had gone
            # through, and the second answer then reads like somebody else's success.
            await self._dynamodb.update_item(
                TableName=self._table,
                Key={"pk": {"S": self._key(key)}},
                UpdateExpression="SET #o = :owner, #s = :leased, lease_ends_ms = :until, "
                "expires_at = :expires",
                ConditionExpression="attribute_not_exists(pk) OR "
                "(#s = :leased AND (lease_ends_ms < :now OR #o = :owner))",
                ExpressionAttributeNames={"#o": "owner", "#s": "state"},
                ExpressionAttributeValues={
                    ":owner": {"S": self._owner},
                    ":leased": {"S": "leased"},
                    ":now": {"N": str(now)},
                    ":until": {"N": str(now + self._lease_ms)},
                    ":expires": {"N": str(now // 1000 + self._keep_seconds)},
                },
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            record = error.response.get("Item")
            if record is None:
                answer = await self._dynamodb.get_item(
                    TableName=self._table, Key={"pk": {"S": self._key(key)}}, ConsistentRead=True
                )
                record = answer.get("Item")
            if record is None:
                return Claim(ClaimState.BUSY, 0.1)
            if record["state"]["S"] == "done":
                return Claim(ClaimState.DONE)
            remaining = (int(record["lease_ends_ms"]["N"]) - now) / 1000
            return Claim(ClaimState.BUSY, max(remaining, 0.1))
        return Claim(ClaimState.ACQUIRED)

    async def _finish_all(self, keys: list[str]) -> Sequence[None]:
        now = epoch_milliseconds()
        requests = [
            {"PutRequest": {"Item": self._record(key, "done", now)}} for key in dict.fromkeys(keys)
        ]
        while requests:
            answer = await self._dynamodb.batch_write_item(RequestItems={self._table: requests})
            requests = answer.get("UnprocessedItems", {}).get(self._table, [])
            if requests:
                await asyncio.sleep(0.05)
        return [None] * len(keys)


def _log_lost_mark(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.warning("a mark in the ledger was lost; the inbox will decide: %s", task.exception())


def _log_lost_lease(task: asyncio.Task[bool]) -> None:
    if task.cancelled():
        return
    if task.exception() is not None:
        log.warning("a lease could not be extended", exc_info=task.exception())
    elif not task.result():
        log.warning("a lease was lost while its work went on; the inbox will decide")

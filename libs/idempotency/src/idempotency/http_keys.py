"""HTTP's Idempotency-Key: one request, one outcome, however often it is sent.

Guarantee: the first request with a key runs; a repeat gets the stored answer, a repeat with another
payload is refused, and a repeat while the first still runs is told so.

    (absent) --begin--> IN_PROGRESS --complete--> COMPLETED (replayed until its TTL)
                          | lease over: the next request runs again
"""

import asyncio
import base64
import hashlib
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from batching import Batcher
from idempotency.records import MAX_BATCH_ITEMS, RecordsUnavailable, epoch_milliseconds, insert_all

# An answer is on its way to its client while it waits here for company, up to 25 to a call.
ANSWER_LINGER_SECONDS = 0.05
# Where keys come in numbers, a call waits this long for more: it carries 25.
BUSY_KEYS = 4
BUSY_LINGER_SECONDS = 0.01

log = logging.getLogger(__name__)


def fingerprint(method: str, path: str, body: bytes) -> str:
    """What makes two requests the same request."""
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), body))).hexdigest()


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An answer as it was sent the first time."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Claimed:
    """The caller runs the request; `token` proves it when the answer is stored."""

    token: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Replay:
    """The request ran before: send this answer."""

    response: StoredResponse


@dataclass(frozen=True, slots=True)
class InProgress:
    """Another request with this key is running (HTTP 409)."""


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The key was used for another payload (HTTP 422)."""


Outcome = Claimed | Replay | InProgress | KeyReused


class HttpIdempotency:
    """Idempotency-Key records in one DynamoDB table; inserts and answers go 25 a call.

    `keep_seconds`: how long an answer is replayed (24 h, as Stripe keeps them).
    """

    def __init__(
        self,
        dynamodb: Any,
        *,
        table: str,
        scope: str,
        lease_seconds: float = 15.0,
        keep_seconds: int = 24 * 3600,
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._scope = scope
        self._lease_ms = int(lease_seconds * 1000)
        self._keep_seconds = keep_seconds
        self._inserts: Batcher[dict[str, dict[str, str]], bool] = Batcher(
            self._insert_all,
            max_items=MAX_BATCH_ITEMS,
            linger_seconds=BUSY_LINGER_SECONDS,
            linger_after=BUSY_KEYS,
        )
        self._answers: Batcher[tuple[str, str, StoredResponse], None] = Batcher(
            self._complete_all, max_items=MAX_BATCH_ITEMS, linger_seconds=ANSWER_LINGER_SECONDS
        )
        # Answers that were given and are not stored yet: a repeat that comes here gets them too.
        self._unstored: dict[str, tuple[Claimed, StoredResponse]] = {}
        self._storing: set[asyncio.Task[None]] = set()

    async def begin(self, key: str, request_fingerprint: str) -> Outcome:
        """Claim the key for this request, or learn what became of it."""
        if key in self._unstored:
            claim, response = self._unstored[key]
            return Replay(response) if claim.fingerprint == request_fingerprint else KeyReused()
        now = epoch_milliseconds()
        token = str(uuid.uuid4())
        record = {
            "pk": {"S": self._pk(key)},
            "state": {"S": "in_progress"},
            "fingerprint": {"S": request_fingerprint},
            "owner": {"S": token},
            "lease_ends_ms": {"N": str(now + self._lease_ms)},
            "expires_at": {"N": str(now // 1000 + self._keep_seconds)},
        }
        if await self._inserts(record):
            return Claimed(token, request_fingerprint)
        return await self._examine(record, now)

    def finish(self, key: str, claim: Claimed, response: StoredResponse) -> None:
        """Store the answer soon, with others; `drain` waits for it.

        The client need not wait for that. If it is lost, a repeat waits for the lease to end and
        runs again, as after a crash.
        """
        self._unstored[key] = (claim, response)
        task = asyncio.get_running_loop().create_task(self.complete(key, claim.token, response))
        self._storing.add(task)

        def stored(task: asyncio.Task[None]) -> None:
            self._storing.discard(task)
            self._unstored.pop(key, None)
            if not task.cancelled() and task.exception() is not None:
                log.warning("an answer was not stored: %s", task.exception())

        task.add_done_callback(stored)

    async def drain(self) -> None:
        """Return once every answer handed to `finish` is stored, or has failed."""
        while self._storing:
            await self._answers.drain()
            await asyncio.gather(*self._storing, return_exceptions=True)

    async def complete(self, key: str, token: str, response: StoredResponse) -> None:
        """Store the answer for repeats; without effect when the lease went to someone else."""
        await self._answers((key, token, response))

    async def release(self, key: str, token: str) -> None:
        """Give the key up after a failure that the client may retry at once."""
        try:
            await self._dynamodb.delete_item(
                TableName=self._table,
                Key={"pk": {"S": self._pk(key)}},
                ConditionExpression="#o = :owner AND #s = :in_progress",
                ExpressionAttributeNames={"#o": "owner", "#s": "state"},
                ExpressionAttributeValues={
                    ":owner": {"S": token},
                    ":in_progress": {"S": "in_progress"},
                },
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return

    def _pk(self, key: str) -> str:
        return f"{self._scope}#{key}"

    async def _insert_all(self, records: list[dict[str, dict[str, str]]]) -> Sequence[bool]:
        return await insert_all(self._dynamodb, self._table, records)

    async def _examine(self, record: dict[str, dict[str, str]], now: int) -> Outcome:
        answer = await self._dynamodb.get_item(
            TableName=self._table, Key={"pk": record["pk"]}, ConsistentRead=True
        )
        found = answer.get("Item")
        token = record["owner"]["S"]
        if found is not None and found["owner"]["S"] == token:
            return Claimed(
                token, record["fingerprint"]["S"]
            )  # Our own insert, retried below us after it had gone through.
        expired = found is None or int(found["expires_at"]["N"]) * 1000 < now
        if found is not None and not expired:
            if found["fingerprint"]["S"] != record["fingerprint"]["S"]:
                return KeyReused()
            if found["state"]["S"] == "completed":
                return Replay(_response_of(found))
            if int(found["lease_ends_ms"]["N"]) >= now:
                return InProgress()
        condition = "attribute_not_exists(pk)"
        values: dict[str, dict[str, str]] = {}
        if found is not None:
            condition += " OR (#o = :previous AND lease_ends_ms = :lease)"
            values = {":previous": found["owner"], ":lease": found["lease_ends_ms"]}
        arguments: dict[str, Any] = {}
        if values:
            arguments = {
                "ExpressionAttributeNames": {"#o": "owner"},
                "ExpressionAttributeValues": values,
            }
        try:
            await self._dynamodb.put_item(
                TableName=self._table,
                Item=record,
                ConditionExpression=condition,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **arguments,
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException as error:
            winner = error.response.get("Item", {}).get("owner")
            if winner != record["owner"]:
                return InProgress()
            # It is ourselves: the client below us repeated a write that had gone through.
        return Claimed(token, record["fingerprint"]["S"])

    async def _complete_all(
        self, answers: list[tuple[str, str, StoredResponse]]
    ) -> Sequence[BaseException | None]:
        # A call that names a key twice would be refused as a whole; which of two answers under one
        # key is the owner's, only the table knows.
        results: list[BaseException | None] = [None] * len(answers)
        left = list(range(len(answers)))
        while left:
            asked: dict[str, int] = {}
            for index in left:
                asked.setdefault(answers[index][0], index)
            found = await self._complete_each([answers[index] for index in asked.values()])
            for index, result in zip(asked.values(), found, strict=True):
                results[index] = result
            left = [index for index in left if index not in asked.values()]
        return results

    async def _complete_each(
        self, answers: list[tuple[str, str, StoredResponse]]
    ) -> Sequence[BaseException | None]:
        statements = [
            {
                "Statement": f'UPDATE "{self._table}" SET "state" = ? SET "response" = ? '  # noqa: S608
                'WHERE "pk" = ? AND "owner" = ?',
                "Parameters": [
                    {"S": "completed"},
                    {"S": _encode(response)},
                    {"S": self._pk(key)},
                    {"S": token},
                ],
            }
            for key, token, response in answers
        ]
        answer = await self._dynamodb.batch_execute_statement(Statements=statements)
        results: list[BaseException | None] = []
        for response in answer["Responses"]:
            error = response.get("Error")
            settled = error is None or error.get("Code") == "ConditionalCheckFailed"
            results.append(None if settled else RecordsUnavailable(f"answer not stored: {error}"))
        return results


def _encode(response: StoredResponse) -> str:
    document = {
        "status": response.status,
        "headers": dict(response.headers),
        "body": base64.b64encode(response.body).decode(),
    }
    return orjson.dumps(document).decode()


def _response_of(item: dict[str, dict[str, str]]) -> StoredResponse:
    document = orjson.loads(item["response"]["S"])
    return StoredResponse(
        status=document["status"],
        body=base64.b64decode(document["body"]),
        headers=document["headers"],
    )

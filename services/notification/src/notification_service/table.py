"""The service's one DynamoDB table: items as plain values, writes as transactions.

Guarantee: a transaction's writes happen together or not at all; two that meet on an item are tried
again, a bounded number of times.

    customer#<id>      profile                    contact, preferences
                       forgotten                  the last erasure that is done
                       mail#<order>#<kind>        a mail
                       order#<order>              how far the order's mails have got
    address#<sha256>   suppressed                 no mail may go there; survives an erasure
    book#<id>          title                      what a book is called
    due                <when>#<order>#<kind>      mails that are not settled, by the time to look
    census             shard#<n>                  counts by kind and state
    rate#<second>      rate                       mails begun in that second, by all workers
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from messaging import RetryLater

Value = str | int | bool
Write = dict[str, Any]
Clock = Callable[[], float]

MAX_TRIES = 10
FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.5
# Codes of a cancelled transaction (DynamoDB API, TransactWriteItems) that another try may get over.
_PASSING = frozenset(
    {
        "TransactionConflict",
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
        "TransactionInProgressException",
        "ThrottlingException",
        "ProvisionedThroughputExceededException",
    }
)


def wall_seconds() -> float:
    """Epoch seconds by the clock that is there when it is asked, which a test may have replaced."""
    return time.time()


class ConditionFailed(Exception):
    """The stored state was not what a write of the transaction asked for: `failed`, by position."""

    def __init__(self, failed: frozenset[int]) -> None:
        super().__init__(f"conditions failed at {sorted(failed)}")
        self.failed = failed


class Contended(RetryLater):
    """Too many others write to the same items right now."""

    def __init__(self) -> None:
        super().__init__("others write to the same items", seconds=random.uniform(1, 3))


class Table:
    """Reads and writes of one table. `now` is the wall clock in epoch seconds."""

    def __init__(self, dynamodb: Any, name: str, now: Clock = wall_seconds) -> None:
        self.dynamodb = dynamodb
        self.name = name
        self.now = now

    @property
    def now_ms(self) -> int:
        """Epoch milliseconds; leases compare them across machines, so they outlast clock skew."""
        return int(self.now() * 1000)

    async def get(self, keys: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """The items of these keys (at most 100), in order, as committed; {} where there is none."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        wanted = [{"pk": {"S": pk}, "sk": {"S": sk}} for pk, sk in keys]
        while wanted:
            answer = await self.dynamodb.batch_get_item(
                RequestItems={self.name: {"Keys": wanted, "ConsistentRead": True}}
            )
            for item in map(plain, answer["Responses"].get(self.name, ())):
                found[item["pk"], item["sk"]] = item
            wanted = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
            if wanted:
                await asyncio.sleep(random.uniform(0, 0.1))
        return [found.get(key, {}) for key in keys]

    async def query(
        self, condition: str, values: Mapping[str, Value], *, limit: int | None = None
    ) -> list[dict[str, Any]]:
        """All items (or the first `limit`) that meet a key condition, as committed."""
        request: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": stored(values),
            "ConsistentRead": True,
        }
        items: list[dict[str, Any]] = []
        while limit is None or len(items) < limit:
            if limit is not None:
                request["Limit"] = limit - len(items)
            answer = await self.dynamodb.query(**request)
            items += map(plain, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                break
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return items

    async def transact(self, *writes: Write) -> None:
        """All of the writes, or none; raises ConditionFailed, Contended.

        The SDK sends its repeats with one token, so an answer that was lost is no second write.
        """
        for tried in range(MAX_TRIES):
            try:
                await self.dynamodb.transact_write_items(TransactItems=list(writes))
                return
            except self.dynamodb.exceptions.ClientError as error:
                codes = _codes(error)
                failed = {i for i, code in enumerate(codes) if code == "ConditionalCheckFailed"}
                if failed:
                    raise ConditionFailed(frozenset(failed)) from None
                if not _PASSING.intersection(codes):
                    raise
            longest = min(FIRST_PAUSE_SECONDS * 2**tried, LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(random.uniform(0, longest))
        raise Contended

    def put(self, item: Mapping[str, Value], condition: str | None = None) -> Write:
        """A write of a whole item."""
        return {"Put": self._write({"Item": stored(item)}, condition, {}, {})}

    def update(
        self,
        key: tuple[str, str],
        expression: str,
        values: Mapping[str, Value],
        *,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
    ) -> Write:
        """A change of an item, which is made if it is not there."""
        change = {"Key": _key(key), "UpdateExpression": expression}
        return {"Update": self._write(change, condition, values, names or {})}

    def delete(self, key: tuple[str, str]) -> Write:
        """The end of an item, if it is there."""
        return {"Delete": {"TableName": self.name, "Key": _key(key)}}

    def check(
        self, key: tuple[str, str], condition: str, values: Mapping[str, Value] | None = None
    ) -> Write:
        """A condition on an item that is not written."""
        return {"ConditionCheck": self._write({"Key": _key(key)}, condition, values or {}, {})}

    def _write(
        self,
        write: Write,
        condition: str | None,
        values: Mapping[str, Value],
        names: Mapping[str, str],
    ) -> Write:
        write["TableName"] = self.name
        if condition is not None:
            write["ConditionExpression"] = condition
        if values:
            write["ExpressionAttributeValues"] = stored(values)
        if names:
            write["ExpressionAttributeNames"] = dict(names)
        return write


def stored(values: Mapping[str, Value]) -> dict[str, dict[str, Any]]:
    """Plain values as DynamoDB writes them."""
    return {name: _attribute(value) for name, value in values.items()}


def plain(item: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The reverse of `stored`."""
    return {
        name: int(value["N"]) if "N" in value else next(iter(value.values()))
        for name, value in item.items()
    }


def _attribute(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"BOOL": value}
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def _key(key: tuple[str, str]) -> dict[str, dict[str, str]]:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def _codes(error: Any) -> Iterable[str]:
    reasons = error.response.get("CancellationReasons")
    if reasons:
        return [str(reason.get("Code")) for reason in reasons]
    return [str(error.response["Error"].get("Code"))]

"""The inbox of a service without SQL: which messages it has handled, and how many of each type.

Guarantee: a message is recorded and counted once, however often and by however many workers it is
handed in: the record and the count are written in one DynamoDB transaction, and the record's
condition fails for a copy.

It comes after the effect, where a SQL service's inbox row commits with it. So the effects of such a
service must stand being repeated (an index that compares versions, a mail with a record of its
own); the inbox then only says that they are done.
"""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from batching import Batcher
from idempotency.records import epoch_milliseconds

# TransactWriteItems takes 100 items (DynamoDB service quotas); one of them is the count.
MAX_RECORDS = 99
# Deleting the message waits for this, and a full call carries many.
LINGER_SECONDS = 0.02
# Two workers that count at the same moment collide, and the loser tries again: by then the other is
# through, so this many tries mean that DynamoDB itself is in trouble.
MAX_TRIES = 12
# Longer than queue retention plus redrive, as the ledger's.
KEEP_SECONDS = 21 * 24 * 3600
_COUNT = "handled."
_PASSING = frozenset({"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})


class Inbox:
    """Records messages in the ledger's table, under keys of the service's own."""

    def __init__(
        self, dynamodb: Any, *, table: str, scope: str, keep_seconds: int = KEEP_SECONDS
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._scope = scope
        self._keep_seconds = keep_seconds
        self._records: Batcher[tuple[str, str], bool] = Batcher(
            self._record_all, max_items=MAX_RECORDS, linger_seconds=LINGER_SECONDS
        )

    async def record(self, message_id: str, message_type: str) -> bool:
        """Remember that the message is handled; False if that was known already."""
        return await self._records((message_id, message_type))

    async def census(self) -> Mapping[str, int]:
        """How many messages of each type were handled, ever."""
        answer = await self._dynamodb.get_item(
            TableName=self._table, Key=self._count_key(), ConsistentRead=True
        )
        return {
            name.removeprefix(_COUNT): int(value["N"])
            for name, value in answer.get("Item", {}).items()
            if name.startswith(_COUNT)
        }

    async def _record_all(self, messages: list[tuple[str, str]]) -> Sequence[bool]:
        """Records what is new; of a message that is in here twice, the first is the new one."""
        types: dict[str, str] = {}
        for message_id, message_type in messages:
            types.setdefault(message_id, message_type)
        left = dict(types)
        for attempt in range(1, MAX_TRIES + 1):
            known = await self._try(left)
            if known is None:
                break
            for message_id in known:
                del left[message_id]
            if not left:
                break
            if not known:
                await asyncio.sleep(random.uniform(0, min(0.02 * 2**attempt, 1.0)))
        else:
            raise TimeoutError("DynamoDB keeps refusing to record what was handled")
        results = []
        for message_id, _ in messages:
            results.append(message_id in left)
            left.pop(message_id, None)
        return results

    async def _try(self, types: Mapping[str, str]) -> set[str] | None:
        """None once all are recorded; else those that were known, perhaps none."""
        expires = str(epoch_milliseconds() // 1000 + self._keep_seconds)
        ids = list(types)
        records = [
            {
                "Put": {
                    "TableName": self._table,
                    "Item": {
                        "pk": {"S": f"{self._scope}#{message_id}"},
                        "type": {"S": types[message_id]},
                        "expires_at": {"N": expires},
                    },
                    "ConditionExpression": "attribute_not_exists(pk)",
                }
            }
            for message_id in ids
        ]
        counts = sorted(Counter(types.values()).items())
        count = {
            "Update": {
                "TableName": self._table,
                "Key": self._count_key(),
                "UpdateExpression": "ADD "
                + ", ".join(f"#c{place} :c{place}" for place in range(len(counts))),
                "ExpressionAttributeNames": {
                    f"#c{place}": _COUNT + name for place, (name, _) in enumerate(counts)
                },
                "ExpressionAttributeValues": {
                    f":c{place}": {"N": str(number)} for place, (_, number) in enumerate(counts)
                },
            }
        }
        try:
            await self._dynamodb.transact_write_items(
                TransactItems=[*records, count], ClientRequestToken=str(uuid.uuid4())
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "TransactionCanceledException":
                raise
            reasons = [
                each.get("Code", "None") for each in error.response.get("CancellationReasons", ())
            ]
            if set(reasons) - {"None", "ConditionalCheckFailed"} - _PASSING:
                raise
            return {
                message_id
                for message_id, code in zip(ids, reasons, strict=False)
                if code == "ConditionalCheckFailed"
            }
        return None

    def _count_key(self) -> dict[str, dict[str, str]]:
        return {"pk": {"S": f"{self._scope}#"}}

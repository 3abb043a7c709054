"""SES's limit of mails a second, shared by all workers.

Guarantee: in no second of the wall clock do all workers together begin more mails than the limit
(Amazon SES Developer Guide, "Managing your sending limits"); whoever finds the next seconds taken
is sent away instead of piling up here.

A second is one item with a counter. A worker takes a place in the first second that has one, and
sleeps until some moment of it.
"""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable

from messaging import RetryLater
from notification_service.table import Table, stored

# So far ahead may places be taken: well within the visibility of the message that waits for one.
HORIZON_SECONDS = 8
KEEP_SECONDS = 3600

Sleep = Callable[[float], Awaitable[None]]


class TooMany(RetryLater):
    """The next seconds are taken."""

    def __init__(self) -> None:
        super().__init__("all places of the next seconds are taken", random.uniform(4, 12))


class Pace:
    """Places for mails to begin, `per_second` of them a second."""

    def __init__(self, table: Table, *, per_second: int, sleep: Sleep = asyncio.sleep) -> None:
        self._table = table
        self._per_second = per_second
        self._sleep = sleep
        self._full_until = 0

    async def wait(self) -> None:
        """Return when it is one's turn; raises TooMany."""
        now = self._table.now()
        first = max(math.floor(now), self._full_until)
        for second in range(first, math.floor(now) + HORIZON_SECONDS):
            if await self._take(second):
                # Spread over the second, not all at its start.
                await self._sleep(max(second + random.random() * 0.9 - now, 0))
                return
            self._full_until = max(self._full_until, second + 1)
        raise TooMany

    async def _take(self, second: int) -> bool:
        try:
            await self._table.dynamodb.update_item(
                TableName=self._table.name,
                Key=stored({"pk": f"rate#{second}", "sk": "rate"}),
                UpdateExpression="SET expires_at = :expires ADD begun :one",
                ConditionExpression="attribute_not_exists(begun) OR begun < :limit",
                ExpressionAttributeValues=stored(
                    {":one": 1, ":limit": self._per_second, ":expires": second + KEEP_SECONDS}
                ),
            )
        except self._table.dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

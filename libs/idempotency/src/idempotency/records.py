"""Batched conditional inserts into DynamoDB, shared by the ledger and the HTTP keys.

Guarantee: of concurrent inserts of one key exactly one is told `True`; the table's TTL is only
housekeeping, since who may take a key is decided by comparing times in the conditions.
"""

import time
from collections.abc import Sequence
from typing import Any

# BatchExecuteStatement and BatchWriteItem both take 25 items (DynamoDB service quotas).
MAX_BATCH_ITEMS = 25


def epoch_milliseconds() -> int:
    """Wall-clock time; leases compare it across machines, so they must outlast clock skew."""
    return time.time_ns() // 1_000_000


class RecordsUnavailable(ConnectionError):
    """DynamoDB refused a record for a reason that is not the record's (no table, throttled). It is
    a ConnectionError, so callers take it for the outage that it is.
    """


async def insert_all(
    dynamodb: Any, table: str, items: Sequence[dict[str, dict[str, str]]]
) -> list[bool]:
    """Insert each item unless its `pk` is taken; True where inserted. At most 25 items.

    The same `pk` twice in one call is inserted once. Raises RecordsUnavailable when DynamoDB
    refuses an item for another reason than a taken key.
    """
    first_of: dict[str, int] = {}
    for index, item in enumerate(items):
        first_of.setdefault(item["pk"]["S"], index)
    unique = sorted(first_of.values())
    statements = []
    for index in unique:
        item = items[index]
        names = ", ".join(f"'{name}': ?" for name in item)
        statements.append(
            {"Statement": f'INSERT INTO "{table}" VALUE {{{names}}}',
             "Parameters": list(item.values())}
        )  # fmt: skip
    answer = await dynamodb.batch_execute_statement(Statements=statements)
    inserted = [False] * len(items)
    for index, response in zip(unique, answer["Responses"], strict=True):
        error = response.get("Error")
        if error is None:
            inserted[index] = True
        elif error.get("Code") not in ("DuplicateItem", "ConditionalCheckFailed"):
            raise RecordsUnavailable(f"DynamoDB refused an insert into {table}: {error}")
    return inserted

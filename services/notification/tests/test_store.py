"""Counters, contention and pace, as DynamoDB keeps them."""

import asyncio
from collections import Counter

import pytest
from botocore.exceptions import ClientError

from notification_service.domain import State
from notification_service.pace import Pace, TooMany
from notification_service.table import MAX_TRIES, Contended, Table


def conflict(operation="TransactWriteItems"):
    reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
    error = {"Code": "TransactionCanceledException", "Message": "cancelled"}
    return ClientError(
        {"Error": error, "CancellationReasons": reasons, "ResponseMetadata": {}}, operation
    )


async def collide():
    raise conflict()


async def test_census_moves_with_the_states_exactly(desk, outbox, new_order):
    before = Counter(await desk.mails.census())
    orders = [new_order() for _ in range(5)]
    for order in orders:
        await desk.tell(order.contact())
    events = [e for order in orders for e in (order.confirmed(), order.rejected())] * 2
    await asyncio.gather(*(desk.tell(event) for event in events), return_exceptions=True)
    for event in events:
        await desk.tell(event)
    after = Counter(await desk.mails.census())
    assert after["confirmed#sent"] - before["confirmed#sent"] == 5
    assert after["rejected#sent"] - before["rejected#sent"] == 5
    for kind in ("confirmed", "rejected"):
        for state in (State.WAITING, State.SENDING):
            assert after[f"{kind}#{state}"] == before[f"{kind}#{state}"]


async def test_transactions_that_collide_are_tried_again(desk, new_desk, interposed, outbox, order):
    await desk.tell(order.contact())
    interposed.before = [collide, collide, None, collide]
    await new_desk(interposed).tell(order.confirmed())
    assert outbox.names(order) == ["confirmed"]


async def test_collisions_without_end_put_the_message_back(new_desk, interposed, order):
    interposed.before = [collide] * MAX_TRIES
    with pytest.raises(Contended):
        await new_desk(interposed).tell(order.confirmed())
    assert interposed.before == []


async def test_workers_together_keep_to_the_limit_of_mails_a_second(aws, clock):
    clock.seconds = float(hash(object()) % 10**9)  # Seconds that no other test has.
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    table = Table(aws.dynamodb, "bookstore-mails", clock)
    workers = [Pace(table, per_second=3, sleep=sleep) for _ in range(3)]
    turns = [worker.wait() for worker in workers for _ in range(10)]
    outcomes = await asyncio.gather(*turns, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, TooMany)]
    assert {type(each) for each in outcomes} <= {TooMany, type(None)}
    begun = Counter(int(clock.seconds + seconds) for seconds in slept)
    assert max(begun.values()) == 3
    assert len(slept) + len(refused) == 30
    assert len(slept) == 8 * 3

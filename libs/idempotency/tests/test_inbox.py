"""The inbox on a real DynamoDB API: each message is recorded and counted once."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from idempotency import Inbox

TABLE = "bookstore-ledger"


@pytest.fixture
def inbox(aws: Any, scope: str) -> Inbox:
    return Inbox(aws.dynamodb, table=TABLE, scope=scope)


async def test_message_is_new_once_and_counted_once(inbox: Inbox) -> None:
    assert await inbox.record("m1", "OrderConfirmed")
    assert not await inbox.record("m1", "OrderConfirmed")
    assert await inbox.census() == {"OrderConfirmed": 1}


async def test_copy_in_the_same_batch_is_a_copy(inbox: Inbox) -> None:
    found = await asyncio.gather(*(inbox.record("m1", "OrderConfirmed") for _ in range(3)))
    assert sorted(found) == [False, False, True]
    assert await inbox.census() == {"OrderConfirmed": 1}


async def test_copy_takes_no_other_message_of_its_batch_down(inbox: Inbox) -> None:
    await inbox.record("old", "OrderConfirmed")
    found = await asyncio.gather(
        *(inbox.record(name, "OrderConfirmed") for name in ("a", "old", "b"))
    )
    assert found == [True, False, True]
    assert await inbox.census() == {"OrderConfirmed": 3}


async def test_nothing_handled_is_an_empty_census(inbox: Inbox) -> None:
    assert await inbox.census() == {}


async def test_services_do_not_see_each_others_messages(aws: Any, inbox: Inbox, scope: str) -> None:
    await inbox.record("m1", "OrderConfirmed")
    other = Inbox(aws.dynamodb, table=TABLE, scope=f"{scope}-other")
    assert await other.record("m1", "OrderConfirmed")


async def test_many_workers_with_many_copies_count_each_message_once(aws: Any, scope: str) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chosen = random.Random(seed)
    types = {f"m{number}": chosen.choice(["A", "B", "C"]) for number in range(250)}
    workers = [Inbox(aws.dynamodb, table=TABLE, scope=scope) for _ in range(4)]
    copies = [(worker, name) for worker in workers for name in types]
    chosen.shuffle(copies)
    found = await asyncio.gather(*(worker.record(name, types[name]) for worker, name in copies))
    new = [name for (_, name), is_new in zip(copies, found, strict=True) if is_new]
    assert sorted(new) == sorted(types)
    assert await workers[0].census() == Counter(types.values())


class LosesTheFirstAnswer:
    """DynamoDB does what it is asked, but its first answer never arrives."""

    def __init__(self, dynamodb: Any) -> None:
        self._dynamodb = dynamodb
        self._lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dynamodb, name)

    async def transact_write_items(self, **request: Any) -> Any:
        answer = await self._dynamodb.transact_write_items(**request)
        if not self._lost:
            self._lost = True
            raise TimeoutError
        return answer


async def test_answer_that_is_lost_leaves_the_count_right(aws: Any, scope: str) -> None:
    inbox = Inbox(LosesTheFirstAnswer(aws.dynamodb), table=TABLE, scope=scope)
    with pytest.raises(TimeoutError):
        await inbox.record("m1", "A")
    assert not await inbox.record("m1", "A")
    assert await inbox.census() == {"A": 1}


class Cancels:
    """Answers the first transactions with a reason for each of their items."""

    def __init__(self, dynamodb: Any, code: str, times: int) -> None:
        self._dynamodb = dynamodb
        self._code = code
        self.times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dynamodb, name)

    async def transact_write_items(self, *, TransactItems: list[Any], **request: Any) -> Any:
        if self.times:
            self.times -= 1
            reasons = [{"Code": "None"} for _ in TransactItems[:-1]] + [{"Code": self._code}]
            raise ClientError(
                {
                    "Error": {"Code": "TransactionCanceledException", "Message": ""},
                    "CancellationReasons": reasons,
                },
                "TransactWriteItems",
            )
        return await self._dynamodb.transact_write_items(TransactItems=TransactItems, **request)


async def test_worker_that_collides_with_another_tries_again(aws: Any, scope: str) -> None:
    dynamodb = Cancels(aws.dynamodb, "TransactionConflict", times=3)
    assert await Inbox(dynamodb, table=TABLE, scope=scope).record("m1", "A")
    assert dynamodb.times == 0


async def test_reason_that_will_not_pass_is_raised(aws: Any, scope: str) -> None:
    dynamodb = Cancels(aws.dynamodb, "ValidationError", times=1)
    with pytest.raises(ClientError):
        await Inbox(dynamodb, table=TABLE, scope=scope).record("m1", "A")


async def test_message_is_not_called_recorded_when_the_last_try_only_finds_a_copy(
    aws: Any, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idempotency.inbox.MAX_TRIES", 2)
    await Inbox(aws.dynamodb, table=TABLE, scope=scope).record("old", "A")
    inbox = Inbox(Cancels(aws.dynamodb, "TransactionConflict", 1), table=TABLE, scope=scope)
    recording = (inbox.record(name, "A") for name in ("old", "new"))
    for outcome in await asyncio.gather(*recording, return_exceptions=True):
        assert isinstance(outcome, TimeoutError)  # It comes again, and is counted then.
    assert await inbox.record("new", "A")
    assert await inbox.census() == {"A": 2}

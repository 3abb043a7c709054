"""The ledger on a real DynamoDB API: one owner a key while its lease lives, and 'done' for good."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from idempotency import Claim, ClaimState, Ledger, RecordsUnavailable
from idempotency.records import insert_all

ACQUIRED, DONE, BUSY = ClaimState.ACQUIRED, ClaimState.DONE, ClaimState.BUSY
TABLE = "bookstore-ledger"

NewLedger = Callable[..., Ledger]


@pytest.fixture
def new_ledger(aws: Any, scope: str) -> NewLedger:
    """Each call is the ledger of a process of its own; all share the test's keys."""

    def create(dynamodb: Any = None, lease_seconds: float = 30, **arguments: Any) -> Ledger:
        return Ledger(
            dynamodb or aws.dynamodb,
            table=TABLE,
            scope=scope,
            lease_seconds=lease_seconds,
            **arguments,
        )

    return create


@pytest.fixture
def record(aws: Any, scope: str) -> Callable[[str], Any]:
    async def read(key: str) -> Any:
        answer = await aws.dynamodb.get_item(
            TableName=TABLE, Key={"pk": {"S": f"{scope}#{key}"}}, ConsistentRead=True
        )
        return {name: next(iter(value.values())) for name, value in answer["Item"].items()}

    return read


async def states(*claims: Any) -> list[ClaimState]:
    return [each.state for each in await asyncio.gather(*claims)]


async def test_of_many_concurrent_claims_one_wins(new_ledger: NewLedger) -> None:
    ledgers = [new_ledger() for _ in range(8)]
    found = await states(*(each.claim("key") for each in ledgers))
    assert sorted(found, key=str) == [ACQUIRED] + [BUSY] * 7


async def test_of_many_concurrent_claims_in_one_process_one_wins(new_ledger: NewLedger) -> None:
    ledger = new_ledger()
    found = await states(*(ledger.claim("key") for _ in range(5)))
    assert sorted(found, key=str) == [ACQUIRED] + [BUSY] * 4
    await ledger.release("key")
    assert (await ledger.claim("key")).state is ACQUIRED


async def test_of_many_keys_each_has_its_own_owner(new_ledger: NewLedger) -> None:
    """More than one call's worth, claimed crosswise."""
    first, second = new_ledger(), new_ledger()
    keys = [f"key-{n}" for n in range(60)]
    mine, theirs = await asyncio.gather(
        states(*map(first.claim, keys)), states(*map(second.claim, reversed(keys)))
    )
    for ours, others in zip(mine, reversed(theirs), strict=True):
        assert {ours, others} == {ACQUIRED, BUSY}


async def test_a_busy_key_says_when_its_lease_ends(new_ledger: NewLedger) -> None:
    await new_ledger(lease_seconds=20).claim("key")
    claim = await new_ledger().claim("key")
    assert claim.state is BUSY
    assert 15 < claim.retry_after_seconds <= 20


async def test_when_the_lease_is_over_exactly_one_other_takes_the_key(
    new_ledger: NewLedger,
) -> None:
    dead = new_ledger(lease_seconds=0.05)
    assert (await dead.claim("key")).state is ACQUIRED
    await asyncio.sleep(0.06)
    found = await states(*(new_ledger().claim("key") for _ in range(5)))
    assert sorted(found, key=str) == [ACQUIRED] + [BUSY] * 4


async def test_done_absorbs_whoever_asks_and_however_old_it_is(new_ledger: NewLedger) -> None:
    ledger = new_ledger(lease_seconds=0.05)
    await ledger.claim("key")
    ledger.finish("key")
    await ledger.drain()
    await asyncio.sleep(0.06)
    assert await states(ledger.claim("key"), new_ledger().claim("key")) == [DONE, DONE]
    await ledger.release("key")
    assert (await new_ledger().claim("key")).state is DONE


async def test_a_late_owner_whose_work_committed_may_still_say_done(new_ledger: NewLedger) -> None:
    late, quicker = new_ledger(lease_seconds=0.05), new_ledger()
    await late.claim("key")
    await asyncio.sleep(0.06)
    await quicker.claim("key")
    late.finish("key")
    await late.drain()
    assert (await new_ledger().claim("key")).state is DONE
    await quicker.release("key")
    assert (await new_ledger().claim("key")).state is DONE


async def test_the_owner_releases_and_another_takes_it_at_once(new_ledger: NewLedger) -> None:
    owner = new_ledger()
    await owner.claim("key")
    await owner.release("key")
    assert (await new_ledger().claim("key")).state is ACQUIRED


async def test_nobody_else_can_release_a_key(new_ledger: NewLedger) -> None:
    owner, stranger = new_ledger(), new_ledger()
    await owner.claim("key")
    await stranger.release("key")
    assert (await stranger.claim("key")).state is BUSY


async def test_releasing_what_is_not_held_is_harmless(new_ledger: NewLedger) -> None:
    await new_ledger().release("never claimed")


class RetryingDynamo:
    """botocore after a lost answer: the insert goes out again and the second answer is returned."""

    def __init__(self, dynamodb: Any) -> None:
        self._dynamodb = dynamodb

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dynamodb, name)

    async def batch_execute_statement(self, **arguments: Any) -> Any:
        await self._dynamodb.batch_execute_statement(**arguments)
        return await self._dynamodb.batch_execute_statement(**arguments)


async def test_an_insert_that_was_retried_below_is_recognised_as_the_own_one(
    aws: Any, new_ledger: NewLedger
) -> None:
    assert (await new_ledger(RetryingDynamo(aws.dynamodb)).claim("key")).state is ACQUIRED


async def test_work_that_takes_longer_than_the_lease_keeps_it(
    new_ledger: NewLedger, record: Any
) -> None:
    owner, other = new_ledger(lease_seconds=0.3), new_ledger()
    await owner.claim("key")
    first_end = int((await record("key"))["lease_ends_ms"])
    async with owner.kept("key"):
        while time.time() * 1000 < first_end + 200:
            assert (await other.claim("key")).state is BUSY
            await asyncio.sleep(0.05)
    extended = int((await record("key"))["lease_ends_ms"])
    assert extended > first_end
    while (await other.claim("key")).state is BUSY:  # Nobody prolongs it any more.
        assert time.time() * 1000 < extended + 5000
        await asyncio.sleep(0.05)


async def test_a_lost_lease_is_not_prolonged(new_ledger: NewLedger, record: Any) -> None:
    late, new_owner = new_ledger(lease_seconds=0.05), new_ledger()
    await late.claim("key")
    await asyncio.sleep(0.06)
    await new_owner.claim("key")
    before = await record("key")
    assert await late._extend("key") is False
    assert await record("key") == before


async def test_the_same_key_in_another_scope_is_another_key(
    aws: Any, scope: str, new_ledger: NewLedger
) -> None:
    await new_ledger().claim("key")
    other = Ledger(aws.dynamodb, table=TABLE, scope=f"{scope}-other")
    assert await other.claim("key") == Claim(ACQUIRED)


async def test_done_is_kept_longer_than_a_message_can_come_back(
    new_ledger: NewLedger, record: Any
) -> None:
    ledger = new_ledger()
    ledger.finish("key")
    await ledger.drain()
    kept_seconds = int((await record("key"))["expires_at"]) - time.time()
    # Four days in the queue, fourteen among the dead letters (the topology's retentions).
    assert kept_seconds > (4 + 14) * 24 * 3600


async def test_more_marks_than_one_call_takes_are_all_written(new_ledger: NewLedger) -> None:
    ledger = new_ledger()
    keys = [f"key-{n}" for n in range(60)]
    for key in [*keys, *keys[:5]]:
        ledger.finish(key)
    await ledger.drain()
    assert await states(*map(new_ledger().claim, keys)) == [DONE] * 60


async def test_a_table_that_is_missing_is_no_taken_key(aws: Any, scope: str) -> None:
    ledger = Ledger(aws.dynamodb, table="no-such-table", scope=scope)
    with pytest.raises(Exception, match=r"no-such-table|not found|refused"):
        await ledger.claim("key")
    refusing = Refusing({"Code": "ThrottlingError", "Message": "slow down"})
    with pytest.raises(RecordsUnavailable, match="slow down"):
        await insert_all(refusing, TABLE, [{"pk": {"S": "key"}}])


class Refusing:
    """DynamoDB answering 200 with an error for each statement."""

    def __init__(self, error: dict[str, str]) -> None:
        self._error = error

    async def batch_execute_statement(self, Statements: list[Any]) -> Any:
        return {"Responses": [{"Error": self._error} for _ in Statements]}

"""HTTP's Idempotency-Key on a real DynamoDB API."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from idempotency import (
    Claimed,
    HttpIdempotency,
    InProgress,
    KeyReused,
    Replay,
    StoredResponse,
    fingerprint,
)

TABLE = "bookstore-http-idempotency"
ORDER = fingerprint("POST", "/orders", b'{"n": 1}')
OTHER_ORDER = fingerprint("POST", "/orders", b'{"n": 2}')
ANSWER = StoredResponse(201, "{“ä”}".encode() + b"\x00\xff", {"location": "/orders/1"})

New = Callable[..., HttpIdempotency]


@pytest.fixture
def new(aws: Any, scope: str) -> New:
    """Each call is a process of its own; all share the test's keys."""

    def create(dynamodb: Any = None, **arguments: Any) -> HttpIdempotency:
        return HttpIdempotency(dynamodb or aws.dynamodb, table=TABLE, scope=scope, **arguments)

    return create


async def claimed(keys: HttpIdempotency, request: str = ORDER) -> str:
    outcome = await keys.begin("key", request)
    assert isinstance(outcome, Claimed)
    return outcome.token


def test_a_request_is_its_method_path_and_body() -> None:
    different = [
        fingerprint("POST", "/orders", b""),
        fingerprint("PUT", "/orders", b""),
        fingerprint("POST", "/order", b"s"),
        fingerprint("POST", "/orders/1", b""),
        fingerprint("POST", "/orders", b"1"),
    ]
    assert len(set(different)) == len(different)
    assert fingerprint("POST", "/orders", b"1") == different[-1]


async def test_a_repeat_gets_the_stored_answer_byte_by_byte(new: New) -> None:
    first = new()
    await first.complete("key", await claimed(first), ANSWER)
    assert await first.begin("key", ORDER) == Replay(ANSWER)
    assert await new().begin("key", ORDER) == Replay(ANSWER)


async def test_an_answer_that_is_yet_to_be_stored_is_replayed_already(new: New, aws: Any) -> None:
    calls = 0

    class Counted:
        exceptions = aws.dynamodb.exceptions

        def __getattr__(self, name: str) -> Any:
            nonlocal calls
            calls += 1
            return getattr(aws.dynamodb, name)

    first = new(Counted())
    claim = await first.begin("key", ORDER)
    assert isinstance(claim, Claimed)
    calls = 0
    first.finish("key", claim, ANSWER)
    assert await first.begin("key", ORDER) == Replay(ANSWER)
    assert await first.begin("key", OTHER_ORDER) == KeyReused()
    assert await new().begin("key", ORDER) == InProgress()
    assert calls == 0
    await first.drain()
    assert calls == 1
    assert await new().begin("key", ORDER) == Replay(ANSWER)
    assert await first.begin("key", ORDER) == Replay(ANSWER)
    assert calls > 1


async def test_an_answer_that_cannot_be_stored_is_forgotten(new: New, aws: Any) -> None:
    class Down:
        exceptions = aws.dynamodb.exceptions

        def __getattr__(self, name: str) -> Any:
            return getattr(aws.dynamodb, name)

        async def batch_execute_statement(self, **arguments: Any) -> Any:
            if "UPDATE" in arguments["Statements"][0]["Statement"]:
                raise ConnectionError
            return await aws.dynamodb.batch_execute_statement(**arguments)

    keys = new(Down(), lease_seconds=0.0)
    claim = await keys.begin("key", ORDER)
    assert isinstance(claim, Claimed)
    keys.finish("key", claim, ANSWER)
    await keys.drain()
    # The lease is over, so the request runs again.
    assert isinstance(await keys.begin("key", ORDER), Claimed)


async def test_a_repeat_with_another_payload_is_refused(new: New) -> None:
    keys = new()
    token = await claimed(keys)
    assert await keys.begin("key", OTHER_ORDER) == KeyReused()
    await keys.complete("key", token, ANSWER)
    assert await keys.begin("key", OTHER_ORDER) == KeyReused()
    assert await keys.begin("key", ORDER) == Replay(ANSWER)


async def test_a_repeat_while_the_first_runs_is_told_so(new: New) -> None:
    keys = new()
    await claimed(keys)
    assert await keys.begin("key", ORDER) == InProgress()
    assert await new().begin("key", ORDER) == InProgress()


async def test_of_many_at_once_one_runs(new: New) -> None:
    processes = [new(), new()]
    outcomes = await asyncio.gather(
        *(keys.begin("key", ORDER) for keys in processes for _ in range(10))
    )
    assert Counter(map(type, outcomes)) == {Claimed: 1, InProgress: 19}


async def test_when_the_lease_is_over_exactly_one_repeat_runs(new: New) -> None:
    await claimed(new(lease_seconds=0.05))
    await asyncio.sleep(0.06)
    outcomes = await asyncio.gather(*(new().begin("key", ORDER) for _ in range(6)))
    assert Counter(map(type, outcomes)) == {Claimed: 1, InProgress: 5}


async def test_a_stale_owners_answer_changes_nothing(new: New) -> None:
    stale, owner = new(lease_seconds=0.05), new()
    stale_token = await claimed(stale)
    await asyncio.sleep(0.06)
    token = await claimed(owner)
    await stale.complete("key", stale_token, StoredResponse(500, b"stale", {}))
    assert await owner.begin("key", ORDER) == InProgress()
    await owner.complete("key", token, ANSWER)
    await stale.complete("key", stale_token, StoredResponse(500, b"stale", {}))
    assert await stale.begin("key", ORDER) == Replay(ANSWER)


async def test_a_stale_owner_cannot_release_the_key(new: New) -> None:
    stale, owner = new(lease_seconds=0.05), new()
    stale_token = await claimed(stale)
    await asyncio.sleep(0.06)
    await claimed(owner)
    await stale.release("key", stale_token)
    assert await new().begin("key", ORDER) == InProgress()


async def test_a_released_key_can_be_used_at_once_even_for_another_payload(new: New) -> None:
    keys = new()
    await keys.release("key", await claimed(keys))
    assert isinstance(await keys.begin("key", OTHER_ORDER), Claimed)


async def test_an_answer_after_the_release_leaves_no_record(new: New) -> None:
    keys = new()
    token = await claimed(keys)
    await keys.release("key", token)
    await keys.complete("key", token, ANSWER)
    assert isinstance(await keys.begin("key", OTHER_ORDER), Claimed)


async def test_a_stored_answer_is_not_released(new: New) -> None:
    keys = new()
    token = await claimed(keys)
    await keys.complete("key", token, ANSWER)
    await keys.release("key", token)
    assert await keys.begin("key", ORDER) == Replay(ANSWER)


async def test_an_expired_record_counts_as_absent_before_the_table_drops_it(new: New) -> None:
    """DynamoDB may take days to drop it, so what counts is the time in the record."""
    keys = new(keep_seconds=-5)
    await keys.complete("key", await claimed(keys), ANSWER)
    outcomes = await asyncio.gather(*(new().begin("key", OTHER_ORDER) for _ in range(4)))
    assert Counter(map(type, outcomes)) == {Claimed: 1, InProgress: 3}


class RetryingDynamo:
    """botocore after a lost answer: the insert goes out again and the second answer is returned."""

    def __init__(self, dynamodb: Any) -> None:
        self._dynamodb = dynamodb

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dynamodb, name)

    async def batch_execute_statement(self, **arguments: Any) -> Any:
        await self._dynamodb.batch_execute_statement(**arguments)
        return await self._dynamodb.batch_execute_statement(**arguments)


async def test_a_call_that_was_retried_below_is_recognised_as_the_own_one(
    aws: Any, new: New
) -> None:
    keys = new(RetryingDynamo(aws.dynamodb))
    token = await claimed(keys)
    await keys.complete("key", token, ANSWER)
    assert await keys.begin("key", ORDER) == Replay(ANSWER)


async def test_more_requests_than_one_call_takes_all_get_their_own_answers(new: New) -> None:
    keys = new()
    names = [f"key-{n}" for n in range(60)]
    outcomes = await asyncio.gather(*(keys.begin(name, ORDER) for name in names))
    tokens = [outcome.token for outcome in outcomes if isinstance(outcome, Claimed)]
    assert len(set(tokens)) == 60
    await asyncio.gather(
        *(
            keys.complete(name, token, StoredResponse(202, name.encode(), {}))
            for name, token in zip(names, tokens, strict=True)
        )
    )
    replays = await asyncio.gather(*(keys.begin(name, ORDER) for name in names))
    assert replays == [Replay(StoredResponse(202, name.encode(), {})) for name in names]


async def test_take_over_that_the_client_repeats_is_still_ours(new: New, aws: Any) -> None:
    """botocore repeats a write whose answer it lost; the second then meets the first."""

    class Repeating:
        exceptions = aws.dynamodb.exceptions

        def __getattr__(self, name: str) -> Any:
            return getattr(aws.dynamodb, name)

        async def put_item(self, **arguments: Any) -> Any:
            await aws.dynamodb.put_item(**arguments)
            return await aws.dynamodb.put_item(**arguments)

    await claimed(new(lease_seconds=-1))
    assert isinstance(await new(Repeating()).begin("key", ORDER), Claimed)


async def test_no_call_names_a_key_twice_and_the_owners_answer_is_stored(
    new: New, aws: Any
) -> None:
    """DynamoDB refuses a whole call that names an item twice, and 24 other answers with it."""
    asked: list[list[str]] = []

    class Listening:
        exceptions = aws.dynamodb.exceptions

        def __getattr__(self, name: str) -> Any:
            return getattr(aws.dynamodb, name)

        async def batch_execute_statement(self, **arguments: Any) -> Any:
            asked.append([s["Parameters"][2]["S"] for s in arguments["Statements"][:]])
            return await aws.dynamodb.batch_execute_statement(**arguments)

    keys = new(lease_seconds=-1)
    first, second = await claimed(keys), await claimed(keys)
    listening = new(Listening())
    owners = StoredResponse(202, b"the owner's", {})
    # The one that has lost its lease may finish before the owner, or after it.
    await asyncio.gather(
        listening.complete("key", second, owners),
        listening.complete("other", first, ANSWER),
        listening.complete("key", first, ANSWER),
    )
    assert [len(keys) for keys in asked] == [2, 1]
    assert await new().begin("key", ORDER) == Replay(owners)

"""What the AWS in memory does that no emulator can be asked for: twists, lost calls, killed polls.

Guarantee: none of these tests needs a server, and none waits longer than a fraction of a second.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from contracts import load_topology
from faults.memory.aws import MemoryAws
from idempotency import Claimed, ClaimState, HttpIdempotency, Ledger
from messaging.republish import APPLIED_TAG

T = TypeVar("T")

BUS, LEDGER = load_topology().bus, "bookstore-ledger"
CATALOG, CATALOG_LETTERS = "bookstore-catalog", "bookstore-catalog-dlq"


class ScriptedGate:
    """Notes every call, and does to the next call of an operation what the script says."""

    def __init__(self, **script: str) -> None:
        self.script = script
        self.calls: list[tuple[str, list[str], list[str]]] = []
        self.on_their_way: list[Callable[[str | None], Any]] = []

    async def call(
        self,
        operation: str,
        detail: Sequence[str],
        effect: Callable[[str | None], T],
        *,
        error: Callable[[str], BaseException],
        twists: Sequence[str] = (),
    ) -> T:
        self.calls.append((operation, list(detail), list(twists)))
        what = self.script.pop(operation, None)
        if what == "unreachable":
            raise error("it cannot be reached")
        if what == "answer lost":
            effect(None)
            raise error("the answer was lost")
        if what == "hang":
            self.on_their_way.append(effect)
            await asyncio.sleep(3600)
        assert what is None or what in twists
        return effect(what)


class World:
    """The topology of the contracts in memory, with one process's clients."""

    def __init__(self, **script: str) -> None:
        self.aws = MemoryAws(load_topology(), late_seconds=0.05, reorder_seconds=0.02)
        self.gate = ScriptedGate(**script)
        self.events = self.aws.events(self.gate)
        self.sqs = self.aws.sqs(self.gate)
        self.dynamodb = self.aws.dynamodb(self.gate)
        self.catalog = self.aws.queue(CATALOG)

    async def publish(self, *numbers: int) -> Any:
        return await self.events.put_events(
            Entries=[
                {
                    "EventBusName": BUS,
                    "Source": "bookstore.order",
                    "DetailType": "ReserveStock",
                    "Detail": orjson.dumps({"n": number}).decode(),
                }
                for number in numbers
            ]
        )

    async def url(self, name: str = CATALOG) -> str:
        return str((await self.sqs.get_queue_url(QueueName=name))["QueueUrl"])

    async def receive(self, wait: float = 0, visibility: float = 30) -> list[Any]:
        answer = await self.sqs.receive_message(
            QueueUrl=await self.url(),
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait,
            VisibilityTimeout=visibility,
        )
        return list(answer.get("Messages", []))

    async def delete(self, messages: list[Any]) -> Any:
        return await self.sqs.delete_message_batch(
            QueueUrl=await self.url(),
            Entries=[
                {"Id": str(index), "ReceiptHandle": message["ReceiptHandle"]}
                for index, message in enumerate(messages)
            ],
        )

    def delivered(self) -> list[int]:
        return [orjson.loads(body)["detail"]["n"] for body in self.catalog.bodies]


def handles() -> int:
    """How many timers the running loop still has to serve."""
    loop: Any = asyncio.get_running_loop()
    return sum(not handle.cancelled() for handle in loop._scheduled)


# The twists of the bus.


async def test_partial_refuses_the_first_entry_and_takes_the_rest() -> None:
    world = World(put_events="partial")
    answer = await world.publish(1, 2, 3)
    assert answer["FailedEntryCount"] == 1
    assert [entry.get("ErrorCode") for entry in answer["Entries"]] == [
        "InternalFailure",
        None,
        None,
    ]
    assert world.delivered() == [2, 3]
    assert [detail["n"] for _, detail in world.aws.published] == [2, 3]


async def test_duplicate_delivers_each_entry_twice() -> None:
    world = World(put_events="duplicate")
    await world.publish(1, 2)
    assert world.delivered() == [1, 1, 2, 2]
    assert len({message.id for message in world.catalog.messages}) == 4
    assert len(world.aws.published) == 2


async def test_lose_takes_entries_and_delivers_none() -> None:
    world = World(put_events="lose")
    answer = await world.publish(1)
    assert answer["Entries"][0]["EventId"]
    assert (world.delivered(), len(world.aws.published)) == ([], 1)
    assert world.aws.is_idle()


@pytest.mark.parametrize("twist", ["late", "reorder"])
async def test_what_is_held_back_is_overtaken(twist: str) -> None:
    world = World(put_events=twist)
    await world.publish(1, 2)
    assert not world.aws.is_idle()
    await world.publish(3)
    assert world.delivered() == [3]
    await asyncio.sleep(0.07)
    assert world.delivered() == [3, 1, 2]
    assert [detail["n"] for _, detail in world.aws.published] == [1, 2, 3]


async def test_a_detail_that_is_no_object_is_refused_alone() -> None:
    world = World()
    entry = {"EventBusName": BUS, "Source": "bookstore.order", "DetailType": "ReserveStock"}
    answer = await world.events.put_events(
        Entries=[{**entry, "Detail": text} for text in ("{", "[]", '{"n": 1}')]
    )
    codes = [each.get("ErrorCode") for each in answer["Entries"]]
    assert codes == ["MalformedDetail", "MalformedDetail", None]
    assert world.delivered() == [1]


async def test_a_request_above_the_limit_is_refused_as_a_whole() -> None:
    world = World()
    entry = {"EventBusName": BUS, "Source": "bookstore.order", "DetailType": "ReserveStock"}
    with pytest.raises(ClientError, match="over the limit"):
        await world.events.put_events(
            Entries=[{**entry, "Detail": f'{{"n": "{"x" * 131_100}"}}'}] * 2
        )
    assert world.aws.published == []


# The twists of the queues.


async def test_duplicate_leaves_a_message_to_others_and_the_last_receipt_counts() -> None:
    world = World(receive_message="duplicate")
    await world.publish(1)
    (first,) = await world.receive()
    (second,) = await world.receive()
    assert first["MessageId"] == second["MessageId"]
    answer = await world.delete([first])
    assert answer == {"Successful": [{"Id": "0"}]}
    assert world.delivered() == [1]
    await world.delete([second])
    assert world.aws.is_idle()


async def test_a_waiting_poll_gets_the_duplicate() -> None:
    world = World(receive_message="duplicate")
    polls = [asyncio.create_task(world.receive(wait=1)) for _ in range(2)]
    await asyncio.sleep(0)
    await world.publish(1)
    (first,), (second,) = await asyncio.wait_for(asyncio.gather(*polls), 0.5)
    assert first["MessageId"] == second["MessageId"]


async def test_partial_keeps_the_first_message_of_a_delete() -> None:
    world = World(delete_message_batch="partial")
    await world.publish(1, 2)
    answer = await world.delete(await world.receive())
    assert [each["Id"] for each in answer["Failed"]] == ["0"]
    assert answer["Successful"] == [{"Id": "1"}]
    assert world.delivered() == [1]


async def test_lose_answers_a_delete_and_deletes_nothing() -> None:
    world = World(delete_message_batch="lose")
    await world.publish(1, 2)
    answer = await world.delete(await world.receive())
    assert answer == {"Successful": [{"Id": "0"}, {"Id": "1"}]}
    assert world.delivered() == [1, 2]


async def test_a_superseded_receipt_changes_nothing() -> None:
    world = World()
    await world.publish(1)
    (old,) = await world.receive(visibility=0.02)
    (new,) = await world.receive(wait=1)
    url = await world.url()
    await world.sqs.delete_message(QueueUrl=url, ReceiptHandle=old["ReceiptHandle"])
    await world.sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=old["ReceiptHandle"], VisibilityTimeout=0
    )
    assert await world.receive() == []
    await world.sqs.delete_message(QueueUrl=url, ReceiptHandle=new["ReceiptHandle"])
    assert world.aws.is_idle()
    for _ in range(2):
        await world.sqs.delete_message(QueueUrl=url, ReceiptHandle=new["ReceiptHandle"])


async def test_what_is_not_in_flight_cannot_be_hidden_for_longer() -> None:
    world = World()
    await world.publish(1)
    (message,) = await world.receive(visibility=0)
    with pytest.raises(ClientError, match="MessageNotInflight"):
        await world.sqs.change_message_visibility(
            QueueUrl=await world.url(),
            ReceiptHandle=message["ReceiptHandle"],
            VisibilityTimeout=30,
        )


async def test_a_receipt_of_another_queue_is_invalid() -> None:
    world = World()
    await world.publish(1)
    (message,) = await world.receive()
    answer = await world.sqs.delete_message_batch(
        QueueUrl=await world.url(CATALOG_LETTERS),
        Entries=[{"Id": "0", "ReceiptHandle": message["ReceiptHandle"]}],
    )
    assert answer["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"


# The twists of the tables.


def insert(key: str) -> dict[str, Any]:
    return {
        "Statement": f"INSERT INTO \"{LEDGER}\" VALUE {{'pk': ?}}",
        "Parameters": [{"S": key}],
    }


async def test_partial_throttles_the_first_statement() -> None:
    world = World(batch_execute_statement="partial")
    answer = await world.dynamodb.batch_execute_statement(Statements=[insert("a"), insert("b")])
    errors = [each.get("Error", {}).get("Code") for each in answer["Responses"]]
    assert errors == ["ThrottlingError", None]
    assert list(world.aws.table(LEDGER).items) == ["b"]


async def test_partial_leaves_the_first_item_unwritten() -> None:
    world = World(batch_write_item="partial")
    requests = [{"PutRequest": {"Item": {"pk": {"S": key}}}} for key in "ab"]
    answer = await world.dynamodb.batch_write_item(RequestItems={LEDGER: requests})
    assert answer["UnprocessedItems"] == {LEDGER: requests[:1]}
    assert list(world.aws.table(LEDGER).items) == ["b"]


async def test_the_ledger_writes_again_what_was_left_unwritten() -> None:
    world = World(batch_write_item="partial")
    ledger = Ledger(world.dynamodb, table=LEDGER, scope="s")
    ledger.finish("key")
    await ledger.drain()
    assert (await ledger.claim("key")).state is ClaimState.DONE


async def test_repeat_makes_an_insert_look_like_somebody_elses() -> None:
    world = World(batch_execute_statement="repeat")
    answer = await world.dynamodb.batch_execute_statement(Statements=[insert("a")])
    assert answer["Responses"][0]["Error"]["Code"] == "DuplicateItem"
    assert list(world.aws.table(LEDGER).items) == ["a"]


async def test_whoever_claims_recognises_an_own_insert_that_was_repeated() -> None:
    world = World(batch_execute_statement="repeat")
    ledger = Ledger(world.dynamodb, table=LEDGER, scope="s")
    assert (await ledger.claim("key")).state is ClaimState.ACQUIRED
    world.gate.script["batch_execute_statement"] = "repeat"
    keys = HttpIdempotency(world.dynamodb, table="bookstore-http-idempotency", scope="s")
    assert isinstance(await keys.begin("key", "request"), Claimed)


# The gate.


MAILS = "bookstore-mails"


def put(sk: str) -> dict[str, Any]:
    return {"Put": {"TableName": MAILS, "Item": {"pk": {"S": "p"}, "sk": {"S": sk}}}}


async def test_a_refused_transaction_names_a_conflict_and_changes_nothing() -> None:
    world = World(transact_write_items="refuse")
    with pytest.raises(ClientError) as refused:
        await world.dynamodb.transact_write_items(TransactItems=[put("a"), put("b")])
    reasons = [each["Code"] for each in refused.value.response["CancellationReasons"]]
    assert reasons == ["TransactionConflict", "None"]
    assert world.aws.table(MAILS).items == {}


async def test_partial_leaves_the_first_key_unread() -> None:
    world = World(batch_get_item="partial")
    await world.dynamodb.transact_write_items(TransactItems=[put("a"), put("b")])
    keys = [{"pk": {"S": "p"}, "sk": {"S": sk}} for sk in "ab"]
    answer = await world.dynamodb.batch_get_item(
        RequestItems={MAILS: {"Keys": keys, "ConsistentRead": True}}
    )
    assert answer["Responses"] == {MAILS: [keys[1]]}
    assert answer["UnprocessedKeys"][MAILS]["Keys"] == [keys[0]]


@pytest.mark.parametrize(
    ("happens", "error", "arrived"),
    [
        (None, None, 1),
        ("refuse", "Throttling", 0),
        ("fail_before", "InternalFailure", 0),
        ("fail_after", "InternalFailure", 1),
        ("unreachable", "Could not connect", 0),
        ("answer lost", "Read timeout", 1),
    ],
)
async def test_a_mail_arrives_or_does_not_whatever_its_sender_hears(
    happens: str | None, error: str | None, arrived: int
) -> None:
    world = World(**({"send_raw_email": happens} if happens is not None else {}))
    sending = world.aws.ses(world.gate).send_raw_email(
        Source="a@example.com",
        Destinations=["b@example.com"],
        RawMessage={"Data": b"Subject: Hello\r\n\r\nSubject: none"},
    )
    if error is None:
        assert (await sending)["MessageId"]
    else:
        with pytest.raises((ClientError, BotoCoreError), match=error):
            await sending
    assert [each.to for each in world.aws.mails] == [("b@example.com",)] * arrived
    assert world.gate.calls[0][:2] == ("send_raw_email", ["Hello"])


async def test_what_a_poll_was_sent_and_does_not_take_is_hidden_no_longer_than_that() -> None:
    world = World(receive_message="hang")
    await world.publish(1)
    frozen = asyncio.create_task(world.receive(visibility=0.02))
    await asyncio.sleep(0.01)
    assert await world.receive() == []
    await asyncio.sleep(0.02)
    assert len(await world.receive()) == 1
    frozen.cancel()


async def test_each_call_tells_the_gate_what_it_is_about() -> None:
    world = World()
    await world.publish(1)
    messages = await world.receive()
    await world.delete(messages)
    await world.dynamodb.batch_execute_statement(Statements=[insert("a"), insert("b")])
    ledger = Ledger(world.dynamodb, table=LEDGER, scope="s")
    await ledger.claim("key")
    await ledger.release("key")
    calls = [call for call in world.gate.calls if call[0] != "get_queue_url"]
    assert calls == [
        (
            "put_events",
            ["ReserveStock"],
            ["partial", "duplicate", "late", "reorder", "lose"],
        ),
        ("receive_message", ["ReserveStock"], ["duplicate"]),
        ("delete_message_batch", ["ReserveStock"], ["partial", "lose"]),
        ("batch_execute_statement", ["a", "b"], ["partial", "repeat"]),
        ("batch_execute_statement", ["s#key"], ["partial", "repeat"]),
        ("delete_item", ["s#key"], ["repeat"]),
    ]


async def test_an_empty_receive_passes_no_gate() -> None:
    world = World()
    assert await world.receive(wait=0.02) == []
    assert [call[0] for call in world.gate.calls] == ["get_queue_url"]


@pytest.mark.parametrize(("script", "delivered"), [("unreachable", []), ("answer lost", [1])])
async def test_a_lost_call_is_an_error_of_botocore(script: str, delivered: list[int]) -> None:
    world = World(put_events=script)
    with pytest.raises(BotoCoreError, match="memory"):
        await world.publish(1)
    assert world.delivered() == delivered


async def test_messages_of_a_lost_answer_come_back_when_their_visibility_ends() -> None:
    world = World(receive_message="answer lost")
    await world.publish(1)
    with pytest.raises(BotoCoreError):
        await world.receive(visibility=0.02)
    assert await world.receive() == []
    assert len(await world.receive(wait=1)) == 1


async def test_messages_of_a_request_that_did_not_arrive_go_to_the_next_poll() -> None:
    world = World(receive_message="unreachable")
    polls = [asyncio.create_task(world.receive(wait=1)) for _ in range(2)]
    await asyncio.sleep(0)
    await world.publish(1)
    lost, found = await asyncio.gather(*polls, return_exceptions=True)
    assert isinstance(lost, BotoCoreError)
    assert isinstance(found, list)
    assert len(found) == 1
    assert world.catalog.messages[0].receives == 1


# Killed processes.


async def test_a_killed_poll_leaves_nothing_behind() -> None:
    world = World()
    before = handles()
    await world.publish(1)
    await world.receive(visibility=30)
    poll = asyncio.create_task(world.receive(wait=20))
    await asyncio.sleep(0)
    assert handles() == before + 2
    poll.cancel()
    with pytest.raises(asyncio.CancelledError):
        await poll
    assert handles() == before
    await world.publish(2)
    assert len(await world.receive()) == 1


async def test_a_poll_that_is_killed_right_after_it_was_woken_wakes_the_next() -> None:
    world = World()
    killed, other = [asyncio.create_task(world.receive(wait=1)) for _ in range(2)]
    await asyncio.sleep(0)
    await world.publish(1)
    killed.cancel()
    assert len(await asyncio.wait_for(other, 0.5)) == 1


async def test_messages_promised_to_a_killed_poll_go_to_the_next() -> None:
    world = World(receive_message="hang")
    killed, other = [asyncio.create_task(world.receive(wait=1)) for _ in range(2)]
    await asyncio.sleep(0)
    await world.publish(1)
    await asyncio.sleep(0.01)
    assert not other.done()
    killed.cancel()
    assert len(await asyncio.wait_for(other, 0.5)) == 1
    assert world.catalog.messages[0].receives == 1


async def test_a_killed_processs_request_can_still_arrive() -> None:
    world = World(receive_message="hang")
    killed = asyncio.create_task(world.receive())
    await world.publish(1)
    await asyncio.sleep(0.01)
    killed.cancel()
    await asyncio.wait([killed])
    (request,) = world.gate.on_their_way
    request(None)
    assert await world.receive() == []
    assert world.catalog.messages[0].receives == 1
    # Here it comes too late: the message is somebody else's.
    request(None)
    assert world.catalog.messages[0].receives == 1


async def test_many_polls_share_many_messages() -> None:
    world = World()
    polls = [asyncio.create_task(world.receive(wait=1)) for _ in range(3)]
    await asyncio.sleep(0)
    for start in range(0, 30, 10):
        await world.publish(*range(start, start + 10))
    lots = await asyncio.gather(*polls)
    assert sum(map(len, lots)) == 30


# The whole.


async def test_a_message_is_visible_hidden_or_delayed() -> None:
    world = World()
    await world.publish(1, 2)
    url = await world.url()
    await world.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1)
    await world.sqs.send_message(QueueUrl=url, MessageBody="{}", DelaySeconds=60)
    now = asyncio.get_running_loop().time()
    states = [message.state(now) for message in world.catalog.messages]
    assert states == ["hidden", "visible", "delayed"]
    assert not world.aws.is_idle()


async def test_dead_letters_do_not_count_as_work() -> None:
    world = World()
    world.aws.put(CATALOG_LETTERS, '{"detail-type": "ReserveStock"}')
    assert world.aws.is_idle()
    assert world.aws.queue(CATALOG_LETTERS).messages[0].type == "ReserveStock"
    world.aws.put(CATALOG, "no JSON")
    assert not world.aws.is_idle()
    assert world.catalog.messages[0].type == "unknown"


async def test_after_a_restart_nothing_is_left_but_the_topology() -> None:
    world = World(put_events="late")
    bus = await world.events.describe_event_bus(Name=BUS)
    tags = [{"Key": "outbox-of-order", "Value": "now"}]
    await world.events.tag_resource(ResourceARN=bus["Arn"], Tags=tags)
    await world.publish(1)
    await world.publish(2)
    (message,) = await world.receive()
    await world.dynamodb.batch_execute_statement(Statements=[insert("a")])
    poll = asyncio.create_task(world.receive(wait=1))
    await asyncio.sleep(0)
    world.aws.forget()
    assert world.aws.is_idle()
    assert world.aws.table(LEDGER).items == {}
    answer = await world.events.list_tags_for_resource(ResourceARN=bus["Arn"])
    assert [tag["Key"] for tag in answer["Tags"]] == [APPLIED_TAG]
    again = await world.events.describe_event_bus(Name=BUS)
    assert again["CreationTime"] > bus["CreationTime"]
    await world.publish(3)
    await world.delete([message])
    assert len(await asyncio.wait_for(poll, 0.5)) == 1
    await asyncio.sleep(0.06)
    assert world.delivered() == [3]


async def test_what_is_not_supported_says_so_and_is_noted() -> None:
    world = World()
    item = {"pk": {"S": "a"}}
    unsupported: list[Callable[[], Any]] = [
        lambda: world.sqs.send_message_batch(QueueUrl="", Entries=[]),
        lambda: world.sqs.send_message(QueueUrl="", MessageBody="", MessageGroupId="g"),
        lambda: world.events.put_events(Entries=[{"Source": "x"}]),
        lambda: world.dynamodb.get_item(TableName=LEDGER, Key=item),
        lambda: world.dynamodb.put_item(TableName=LEDGER, Item=item, ReturnValues="ALL_OLD"),
        lambda: world.dynamodb.put_item(
            TableName=LEDGER, Item=item, ConditionExpression="begins_with(pk, :x)"
        ),
        lambda: world.dynamodb.update_item(
            TableName=LEDGER, Key=item, UpdateExpression="SET n = n + :one"
        ),
        lambda: world.dynamodb.batch_execute_statement(
            Statements=[{"Statement": f'DELETE FROM "{LEDGER}"', "Parameters": []}]
        ),
        lambda: world.dynamodb.batch_execute_statement(Statements=[insert("a"), insert("a")]),
        lambda: world.dynamodb.query(
            TableName=MAILS,
            KeyConditionExpression="pk = :p AND sk BETWEEN :a AND :b",
            ExpressionAttributeValues={},
            ConsistentRead=True,
        ),
        lambda: world.dynamodb.transact_write_items(TransactItems=[{"Get": {}}]),
        lambda: world.dynamodb.put_item(
            TableName=MAILS, Item={"pk": {"S": "a"}, "sk": {"S": "b\nc"}}
        ),
        lambda: world.dynamodb.batch_write_item(
            RequestItems={LEDGER: [{"DeleteRequest": {"Key": item}}]}
        ),
    ]
    for call in unsupported:
        with pytest.raises(NotImplementedError):
            await call()
    assert len(world.aws.unsupported) == len(unsupported)
    assert world.aws.table(LEDGER).items == {}


async def test_the_same_calls_give_the_same_answers() -> None:
    async def run() -> list[Any]:
        world = World(put_events="duplicate")
        answers = [await world.publish(1, 2), *await world.receive()]
        return [*answers, await world.delete(answers[1:]), world.delivered()]

    first, second = [await run() for _ in range(2)]
    for answer in (*first, *second):
        if isinstance(answer, dict) and "Body" in answer:
            del answer["Body"]  # It tells the time.
    assert first == second

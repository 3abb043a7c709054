"""One contract for the AWS in memory and for the emulator: what services rely on holds on both.

Guarantee: every test here runs on both, on a topology of its own, with the same assertions.
"""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError

from contracts.topology import Topology, parse_topology
from faults.gate import OpenGate
from faults.memory.aws import MemoryAws
from idempotency import (
    Claimed,
    ClaimState,
    HttpIdempotency,
    Inbox,
    InProgress,
    KeyReused,
    Ledger,
    Replay,
    StoredResponse,
)
from messaging import Consumer, Envelope, RetryLater, dead_letters
from messaging.republish import APPLIED_TAG
from messaging.topology import apply

ACQUIRED, DONE, BUSY = ClaimState.ACQUIRED, ClaimState.DONE, ClaimState.BUSY
MAX_RECEIVES = 2
ANSWER = StoredResponse(201, "{“ä”}".encode() + b"\x00\xff", {"location": "/orders/1"})


@dataclass
class Cloud:
    """Clients of either kind, and the topology that is applied there."""

    events: Any
    sqs: Any
    dynamodb: Any
    topology: Topology

    @property
    def ledger(self) -> str:
        return self.topology.tables[0].name

    @property
    def http_keys(self) -> str:
        return self.topology.tables[1].name

    @property
    def mails(self) -> str:
        """The table with a sort key."""
        return self.topology.tables[2].name

    async def url(self, service: str) -> str:
        name = self.topology.services[service].queue.name
        return str((await self.sqs.get_queue_url(QueueName=name))["QueueUrl"])

    async def dead_letter_url(self, service: str) -> str:
        name = self.topology.services[service].dead_letters.name
        return str((await self.sqs.get_queue_url(QueueName=name))["QueueUrl"])

    async def publish(self, *entries: tuple[str, str, str]) -> Any:
        """Entries of (source, type, detail)."""
        return await self.events.put_events(
            Entries=[
                {
                    "EventBusName": self.topology.bus,
                    "Source": source,
                    "DetailType": kind,
                    "Detail": detail,
                }
                for source, kind, detail in entries
            ]
        )

    async def send(self, url: str, *bodies: str, **arguments: Any) -> None:
        for body in bodies:
            await self.sqs.send_message(QueueUrl=url, MessageBody=body, **arguments)

    async def receive(
        self, url: str, *, wait: int = 0, visibility: int = 30, limit: int = 10
    ) -> list[Any]:
        answer = await self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=limit,
            WaitTimeSeconds=wait,
            VisibilityTimeout=visibility,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
            MessageAttributeNames=["All"],
        )
        return list(answer.get("Messages", []))

    async def item(self, table: str, key: str) -> Any:
        answer = await self.dynamodb.get_item(
            TableName=table, Key={"pk": {"S": key}}, ConsistentRead=True
        )
        return answer.get("Item")


def small_topology() -> Topology:
    """Shop sends to depot and bank, both send to shop; all names are new."""
    bus = f"t{uuid.uuid4().hex[:12]}"
    return parse_topology(
        {
            "bus": bus,
            "archive": {"name": f"{bus}-archive", "retention_days": 1},
            "tables": [
                {"name": f"{bus}-{purpose}", "key": "pk", "ttl_attribute": "expires_at"}
                for purpose in ("ledger", "http")
            ]
            + [
                {
                    "name": f"{bus}-mails",
                    "key": "pk",
                    "sort_key": "sk",
                    "ttl_attribute": "expires_at",
                }
            ],
            "services": {
                "shop": service(bus, "shop", {"depot": ["Reserved"], "bank": ["Paid"]}),
                "depot": service(bus, "depot", {"shop": ["Reserve", "Placed"]}),
                "bank": service(bus, "bank", {"shop": ["Pay", "Placed"]}),
            },
        }
    )


def service(bus: str, name: str, receives: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "source": name,
        "queue": {
            "name": f"{bus}-{name}",
            "visibility_seconds": 30,
            "retention_seconds": 3600,
            "long_poll_seconds": 0,
            "max_receive_count": MAX_RECEIVES,
        },
        "dead_letters": {"name": f"{bus}-{name}-dlq", "retention_seconds": 3600},
        "undelivered": {"name": f"{bus}-{name}-undelivered", "retention_seconds": 3600},
        "rules": [
            {
                "name": f"{bus}-{name}-from-{sender}",
                "description": "",
                "pattern": {"source": [sender], "detail-type": types},
                "retry": {"maximum_attempts": 1, "maximum_age_seconds": 60},
            }
            for sender, types in receives.items()
        ],
        "receives": [kind for types in receives.values() for kind in types],
        "sends": [],
    }


@pytest.fixture
async def memory() -> AsyncIterator[Cloud]:
    topology = small_topology()
    gate, aws = OpenGate(), MemoryAws(topology)
    yield Cloud(aws.events(gate), aws.sqs(gate), aws.dynamodb(gate), topology)
    assert aws.unsupported == []


@pytest.fixture
async def emulator(aws: Any) -> Cloud:
    """With the emulator's own clients, whose answers are botocore's."""
    topology = small_topology()
    session = AioSession()
    session.set_credentials("test", "test")
    where = {"endpoint_url": aws.endpoint_url, "region": "us-east-1"}
    await apply(topology, session, **where)
    return Cloud(aws.events, aws.sqs, aws.dynamodb, topology)


@pytest.fixture(params=["memory", "emulator"])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    found: Cloud = request.getfixturevalue(request.param)
    return found


# The bus.


async def test_an_event_reaches_the_queues_whose_rules_name_its_source_and_type(
    cloud: Cloud,
) -> None:
    answer = await cloud.publish(
        ("shop", "Reserve", '{"n": 1}'),
        ("shop", "Placed", '{"n": 2}'),
        ("bank", "Paid", '{"n": 3}'),
        ("depot", "Paid", '{"n": 4}'),
        ("shop", "Unheard", '{"n": 5}'),
    )
    assert answer["FailedEntryCount"] == 0
    assert len({entry["EventId"] for entry in answer["Entries"]}) == 5
    found = {}
    for name in cloud.topology.services:
        messages = await cloud.receive(await cloud.url(name))
        found[name] = sorted(orjson.loads(each["Body"])["detail"]["n"] for each in messages)
    assert found == {"shop": [3], "depot": [1, 2], "bank": [2]}


async def test_an_event_has_the_envelope_of_eventbridge(cloud: Cloud) -> None:
    detail = {"text": '“ä” "quoted" \\ back', "list": [1, 2.5, None], "empty": {}}
    answer = await cloud.publish(("shop", "Pay", orjson.dumps(detail).decode()))
    (message,) = await cloud.receive(await cloud.url("bank"))
    event = orjson.loads(message["Body"])
    stamp = datetime.strptime(event.pop("time"), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert stamp.year >= 1970
    assert event == {
        "version": "0",
        "id": answer["Entries"][0]["EventId"],
        "detail-type": "Pay",
        "source": "shop",
        "account": "000000000000",
        "region": "us-east-1",
        "resources": [],
        "detail": detail,
    }


async def test_more_than_ten_entries_are_refused(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="ValidationException") as refused:
        await cloud.publish(*[("shop", "Pay", "{}")] * 11)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


async def test_a_bus_keeps_its_tags_and_tells_its_age(cloud: Cloud) -> None:
    bus = await cloud.events.describe_event_bus(Name=cloud.topology.bus)
    assert bus["CreationTime"] <= datetime.now(UTC)
    tags = [{"Key": "outbox-of-shop", "Value": "now"}]
    await cloud.events.tag_resource(ResourceARN=bus["Arn"], Tags=tags)
    answer = await cloud.events.list_tags_for_resource(ResourceARN=bus["Arn"])
    assert {tag["Key"]: tag["Value"] for tag in answer["Tags"]} == {
        APPLIED_TAG: "true",
        "outbox-of-shop": "now",
    }


# The queues.


async def test_a_received_message_is_hidden_and_comes_back_with_a_higher_count(
    cloud: Cloud,
) -> None:
    url = await cloud.url("shop")
    await cloud.send(url, "once")
    (first,) = await cloud.receive(url, visibility=1)
    assert await cloud.receive(url) == []
    (second,) = await cloud.receive(url, wait=3)
    counts = [each["Attributes"]["ApproximateReceiveCount"] for each in (first, second)]
    assert counts == ["1", "2"]
    assert first["MessageId"] == second["MessageId"]
    assert first["ReceiptHandle"] != second["ReceiptHandle"]
    assert second["Body"] == "once"


async def test_a_message_received_too_often_moves_to_the_dead_letters(cloud: Cloud) -> None:
    url = await cloud.url("shop")
    await cloud.send(url, "poison")
    for _ in range(MAX_RECEIVES):
        (message,) = await cloud.receive(url, visibility=0)
    assert await cloud.receive(url) == []
    (letter,) = await cloud.receive(await cloud.dead_letter_url("shop"))
    assert (letter["Body"], letter["MessageId"]) == ("poison", message["MessageId"])
    # SQS counts over all queues.
    assert letter["Attributes"]["ApproximateReceiveCount"] == str(MAX_RECEIVES + 1)


async def test_visibility_of_zero_shows_a_message_at_once(cloud: Cloud) -> None:
    url = await cloud.url("shop")
    await cloud.send(url, "one", "two")
    one, two = await cloud.receive(url)
    await cloud.sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=one["ReceiptHandle"], VisibilityTimeout=0
    )
    assert [each["Body"] for each in await cloud.receive(url)] == ["one"]
    answer = await cloud.sqs.change_message_visibility_batch(
        QueueUrl=url,
        Entries=[{"Id": "a", "ReceiptHandle": two["ReceiptHandle"], "VisibilityTimeout": 0}],
    )
    assert answer["Successful"] == [{"Id": "a"}]
    assert [each["Body"] for each in await cloud.receive(url)] == ["two"]


async def test_a_message_can_be_hidden_for_longer(cloud: Cloud) -> None:
    url = await cloud.url("shop")
    await cloud.send(url, "slow")
    (message,) = await cloud.receive(url, visibility=1)
    await cloud.sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=30
    )
    assert await cloud.receive(url, wait=2) == []


async def test_a_poll_ends_when_a_message_comes(cloud: Cloud) -> None:
    url = await cloud.url("shop")
    poll = asyncio.create_task(cloud.receive(url, wait=5))
    await asyncio.sleep(0.1)
    await cloud.send(url, "awaited")
    (message,) = await asyncio.wait_for(poll, 2)
    assert message["Body"] == "awaited"


async def test_a_delayed_message_comes_later(cloud: Cloud) -> None:
    url = await cloud.url("shop")
    sent_at = time.monotonic()
    await cloud.send(url, "later", DelaySeconds=1)
    assert await cloud.receive(url) == []
    (message,) = await cloud.receive(url, wait=3)
    assert message["Body"] == "later"
    assert time.monotonic() - sent_at >= 0.9


async def test_a_deleted_message_is_gone(cloud: Cloud) -> None:
    url = await cloud.url("shop")
    await cloud.send(url, "one", "two", "three")
    messages = await cloud.receive(url, visibility=1)
    await cloud.sqs.delete_message(QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])
    answer = await cloud.sqs.delete_message_batch(
        QueueUrl=url, Entries=[{"Id": "x", "ReceiptHandle": messages[1]["ReceiptHandle"]}]
    )
    assert answer["Successful"] == [{"Id": "x"}]
    assert not answer.get("Failed")
    assert [each["Body"] for each in await cloud.receive(url, wait=3)] == ["three"]


async def test_a_message_that_is_visible_again_can_still_be_deleted(cloud: Cloud) -> None:
    url = await cloud.url("shop")
    await cloud.send(url, "one")
    (message,) = await cloud.receive(url, visibility=0)
    await cloud.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert await cloud.receive(url) == []


async def test_no_receive_brings_more_than_was_asked_for(cloud: Cloud) -> None:
    url = await cloud.url("shop")
    await cloud.send(url, *(str(n) for n in range(5)))
    first = await cloud.receive(url, limit=3)
    rest = await cloud.receive(url)
    assert sorted(each["Body"] for each in [*first, *rest]) == ["0", "1", "2", "3", "4"]
    assert len(first) == 3


async def test_attributes_travel_with_a_message(cloud: Cloud) -> None:
    url = await cloud.dead_letter_url("shop")
    reason = {"reason_code": {"DataType": "String", "StringValue": "malformed"}}
    await cloud.send(url, "letter", MessageAttributes=reason)
    (letter,) = await cloud.receive(url)
    assert letter["MessageAttributes"] == reason


async def test_a_queue_counts_what_is_in_it_and_can_be_purged(cloud: Cloud) -> None:
    url = await cloud.url("shop")
    await cloud.send(url, "one", "two")
    await cloud.receive(url, limit=1)
    await cloud.send(url, "later", DelaySeconds=10)
    names = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    for counts in (["1", "1", "1"], ["0", "0", "0"]):
        answer = await cloud.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        assert [answer["Attributes"][name] for name in names] == counts
        await cloud.sqs.purge_queue(QueueUrl=url)


async def test_what_is_not_there_is_refused(cloud: Cloud) -> None:
    url = await cloud.url("shop")
    with pytest.raises(ClientError, match=r"NonExistentQueue|QueueDoesNotExist"):
        await cloud.sqs.get_queue_url(QueueName="no-such-queue")
    with pytest.raises(ClientError, match="ReceiptHandleIsInvalid"):
        await cloud.sqs.delete_message(QueueUrl=url, ReceiptHandle="no receipt")
    with pytest.raises(ClientError, match="EmptyBatchRequest"):
        await cloud.sqs.delete_message_batch(QueueUrl=url, Entries=[])
    with pytest.raises(ClientError, match="ResourceNotFound"):
        await cloud.item("no-such-table", "key")


# What is built on the queues.


def event(number: int, **envelope: str) -> str:
    detail = {
        "specversion": "1.0",
        "id": str(uuid.UUID(int=number)),
        "source": "shop",
        "type": "Reserve",
        "subject": str(number),
        "time": "2026-01-01T00:00:00+00:00",
        "dataschema": "urn:bookstore:depot:Reserve:1",
        "correlationid": str(number),
        "data": {},
        **envelope,
    }
    return orjson.dumps({"detail-type": "Reserve", "detail": detail}).decode()


async def test_a_consumer_sees_every_message_through_and_dead_letters_can_go_back(
    cloud: Cloud,
) -> None:
    url, dead_letter_url = await cloud.url("shop"), await cloud.dead_letter_url("shop")
    handled: list[str] = []
    all_handled = asyncio.Event()

    async def handle(message: Envelope) -> bool:
        handled.append(message.subject)
        if handled.count("2") == 1 and message.subject == "2":
            raise RetryLater("too early", seconds=0)
        if set(handled) == {"1", "2", "3"} and handled.count("2") == 2:
            all_handled.set()
        return True

    await cloud.send(url, *map(event, (1, 2, 3)), "no envelope", event(4, time="never"))
    consumer = Consumer(
        cloud.sqs, queue_url=url, dead_letter_url=dead_letter_url, handle=handle, wait_seconds=1
    )
    running = asyncio.create_task(consumer.run())
    await asyncio.wait_for(all_handled.wait(), 10)
    consumer.stop()
    await running
    assert sorted(handled) == ["1", "2", "2", "3"]
    assert await cloud.receive(url) == []
    assert await dead_letters.redrive(cloud.sqs, dead_letter_url, url) == 2
    assert len(await cloud.receive(url)) == 2
    assert await dead_letters.look(cloud.sqs, dead_letter_url) == []


# The tables.


def insert(table: str, key: str, owner: str) -> dict[str, Any]:
    return {
        "Statement": f"INSERT INTO \"{table}\" VALUE {{'pk': ?, 'owner': ?}}",
        "Parameters": [{"S": key}, {"S": owner}],
    }


async def test_of_inserts_of_one_key_the_first_wins(cloud: Cloud) -> None:
    table = cloud.ledger
    first = await cloud.dynamodb.batch_execute_statement(
        Statements=[insert(table, "a", "me"), insert(table, "b", "me")]
    )
    second = await cloud.dynamodb.batch_execute_statement(
        Statements=[insert(table, "b", "you"), insert(table, "c", "you")]
    )
    assert [each.get("Error") for each in first["Responses"]] == [None, None]
    assert second["Responses"][0]["Error"]["Code"] == "DuplicateItem"
    assert second["Responses"][1].get("Error") is None
    owners = [(await cloud.item(table, key))["owner"]["S"] for key in "abc"]
    assert owners == ["me", "me", "you"]


async def test_a_statement_that_meets_no_item_or_another_owner_changes_nothing(
    cloud: Cloud,
) -> None:
    table = cloud.ledger
    await cloud.dynamodb.batch_execute_statement(Statements=[insert(table, "a", "me")])
    statement = f'UPDATE "{table}" SET "state" = ? SET "n" = ? WHERE "pk" = ? AND "owner" = ?'
    answer = await cloud.dynamodb.batch_execute_statement(
        Statements=[
            {
                "Statement": statement,
                "Parameters": [{"S": "done"}, {"N": "1"}, {"S": key}, {"S": owner}],
            }
            for key, owner in (("a", "you"), ("b", "me"))
        ]
    )
    codes = [each["Error"]["Code"] for each in answer["Responses"]]
    assert codes == ["ConditionalCheckFailed"] * 2
    assert await cloud.item(table, "b") is None
    answer = await cloud.dynamodb.batch_execute_statement(
        Statements=[
            {
                "Statement": statement,
                "Parameters": [{"S": "done"}, {"N": "1"}, {"S": "a"}, {"S": "me"}],
            }
        ]
    )
    assert answer["Responses"][0].get("Error") is None
    assert await cloud.item(table, "a") == {
        "pk": {"S": "a"},
        "owner": {"S": "me"},
        "state": {"S": "done"},
        "n": {"N": "1"},
    }


async def test_a_statement_about_a_missing_table_says_so(cloud: Cloud) -> None:
    answer = await cloud.dynamodb.batch_execute_statement(
        Statements=[insert("no-such-table", "a", "me"), insert("no-such-table", "b", "me")]
    )
    codes = [each["Error"]["Code"] for each in answer["Responses"]]
    assert codes == ["ResourceNotFound"] * 2


# Asked about an item of pk, owner 'me' and n = 9; '#o' stands for 'owner'.
CONDITIONS = [
    ("attribute_not_exists(pk)", False),
    ("attribute_exists(pk)", True),
    ("#o = :me", True),
    ("#o = :me AND n < :ten", True),
    ("#o = :me AND n < :nine", False),
    ("n = :nine", True),
    ("n < :ten", True),
    ("absent < :ten", False),
    ("NOT absent < :ten", True),
    ("attribute_not_exists(pk) OR #o = :me AND n < :nine", False),
    ("(attribute_not_exists(pk) OR #o = :me) AND n < :ten", True),
    ("attribute_not_exists(pk) OR (#o = :me AND (n < :nine OR n < :ten))", True),
    ("#o < :ten", False),
]
VALUES = {":me": {"S": "me"}, ":nine": {"N": "9.0"}, ":ten": {"N": "10"}}


async def test_a_write_happens_when_its_condition_holds(cloud: Cloud) -> None:
    for number, (condition, holds) in enumerate(CONDITIONS):
        key = f"key-{number}"
        old = {"pk": {"S": key}, "owner": {"S": "me"}, "n": {"N": "9"}}
        new = {**old, "state": {"S": "new"}}
        await cloud.dynamodb.put_item(TableName=cloud.ledger, Item=old)
        refused = await attempt(cloud, cloud.dynamodb.put_item, condition, Item=new)
        assert refused == (None if holds else old), condition
        assert await cloud.item(cloud.ledger, key) == (new if holds else old)
        delete = cloud.dynamodb.delete_item
        refused = await attempt(cloud, delete, condition, Key={"pk": {"S": key}})
        assert refused == (None if holds else old), condition
        assert await cloud.item(cloud.ledger, key) == (None if holds else old)


async def attempt(cloud: Cloud, write: Callable[..., Any], condition: str, **what: Any) -> Any:
    """The old item, which a refusal brings along; None where the condition held."""
    values = {name: value for name, value in VALUES.items() if name in condition}
    if values:
        what["ExpressionAttributeValues"] = values
    if "#o" in condition:
        what["ExpressionAttributeNames"] = {"#o": "owner"}
    try:
        await write(
            TableName=cloud.ledger,
            ConditionExpression=condition,
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **what,
        )
    except cloud.dynamodb.exceptions.ConditionalCheckFailedException as error:
        return error.response["Item"]
    return None


async def test_an_update_sets_attributes_and_makes_the_item_where_it_is_missing(
    cloud: Cloud,
) -> None:
    arguments = {
        "TableName": cloud.ledger,
        "Key": {"pk": {"S": "key"}},
        "UpdateExpression": "SET #o = :owner, n = :n",
        "ConditionExpression": "attribute_not_exists(pk) OR n < :n",
        "ExpressionAttributeNames": {"#o": "owner"},
    }
    await cloud.dynamodb.update_item(
        **arguments, ExpressionAttributeValues={":owner": {"S": "me"}, ":n": {"N": "9"}}
    )
    await cloud.dynamodb.update_item(
        **arguments, ExpressionAttributeValues={":owner": {"S": "you"}, ":n": {"N": "10"}}
    )
    with pytest.raises(cloud.dynamodb.exceptions.ConditionalCheckFailedException) as error:
        await cloud.dynamodb.update_item(
            **arguments, ExpressionAttributeValues={":owner": {"S": "she"}, ":n": {"N": "10"}}
        )
    assert "Item" not in error.value.response
    assert error.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    item = {"pk": {"S": "key"}, "owner": {"S": "you"}, "n": {"N": "10"}}
    assert await cloud.item(cloud.ledger, "key") == item


async def test_placeholders_without_use_or_value_are_refused(cloud: Cloud) -> None:
    item = {"pk": {"S": "key"}}
    with pytest.raises(ClientError, match="ValidationException"):
        await cloud.dynamodb.put_item(
            TableName=cloud.ledger,
            Item=item,
            ConditionExpression="attribute_not_exists(pk)",
            ExpressionAttributeValues={":unused": {"S": "x"}},
        )
    with pytest.raises(ClientError, match="ValidationException"):
        await cloud.dynamodb.put_item(
            TableName=cloud.ledger,
            Item=item,
            ConditionExpression="#o = :missing",
            ExpressionAttributeNames={"#o": "owner"},
        )
    assert await cloud.item(cloud.ledger, "key") is None


async def test_a_batch_replaces_items_and_may_name_each_key_once(cloud: Cloud) -> None:
    await cloud.dynamodb.put_item(
        TableName=cloud.ledger, Item={"pk": {"S": "a"}, "old": {"S": "x"}}
    )

    async def write(*keys: str) -> Any:
        requests = [{"PutRequest": {"Item": {"pk": {"S": key}}}} for key in keys]
        return await cloud.dynamodb.batch_write_item(RequestItems={cloud.ledger: requests})

    assert not (await write("a", "b")).get("UnprocessedItems")
    assert await cloud.item(cloud.ledger, "a") == {"pk": {"S": "a"}}
    assert await cloud.item(cloud.ledger, "b") == {"pk": {"S": "b"}}
    with pytest.raises(ClientError, match="ValidationException"):
        await write("c", "c")


# Tables with a sort key, and transactions.


def both(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


async def read(cloud: Cloud, *keys: tuple[str, str]) -> list[Any]:
    """The items of these keys, in their order; None where there is none."""
    answer = await cloud.dynamodb.batch_get_item(
        RequestItems={cloud.mails: {"Keys": [both(*key) for key in keys], "ConsistentRead": True}}
    )
    assert not answer.get("UnprocessedKeys")
    found = {(i["pk"]["S"], i["sk"]["S"]): i for i in answer["Responses"].get(cloud.mails, [])}
    return [found.get(key) for key in keys]


def writing(cloud: Cloud, kind: str, sk: str, **more: Any) -> dict[str, Any]:
    """One write of a transaction, on the partition 'p'."""
    what = {"Item": {**both("p", sk), "n": {"N": "1"}}} if kind == "Put" else {"Key": both("p", sk)}
    return {kind: {"TableName": cloud.mails, **what, **more}}


async def test_a_transaction_is_made_as_a_whole(cloud: Cloud) -> None:
    await cloud.dynamodb.transact_write_items(
        TransactItems=[writing(cloud, "Put", each) for each in ("kept", "changed", "gone")]
    )
    await cloud.dynamodb.transact_write_items(
        TransactItems=[
            writing(cloud, "Put", "new", ConditionExpression="attribute_not_exists(pk)"),
            writing(
                cloud,
                "Update",
                "changed",
                UpdateExpression="SET #s = :s REMOVE n, absent ADD m :two",
                ConditionExpression="n = :one",
                ExpressionAttributeNames={"#s": "state"},
                ExpressionAttributeValues={
                    ":s": {"S": "new"}, ":one": {"N": "1"}, ":two": {"N": "2"},
                },
            ),
            writing(cloud, "Delete", "gone"),
            writing(cloud, "ConditionCheck", "kept", ConditionExpression="attribute_exists(pk)"),
        ]
    )  # fmt: skip
    new, changed, gone, kept = await read(
        cloud, ("p", "new"), ("p", "changed"), ("p", "gone"), ("p", "kept")
    )
    assert new == kept | {"sk": {"S": "new"}}
    assert changed == {**both("p", "changed"), "state": {"S": "new"}, "m": {"N": "2"}}
    assert gone is None


async def test_a_transaction_of_which_a_condition_fails_changes_nothing(cloud: Cloud) -> None:
    await cloud.dynamodb.transact_write_items(TransactItems=[writing(cloud, "Put", "there")])
    with pytest.raises(cloud.dynamodb.exceptions.TransactionCanceledException) as refused:
        await cloud.dynamodb.transact_write_items(
            TransactItems=[
                writing(cloud, "Put", "new"),
                writing(cloud, "Delete", "there"),
                writing(cloud, "ConditionCheck", "no", ConditionExpression="attribute_exists(pk)"),
                writing(cloud, "Put", "other", ConditionExpression="attribute_not_exists(pk)"),
            ]
        )
    assert isinstance(refused.value, cloud.dynamodb.exceptions.ClientError)
    assert refused.value.response["Error"]["Code"] == "TransactionCanceledException"
    codes = [each.get("Code", "None") for each in refused.value.response["CancellationReasons"]]
    assert codes == ["None", "None", "ConditionalCheckFailed", "None"]
    found = await read(cloud, ("p", "new"), ("p", "there"), ("p", "other"))
    assert [each is not None for each in found] == [False, True, False]


async def test_a_transaction_that_names_an_item_twice_is_refused(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        await cloud.dynamodb.transact_write_items(
            TransactItems=[writing(cloud, "Put", "a"), writing(cloud, "Delete", "a")]
        )
    assert await read(cloud, ("p", "a")) == [None]


async def test_an_addition_counts_from_nothing_and_below_it(cloud: Cloud) -> None:
    for number in ("1", "2", "-5"):
        await cloud.dynamodb.update_item(
            TableName=cloud.mails,
            Key=both("p", "count"),
            UpdateExpression="ADD #n :n SET seen_at = :at",
            ExpressionAttributeNames={"#n": "a#b"},
            ExpressionAttributeValues={":n": {"N": number}, ":at": {"N": "7"}},
        )
    (item,) = await read(cloud, ("p", "count"))
    assert (item["a#b"], item["seen_at"]) == ({"N": "-2"}, {"N": "7"})


async def test_a_partition_is_read_in_the_order_of_its_sort_keys(cloud: Cloud) -> None:
    for pk, sk in (("p", "b#2"), ("p", "a"), ("p", "b#1"), ("p", "c"), ("other", "b#0")):
        await cloud.dynamodb.put_item(TableName=cloud.mails, Item=both(pk, sk))

    async def query(condition: str, *, limit: int | None = None, **values: str) -> list[str]:
        request: dict[str, Any] = {"Limit": limit} if limit is not None else {}
        found: list[str] = []
        while True:
            answer = await cloud.dynamodb.query(
                TableName=cloud.mails,
                KeyConditionExpression=condition,
                ExpressionAttributeValues={f":{k}": {"S": v} for k, v in values.items()},
                ConsistentRead=True,
                **request,
            )
            assert limit is None or len(answer["Items"]) <= limit
            found += [item["sk"]["S"] for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return found
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    assert await query("pk = :p", p="p") == ["a", "b#1", "b#2", "c"]
    assert await query("pk = :p", limit=1, p="p") == ["a", "b#1", "b#2", "c"]
    assert await query("pk = :p AND begins_with(sk, :b)", p="p", b="b#") == ["b#1", "b#2"]
    assert await query("pk = :p AND sk < :b", p="p", b="b#2") == ["a", "b#1"]
    assert await query("pk = :p", p="nobody") == []


async def test_the_inbox_counts_a_message_once_whoever_records_it(cloud: Cloud) -> None:
    inboxes = [Inbox(cloud.dynamodb, table=cloud.ledger, scope="s") for _ in range(2)]
    messages = [("1", "Placed"), ("2", "Placed"), ("1", "Placed"), ("3", "Paid")]
    fresh = await asyncio.gather(
        *(inbox.record(*message) for inbox in inboxes for message in messages)
    )
    assert sum(fresh) == 3
    assert await inboxes[0].census() == {"Placed": 2, "Paid": 1}
    assert not await inboxes[1].record("3", "Paid")


# What is built on the tables.


async def test_the_ledger_gives_a_key_to_one_owner_while_its_lease_lives(cloud: Cloud) -> None:
    dead, first, second = [
        Ledger(cloud.dynamodb, table=cloud.ledger, scope="s", lease_seconds=seconds)
        for seconds in (0.2, 30, 30)
    ]
    assert (await dead.claim("key")).state is ACQUIRED
    busy = await first.claim("key")
    assert busy.state is BUSY
    assert 0 < busy.retry_after_seconds <= 0.2
    await asyncio.sleep(0.25)
    claims = [await each.claim("key") for each in (first, second)]
    assert [claim.state for claim in claims] == [ACQUIRED, BUSY]
    await dead.release("key")
    assert (await second.claim("key")).state is BUSY
    await first.release("key")
    assert (await second.claim("key")).state is ACQUIRED
    async with second.kept("key"):
        assert await second._extend("key") is True
        assert await first._extend("key") is False


async def test_what_is_done_in_the_ledger_stays_done(cloud: Cloud) -> None:
    first, second = [
        Ledger(cloud.dynamodb, table=cloud.ledger, scope="s", lease_seconds=0.01) for _ in range(2)
    ]
    keys = [f"key-{n}" for n in range(30)]
    claims = await asyncio.gather(*map(first.claim, keys))
    assert {claim.state for claim in claims} == {ACQUIRED}
    for key in [*keys, *keys[:3]]:
        first.finish(key)
    await first.drain()
    await asyncio.sleep(0.02)
    await first.release(keys[0])
    claims = await asyncio.gather(*map(second.claim, keys))
    assert {claim.state for claim in claims} == {DONE}


async def test_an_idempotency_key_runs_one_request_and_replays_its_answer(cloud: Cloud) -> None:
    first, second = [
        HttpIdempotency(cloud.dynamodb, table=cloud.http_keys, scope="s") for _ in range(2)
    ]
    outcomes = await asyncio.gather(*(each.begin("key", "request") for each in (first, second)))
    assert Counter(map(type, outcomes)) == {Claimed: 1, InProgress: 1}
    claim = next(each for each in outcomes if isinstance(each, Claimed))
    assert await second.begin("key", "another") == KeyReused()
    await first.complete("key", "not the token", StoredResponse(500, b"stale", {}))
    assert await second.begin("key", "request") == InProgress()
    await first.complete("key", claim.token, ANSWER)
    assert await second.begin("key", "request") == Replay(ANSWER)
    assert await second.begin("key", "another") == KeyReused()
    await first.release("key", claim.token)
    assert await second.begin("key", "request") == Replay(ANSWER)


async def test_an_idempotency_key_whose_holder_died_or_gave_up_is_free_again(cloud: Cloud) -> None:
    dead, first, second = [
        HttpIdempotency(cloud.dynamodb, table=cloud.http_keys, scope="s", lease_seconds=seconds)
        for seconds in (0.05, 15, 15)
    ]
    assert isinstance(await dead.begin("key", "request"), Claimed)
    await asyncio.sleep(0.06)
    claim = await first.begin("key", "request")
    assert isinstance(claim, Claimed)
    assert await second.begin("key", "request") == InProgress()
    await first.release("key", claim.token)
    claim = await second.begin("key", "another")
    assert isinstance(claim, Claimed)
    second.finish("key", claim, ANSWER)
    await second.drain()
    assert await first.begin("key", "another") == Replay(ANSWER)

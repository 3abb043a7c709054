"""The embedded servers: up quickly, private, durable where they promise it, gone afterwards."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import redis.asyncio
from aiobotocore.session import get_session

from stack import (
    EmbeddedServers,
    EmulatorServer,
    PortAllocator,
    PostgresServer,
    StackError,
    Supervisor,
    ValkeyServer,
    find_python,
)

Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture(scope="module")
async def servers() -> AsyncIterator[EmbeddedServers]:
    async with EmbeddedServers(databases=["order", "catalog"]) as servers:
        yield servers
    assert not servers.data_dir.exists()


async def connect(server: PostgresServer, database: str) -> Any:
    return await asyncpg.connect(server.url(database, "postgresql"))


async def clients(stack: AsyncExitStack, url: str, *services: str) -> list[Any]:
    session = get_session()
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return [
        await stack.enter_async_context(
            session.create_client(name, endpoint_url=url, region_name="us-east-1", **keys)
        )
        for name in services
    ]


async def test_each_database_is_its_own_roles_and_closed_to_others(
    servers: EmbeddedServers,
) -> None:
    connection = await connect(servers.postgres, "order")
    await connection.execute("CREATE TABLE things (id int)")
    assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
    await connection.close()
    stranger = servers.postgres_url("order", "postgresql").rsplit("/", 1)[0] + "/catalog"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(stranger)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(stranger, password="guess")


async def test_valkey_answers(servers: EmbeddedServers) -> None:
    async with redis.asyncio.from_url(servers.redis_url) as client:
        assert await client.ping()


async def test_a_rule_delivers_an_event_to_its_queue(servers: EmbeddedServers) -> None:
    async with AsyncExitStack() as stack:
        events, sqs, ses = await clients(stack, servers.aws_endpoint_url, "events", "sqs", "ses")
        url, received = await deliver(events, sqs)
        assert json.loads(received)["detail"] == {"n": 1}
        assert url.startswith(servers.aws_endpoint_url)
        await ses.verify_email_identity(EmailAddress="shop@example.com")
        sent = await ses.send_email(
            Source="shop@example.com",
            Destination={"ToAddresses": ["reader@example.com"]},
            Message={"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "b"}}},
        )
        assert sent["MessageId"]


async def deliver(events: Any, sqs: Any) -> tuple[str, str]:
    """Publish one event through a bus and a rule; the queue's URL and the body received."""
    await events.create_event_bus(Name="shop")
    url = (await sqs.create_queue(QueueName="orders"))["QueueUrl"]
    attributes = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    pattern = json.dumps({"detail-type": ["Thing"]})
    await events.put_rule(Name="things", EventBusName="shop", EventPattern=pattern)
    target = {"Id": "orders", "Arn": attributes["Attributes"]["QueueArn"]}
    await events.put_targets(Rule="things", EventBusName="shop", Targets=[target])
    entry = {"Source": "s", "DetailType": "Thing", "Detail": '{"n": 1}', "EventBusName": "shop"}
    assert (await events.put_events(Entries=[entry]))["FailedEntryCount"] == 0
    got = await sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)
    return url, got["Messages"][0]["Body"]


async def mailbox(url: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False) as client:
        messages = (await client.get(f"{url}/_ministack/ses/messages")).json()["messages"]
    return [mail for account in messages.values() for mail in account]


async def test_data_survive_a_stop_and_a_killed_postgres(data_dir: Path, until: Until) -> None:
    ports = PortAllocator()
    postgres = PostgresServer(data_dir, ports.pick(), databases=["shop"])
    valkey = ValkeyServer(data_dir, ports.pick())
    emulator = EmulatorServer(data_dir, ports.pick(), find_python())
    stack = [server.process() for server in (postgres, valkey, emulator)]

    async with Supervisor(stack, data_dir) as supervisor, AsyncExitStack() as aws:
        connection = await connect(postgres, "shop")
        await connection.execute("CREATE TABLE things (id int)")
        await connection.execute("INSERT INTO things VALUES (1)")
        killed = supervisor.kill("postgres")
        await until(lambda: supervisor.pid("postgres") not in (killed, None))
        await supervisor.wait_ready("postgres")
        connection = await connect(postgres, "shop")
        assert await connection.fetchval("SELECT count(*) FROM things") == 1
        await connection.close()
        async with redis.asyncio.from_url(valkey.url) as client:
            await client.set("key", "value")
        events, sqs, dynamodb, ses = await clients(
            aws, emulator.url, "events", "sqs", "dynamodb", "ses"
        )
        await deliver(events, sqs)
        await ses.verify_domain_identity(Domain="shop.example")
        raw = b"From: a@shop.example\r\nTo: b@shop.example\r\nSubject: kept\r\n\r\n"
        await ses.send_raw_email(Source="a@shop.example", RawMessage={"Data": raw})
        await dynamodb.create_table(
            TableName="ledger",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        await dynamodb.put_item(TableName="ledger", Item={"id": {"S": "1"}})

    async with Supervisor(stack, data_dir), AsyncExitStack() as aws:
        connection = await connect(postgres, "shop")
        assert await connection.fetchval("SELECT count(*) FROM things") == 1
        await connection.close()
        async with redis.asyncio.from_url(valkey.url) as client:
            assert await client.get("key") == b"value"
        events, sqs, dynamodb = await clients(aws, emulator.url, "events", "sqs", "dynamodb")
        item = await dynamodb.get_item(TableName="ledger", Key={"id": {"S": "1"}})
        assert item["Item"] == {"id": {"S": "1"}}
        targets = await events.list_targets_by_rule(Rule="things", EventBusName="shop")
        assert [target["Id"] for target in targets["Targets"]] == ["orders"]
        assert await sqs.get_queue_url(QueueName="orders")
        assert [mail["Subject"] for mail in await mailbox(emulator.url)] == ["kept"]
    postgres.remove()
    assert not (data_dir / "postgres").exists()


async def test_a_dead_clients_long_poll_takes_no_message_with_it(data_dir: Path) -> None:
    async with (
        EmbeddedServers(data_dir, valkey=False) as servers,
        AsyncExitStack() as aws,
    ):
        dying, alive = await clients(aws, servers.aws_endpoint_url, "sqs", "sqs")
        url = (await alive.create_queue(QueueName="orders"))["QueueUrl"]
        poll = asyncio.create_task(dying.receive_message(QueueUrl=url, WaitTimeSeconds=20))
        await asyncio.wait([poll], timeout=0.5)  # Until the poll has arrived; nothing tells when.
        poll.cancel()
        await asyncio.gather(poll, return_exceptions=True)
        await alive.send_message(QueueUrl=url, MessageBody="for the living")
        await asyncio.sleep(0.5)  # A poll that is left over looks ten times a second.
        answer = await alive.receive_message(QueueUrl=url, WaitTimeSeconds=5)
        assert [message["Body"] for message in answer["Messages"]] == ["for the living"]


async def test_postgres_runs_from_a_folder_that_its_user_cannot_enter(data_dir: Path) -> None:
    private = data_dir / "home"
    private.mkdir(mode=0o700)
    async with EmbeddedServers(
        private, databases=["shop"], valkey=False, emulator=False
    ) as servers:
        real = (private / "postgres").resolve()
        connection = await connect(servers.postgres, "shop")
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    assert not real.exists()
    assert not (private / "postgres").is_symlink()


def test_a_database_name_must_be_plain(data_dir: Path) -> None:
    with pytest.raises(StackError, match="not a plain database name"):
        PostgresServer(data_dir, 1, databases=["x'; DROP"])

"""The topology is sound, and applying it to a real emulator delivers exactly what it says."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from aiobotocore.session import AioSession

import contracts
from messaging.topology import Applied, apply, wait_until_reachable

EMULATOR = Path(__file__).resolve().parents[3] / ".venv-emulator" / "bin" / "ministack"
REGION = "us-east-1"
TOPOLOGY = contracts.load_topology()


def session() -> AioSession:
    created = AioSession()
    created.set_credentials("test", "test")
    return created


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
async def endpoint_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """An emulator of our own, empty at first."""
    port = free_port()
    environment = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    folder = tmp_path_factory.mktemp("emulator")
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            EMULATOR, env=environment, cwd=folder, stdout=log, stderr=asyncio.subprocess.STDOUT
        )
        try:
            url = f"http://127.0.0.1:{port}"
            await until_it_listens(port)
            yield url
        finally:
            process.terminate()
            await asyncio.wait_for(process.wait(), timeout=10)


async def until_it_listens(port: int, timeout_seconds: float = 30) -> None:
    give_up_at = monotonic() + timeout_seconds
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if monotonic() >= give_up_at:
                raise
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


async def applied_to(endpoint_url: str) -> Applied:
    return await apply(TOPOLOGY, session(), endpoint_url=endpoint_url, region=REGION)


async def snapshot(endpoint_url: str) -> dict[str, Any]:
    """Everything that `apply` sets, as the endpoint tells it."""
    where = {"endpoint_url": endpoint_url, "region_name": REGION}
    seen: dict[str, Any] = {}
    async with (
        session().create_client("events", **where) as events,
        session().create_client("sqs", **where) as sqs,
        session().create_client("dynamodb", **where) as dynamodb,
    ):
        for rule in (await events.list_rules(EventBusName=TOPOLOGY.bus))["Rules"]:
            targets = await events.list_targets_by_rule(
                Rule=rule["Name"], EventBusName=TOPOLOGY.bus
            )
            seen[rule["Name"]] = (json.loads(rule["EventPattern"]), targets["Targets"])
        for url in (await sqs.list_queues()).get("QueueUrls", []):
            answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            volatile = ("ApproximateNumberOf", "CreatedTimestamp", "LastModifiedTimestamp")
            seen[url] = {
                key: value
                for key, value in answer["Attributes"].items()
                if not key.startswith(volatile)
            }
        for name in (await dynamodb.list_tables())["TableNames"]:
            answer = await dynamodb.describe_time_to_live(TableName=name)
            seen[name] = answer["TimeToLiveDescription"]
        archive = await events.describe_archive(ArchiveName=TOPOLOGY.archive.name)
        seen["archive"] = (archive["EventSourceArn"], archive["RetentionDays"])
    return seen


def test_all_that_is_received_is_sent() -> None:
    for service in TOPOLOGY.services.values():
        for message in service.receives:
            assert TOPOLOGY.senders_of(message), f"{service.name} waits for {message} in vain"


def test_rules_match_exactly_what_each_service_receives() -> None:
    for receiver in TOPOLOGY.services.values():
        for sender in TOPOLOGY.services.values():
            for message in contracts.MESSAGES:
                matching = [
                    rule.name
                    for rule in receiver.rules
                    if message in rule.pattern["detail-type"]
                    and sender.source in rule.pattern["source"]
                ]
                wanted = message in receiver.receives and message in sender.sends
                assert len(matching) == int(wanted), (receiver.name, sender.name, message)


def test_every_command_has_one_receiver_its_owner() -> None:
    for message in contracts.MESSAGES.values():
        if message.kind == "command":
            assert TOPOLOGY.receivers_of(message.name) == (message.owner,)


def test_dead_letters_outlive_their_source() -> None:
    for service in TOPOLOGY.services.values():
        assert service.dead_letters.retention_seconds > service.queue.retention_seconds


async def test_applying_again_changes_nothing(endpoint_url: str) -> None:
    first = await applied_to(endpoint_url)
    before = await snapshot(endpoint_url)
    assert await applied_to(endpoint_url) == first
    assert await snapshot(endpoint_url) == before


async def test_applying_at_once_from_several_processes_succeeds(endpoint_url: str) -> None:
    results = await asyncio.gather(*(applied_to(endpoint_url) for _ in range(4)))
    assert all(result == results[0] for result in results)


async def test_queue_gets_its_limits_its_dead_letters_and_a_policy_for_its_rules(
    endpoint_url: str,
) -> None:
    applied = await applied_to(endpoint_url)
    seen = await snapshot(endpoint_url)
    for service in TOPOLOGY.services.values():
        attributes = seen[applied.queue_urls[service.name]]
        assert attributes["VisibilityTimeout"] == "30"
        assert attributes["MessageRetentionPeriod"] == str(4 * 86_400)
        assert attributes["ReceiveMessageWaitTimeSeconds"] == "20"
        redrive = json.loads(attributes["RedrivePolicy"])
        assert redrive["deadLetterTargetArn"].endswith(f":{service.dead_letters.name}")
        assert int(redrive["maxReceiveCount"]) == 8
        condition = json.loads(attributes["Policy"])["Statement"][0]["Condition"]
        allowed = condition["ArnEquals"]["aws:SourceArn"]
        assert [arn.rpartition("/")[2] for arn in allowed] == [rule.name for rule in service.rules]
        for rule in service.rules:
            _, (target,) = seen[rule.name]
            assert target["DeadLetterConfig"]["Arn"].endswith(f":{service.undelivered.name}")
            assert target["RetryPolicy"] == {
                "MaximumRetryAttempts": 185,
                "MaximumEventAgeInSeconds": 86_400,
            }


async def test_drift_is_repaired_and_stale_rules_are_removed(endpoint_url: str) -> None:
    applied = await applied_to(endpoint_url)
    before = await snapshot(endpoint_url)
    where = {"endpoint_url": endpoint_url, "region_name": REGION}
    async with (
        session().create_client("events", **where) as events,
        session().create_client("sqs", **where) as sqs,
    ):
        pattern = json.dumps({"source": ["bookstore.order"]})
        for name in ("bookstore-order-from-nobody", "watcher"):
            await events.put_rule(Name=name, EventBusName=TOPOLOGY.bus, EventPattern=pattern)
        await sqs.set_queue_attributes(
            QueueUrl=applied.queue_urls["order"], Attributes={"VisibilityTimeout": "1"}
        )
        await applied_to(endpoint_url)
        after = await snapshot(endpoint_url)
        assert after.pop("watcher")
        await events.delete_rule(Name="watcher", EventBusName=TOPOLOGY.bus)
    assert after == before


async def test_message_reaches_its_receiver_and_nobody_else(endpoint_url: str) -> None:
    applied = await applied_to(endpoint_url)
    where = {"endpoint_url": endpoint_url, "region_name": REGION}
    async with (
        session().create_client("events", **where) as events,
        session().create_client("sqs", **where) as sqs,
    ):
        entries = [
            # From the wrong source: no rule may match it.
            {"Source": "bookstore.payment", "DetailType": "ReserveStock"},
            {"Source": "bookstore.order", "DetailType": "ReserveStock"},
            {"Source": "bookstore.catalog", "DetailType": "StockReserved"},
        ]
        answer = await events.put_events(
            Entries=[{**entry, "Detail": "{}", "EventBusName": TOPOLOGY.bus} for entry in entries]
        )
        assert answer["FailedEntryCount"] == 0
        received = {}
        for service, wait_seconds in (("catalog", 5), ("order", 5), ("payment", 0)):
            messages = await sqs.receive_message(
                QueueUrl=applied.queue_urls[service],
                MaxNumberOfMessages=10,
                WaitTimeSeconds=wait_seconds,
            )
            received[service] = [
                json.loads(message["Body"])["detail-type"]
                for message in messages.get("Messages", [])
            ]
    assert received == {"catalog": ["ReserveStock"], "order": ["StockReserved"], "payment": []}


async def test_endpoint_that_never_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Exception, match=url):
        await wait_until_reachable(endpoint_url=url, region=REGION, timeout_seconds=0.3)

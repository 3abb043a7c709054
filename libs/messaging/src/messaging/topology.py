"""Brings bus, rules, queues, tables and the mails' domain in line with the contracts' topology.

One guarantee: applying is idempotent. It creates what is missing and updates what differs, so it
may run twice, or at once from several processes, against AWS or any emulator of it.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

from aiobotocore.session import AioSession
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from contracts.topology import (
    Archive,
    DeadLetterQueue,
    Rule,
    Service,
    Table,
    Topology,
    load_topology,
)
from messaging.republish import APPLIED_TAG

TARGET_ID = "queue"
TABLE_READY_SECONDS = 60.0
# Codes by which AWS says that somebody else changes the same thing right now.
_CONCURRENT = {
    "ConcurrentModificationException",
    "LimitExceededException",
    "ResourceInUseException",
}


class TopologyError(Exception):
    """The topology could not be applied; the message says what was refused and why."""

    code = "topology_not_applied"


@dataclass(frozen=True, slots=True)
class Applied:
    """What a service needs to know afterwards. Queue URLs are keyed by the service's name."""

    bus_arn: str
    queue_urls: Mapping[str, str]
    dead_letter_urls: Mapping[str, str]
    undelivered_urls: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Clients:
    events: Any
    sqs: Any
    dynamodb: Any
    ses: Any


@dataclass(frozen=True, slots=True)
class _Queue:
    url: str
    arn: str


async def apply(
    topology: Topology,
    session: AioSession | None = None,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
) -> Applied:
    """Create or update everything; rules that the contracts no longer imply are removed.

    Where no endpoint or region is given, botocore finds them as it always does. Raises
    TopologyError, or botocore's own errors if the endpoint cannot be reached.
    """
    session = session or AioSession()
    config = Config(retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=32)
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(
                session.create_client(
                    name, endpoint_url=endpoint_url, region_name=region, config=config
                )
            )
            for name in ("events", "sqs", "dynamodb", "ses")
        ]
        return await _apply(topology, _Clients(*opened))


async def wait_until_reachable(
    *, endpoint_url: str | None = None, region: str | None = None, timeout_seconds: float = 60.0
) -> None:
    """Return as soon as the event bus API answers; raises TopologyError after the timeout."""
    give_up_at = monotonic() + timeout_seconds
    config = Config(retries={"max_attempts": 0}, connect_timeout=1, read_timeout=5)
    async with AioSession().create_client(
        "events", endpoint_url=endpoint_url, region_name=region, config=config
    ) as events:
        while True:
            try:
                await events.list_event_buses(Limit=1)
                return
            except (BotoCoreError, ClientError, OSError) as error:
                if monotonic() >= give_up_at:
                    raise TopologyError(
                        f"{endpoint_url or 'AWS'} did not answer within {timeout_seconds:g} s: "
                        f"{error}"
                    ) from error
            await asyncio.sleep(0.2)


async def _apply(topology: Topology, clients: _Clients) -> Applied:
    names = [
        name
        for service in topology.services.values()
        for name in (service.queue.name, service.dead_letters.name, service.undelivered.name)
    ]
    bus_arn, queue_list, *_ = await asyncio.gather(
        _ensure_bus(clients.events, topology.bus),
        asyncio.gather(*(_ensure_queue(clients.sqs, name) for name in names)),
        asyncio.gather(*(_ensure_table(clients.dynamodb, table) for table in topology.tables)),
        _ensure_mail_domain(clients.ses, topology.mail_domain),
    )
    queues = dict(zip(names, queue_list, strict=True))
    services = topology.services
    await asyncio.gather(
        _ensure_archive(clients.events, bus_arn, topology.archive),
        _remove_stale_rules(clients.events, topology),
        *(_route(clients, topology.bus, bus_arn, each, queues) for each in services.values()),
    )
    await _patiently(
        clients.events.tag_resource,
        ResourceARN=bus_arn,
        Tags=[{"Key": APPLIED_TAG, "Value": "true"}],
    )
    return Applied(
        bus_arn=bus_arn,
        queue_urls={name: queues[each.queue.name].url for name, each in services.items()},
        dead_letter_urls={
            name: queues[each.dead_letters.name].url for name, each in services.items()
        },
        undelivered_urls={
            name: queues[each.undelivered.name].url for name, each in services.items()
        },
    )


async def _ensure_bus(events: Any, name: str) -> str:
    with _already("ResourceAlreadyExistsException"):
        await _patiently(events.create_event_bus, Name=name)
    described = await events.describe_event_bus(Name=name)
    return str(described["Arn"])


async def _ensure_archive(events: Any, bus_arn: str, archive: Archive) -> None:
    days = archive.retention_days
    with _already("ResourceAlreadyExistsException"):
        await _patiently(
            events.create_archive,
            ArchiveName=archive.name,
            EventSourceArn=bus_arn,
            RetentionDays=days,
        )
        return
    described = await events.describe_archive(ArchiveName=archive.name)
    if described.get("RetentionDays") != days:
        await _patiently(events.update_archive, ArchiveName=archive.name, RetentionDays=days)


async def _ensure_queue(sqs: Any, name: str) -> _Queue:
    # Without attributes, creating a queue that exists is no error whatever its attributes are.
    url = (await sqs.create_queue(QueueName=name))["QueueUrl"]
    answer = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return _Queue(url, answer["Attributes"]["QueueArn"])


async def _ensure_table(dynamodb: Any, table: Table) -> None:
    keys = {table.key: "HASH"} | ({table.sort_key: "RANGE"} if table.sort_key else {})
    with _already("ResourceInUseException"):
        await dynamodb.create_table(
            TableName=table.name,
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            BillingMode="PAY_PER_REQUEST",
        )
    give_up_at = monotonic() + TABLE_READY_SECONDS
    while True:
        described = await dynamodb.describe_table(TableName=table.name)
        if described["Table"]["TableStatus"] == "ACTIVE":
            break
        if monotonic() >= give_up_at:
            raise TopologyError(f"table {table.name} is not active after {TABLE_READY_SECONDS:g} s")
        await asyncio.sleep(0.5)
    if not await _expires(dynamodb, table):
        try:
            await dynamodb.update_time_to_live(
                TableName=table.name,
                TimeToLiveSpecification={"Enabled": True, "AttributeName": table.ttl_attribute},
            )
        except ClientError:
            # Another process may have been faster; then the setting is already as we want it.
            if not await _expires(dynamodb, table):
                raise


async def _ensure_mail_domain(ses: Any, domain: str | None) -> None:
    """Ask for the right to send mails from the domain; asking again changes nothing. On AWS its DNS
    has to agree (the console shows the record); emulators take our word.
    """
    if domain is not None:
        await _patiently(ses.verify_domain_identity, Domain=domain)


async def _expires(dynamodb: Any, table: Table) -> bool:
    answer = await dynamodb.describe_time_to_live(TableName=table.name)
    setting = answer.get("TimeToLiveDescription", {})
    on = setting.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    return on and setting.get("AttributeName") == table.ttl_attribute


async def _route(
    clients: _Clients, bus: str, bus_arn: str, service: Service, queues: Mapping[str, _Queue]
) -> None:
    """One service's queues and rules; a rule gets its target once the queue lets it in."""
    await asyncio.gather(
        _set_queue(clients.sqs, service, bus_arn, queues),
        _set_dead_letters(clients.sqs, service.dead_letters, queues, policy=None),
        _set_dead_letters(
            clients.sqs,
            service.undelivered,
            queues,
            policy=_policy(queues[service.undelivered.name].arn, bus_arn, service.rules),
        ),
        *(_put_rule(clients.events, bus, rule) for rule in service.rules),
    )
    await asyncio.gather(
        *(_put_target(clients.events, bus, service, rule, queues) for rule in service.rules)
    )


async def _set_queue(
    sqs: Any, service: Service, bus_arn: str, queues: Mapping[str, _Queue]
) -> None:
    queue = service.queue
    redrive = {
        "deadLetterTargetArn": queues[service.dead_letters.name].arn,
        "maxReceiveCount": queue.max_receive_count,
    }
    attributes = {
        "VisibilityTimeout": str(queue.visibility_seconds),
        "MessageRetentionPeriod": str(queue.retention_seconds),
        "ReceiveMessageWaitTimeSeconds": str(queue.long_poll_seconds),
        "RedrivePolicy": json.dumps(redrive),
        "Policy": _policy(queues[queue.name].arn, bus_arn, service.rules),
    }
    await sqs.set_queue_attributes(QueueUrl=queues[queue.name].url, Attributes=attributes)


async def _set_dead_letters(
    sqs: Any, dead_letters: DeadLetterQueue, queues: Mapping[str, _Queue], policy: str | None
) -> None:
    attributes = {"MessageRetentionPeriod": str(dead_letters.retention_seconds)}
    if policy is not None:
        attributes["Policy"] = policy
    await sqs.set_queue_attributes(QueueUrl=queues[dead_letters.name].url, Attributes=attributes)


def _policy(queue_arn: str, bus_arn: str, rules: Sequence[Rule]) -> str:
    """Let the bus put messages into the queue, but only through these rules."""
    rule_arns = [f"{bus_arn.replace(':event-bus/', ':rule/')}/{rule.name}" for rule in rules]
    statement = {
        "Sid": "BusMaySend",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule_arns}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


async def _put_rule(events: Any, bus: str, rule: Rule) -> None:
    await _patiently(
        events.put_rule,
        Name=rule.name,
        EventBusName=bus,
        EventPattern=json.dumps(dict(rule.pattern)),
        Description=rule.description,
        State="ENABLED",
    )


async def _put_target(
    events: Any, bus: str, service: Service, rule: Rule, queues: Mapping[str, _Queue]
) -> None:
    target = {
        "Id": TARGET_ID,
        "Arn": queues[service.queue.name].arn,
        "RetryPolicy": {
            "MaximumRetryAttempts": rule.retry.maximum_attempts,
            "MaximumEventAgeInSeconds": rule.retry.maximum_age_seconds,
        },
        "DeadLetterConfig": {"Arn": queues[service.undelivered.name].arn},
    }
    answer = await _patiently(
        events.put_targets, Rule=rule.name, EventBusName=bus, Targets=[target]
    )
    if answer.get("FailedEntryCount"):
        raise TopologyError(f"target of rule {rule.name} was refused: {answer['FailedEntries']}")


async def _remove_stale_rules(events: Any, topology: Topology) -> None:
    """Remove rules that an older version of the contracts implied; others' rules stay."""
    wanted = {rule.name for rule in topology.rules}
    paginator = events.get_paginator("list_rules")
    stale = [
        rule["Name"]
        async for page in paginator.paginate(EventBusName=topology.bus)
        for rule in page["Rules"]
        if _is_derived(rule["Name"], topology.bus) and rule["Name"] not in wanted
    ]
    for name in stale:
        with _already("ResourceNotFoundException"):
            await _patiently(
                events.remove_targets, Rule=name, EventBusName=topology.bus, Ids=[TARGET_ID]
            )
            await _patiently(events.delete_rule, Name=name, EventBusName=topology.bus)


def _is_derived(rule_name: str, bus: str) -> bool:
    return rule_name.startswith(f"{bus}-") and "-from-" in rule_name


@contextmanager
def _already(code: str) -> Iterator[None]:
    """Swallow the one error that says the wanted state is there already."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != code:
            raise


def _is_concurrent(error: BaseException) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _CONCURRENT


@retry(
    retry=retry_if_exception(_is_concurrent),
    wait=wait_random_exponential(multiplier=0.1, max=2),
    stop=stop_after_attempt(8),
    reraise=True,
)
async def _patiently(call: Any, **parameters: Any) -> Any:
    return await call(**parameters)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m messaging.topology", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    apply_command = commands.add_parser("apply", help="create or update everything")
    apply_command.add_argument("--endpoint-url", help="an emulator; default: AWS_ENDPOINT_URL")
    apply_command.add_argument(
        # botocore itself reads AWS_DEFAULT_REGION only.
        "--region",
        default=os.environ.get("AWS_REGION"),
        help="default: AWS_REGION",
    )
    apply_command.add_argument("--wait", action="store_true", help="first wait for the endpoint")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_run(options))
    except (TopologyError, BotoCoreError, ClientError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


async def _run(options: argparse.Namespace) -> None:
    started = monotonic()
    where = {"endpoint_url": options.endpoint_url, "region": options.region}
    if options.wait:
        await wait_until_reachable(**where)
    topology = load_topology()
    await apply(topology, **where)
    sys.stdout.write(
        f"bus {topology.bus}: {len(topology.rules)} rules, {len(topology.services)} services, "
        f"{len(topology.tables)} tables in {monotonic() - started:.2f} s\n"
    )


if __name__ == "__main__":
    sys.exit(main())

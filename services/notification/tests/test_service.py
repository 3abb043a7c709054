"""The service as it runs: from the bus through its queue to SES, and what its figures say then."""

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import replace

import orjson
import pytest

from notification_service.app import SERVICE
from notification_service.settings import NotificationSettings
from observability import configure_tracing

PATIENCE_SECONDS = 20.0


class ShortPolls:
    """SQS without long polls: a cancelled one goes on in the emulator and swallows a message."""

    def __init__(self, sqs):
        self._sqs = sqs

    def __getattr__(self, name):
        return getattr(self._sqs, name)

    async def receive_message(self, **given):
        answer = await self._sqs.receive_message(**{**given, "WaitTimeSeconds": 0})
        if not answer.get("Messages"):
            await asyncio.sleep(0.03)
        return answer


async def eventually(probe):
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not await probe():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        await asyncio.sleep(0.05)


async def publish(aws, message):
    entry = {
        "EventBusName": "bookstore",
        "Source": message.source,
        "DetailType": message.type,
        "Detail": message.encode().decode(),
    }
    await aws.events.put_events(Entries=[entry])


@pytest.fixture
async def running(aws, ses):
    """The service's resources while its workers run."""
    settings = NotificationSettings(
        aws_endpoint_url=aws.endpoint_url,
        unsubscribe_key="a key for tests, long enough",
        mails_per_second=1000,
    )
    tracing = configure_tracing("notification", otlp_endpoint=None, trace_file=None)
    async with SERVICE.open(settings, tracing) as opened:
        clients = {**opened.clients, "sqs": ShortPolls(opened.sqs)}
        resources = replace(opened, clients=clients)
        parts = await SERVICE.compose(resources)
        tasks = [asyncio.create_task(worker.run()) for worker in parts.workers]
        yield resources
        for worker in parts.workers:
            worker.stop()
        await asyncio.gather(*tasks)
        for close in parts.closers:
            await close()


async def test_events_on_the_bus_become_mails_and_are_counted_as_handled(
    aws, running, desk, envelope, order
):
    before = dict(await running.inbox.census())
    events = [order.cancelled(), order.contact(), order.confirmed(), order.contact()]
    for event in events:
        await publish(aws, envelope(event))

    async def at_rest():
        states = [await desk.state(order, kind) for kind in ("confirmed", "cancelled")]
        handled = await running.inbox.census()
        count = sum(handled.values()) - sum(before.values())
        return count == 4 and states[1] == "sent" and states[0] in ("sent", "withheld/superseded")

    await eventually(at_rest)


async def test_refund_that_names_nobody_is_a_dead_letter(aws, running, envelope, order):
    message = envelope(order.refunded())
    data = {name: value for name, value in message.data.items() if name != "customer_id"}
    await publish(aws, replace(message, data=data))
    url = aws.applied.dead_letter_urls["notification"]
    found = []

    async def arrived():
        answer = await aws.sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])
        for letter in answer.get("Messages", []):
            found.append(letter["MessageAttributes"]["reason_code"]["StringValue"])
            assert orjson.loads(letter["Body"])["detail"]["id"] == message.id
        return found

    await eventually(arrived)
    assert found == ["no_customer"]


def test_composition_root_needs_no_environment():
    code = "import notification_service.app, sys; sys.exit('aiobotocore' in sys.modules)"
    environment = {"PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mail_sender", "Bookstore"),
        ("mail_sender", "Bookstore\n<orders@bookstore.example>"),
        ("unsubscribe_key", "short"),
        ("public_url", "bookstore.example"),
        ("mail_lease_seconds", 5),
    ],
)
def test_settings_that_cannot_work_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        NotificationSettings(**{"unsubscribe_key": "long enough for a key", name: value})

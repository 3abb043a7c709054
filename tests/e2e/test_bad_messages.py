"""A message that breaks the rules ends as a dead letter with the reason, and changes nothing."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts import load_topology
from messaging.dead_letters import look

ORDER_ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def envelope(**changes: Any) -> dict[str, Any]:
    """A good ReleaseStock in its EventBridge event; `changes` spoil it."""
    detail = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "bookstore.order",
        "type": "ReleaseStock",
        "subject": ORDER_ID,
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "dataschema": "urn:bookstore:catalog:ReleaseStock:1",
        "correlationid": ORDER_ID,
        "data": {"order_id": ORDER_ID},
    }
    detail |= {key: value for key, value in changes.items() if value is not None}
    for key, value in changes.items():
        if value is None:
            del detail[key]
    return {"detail-type": detail.get("type"), "source": "bookstore.order", "detail": detail}


def body(document: Any) -> str:
    return json.dumps(document)


SPOILED: list[Any] = [
    pytest.param(lambda: "not json", "malformed", id="not-json"),
    pytest.param(lambda: body({"some": "event"}), "malformed", id="no-detail"),
    pytest.param(lambda: body(envelope(correlationid=None)), "malformed", id="envelope-incomplete"),
    pytest.param(
        lambda: body({**envelope(), "detail-type": "ReserveStock"}), "malformed", id="types-differ"
    ),
    pytest.param(lambda: body(envelope(data={})), "contract_violation", id="breaks-contract"),
    pytest.param(
        lambda: body(envelope(dataschema="urn:bookstore:catalog:ReleaseStock:9")),
        "unknown_message",
        id="unknown-version",
    ),
    pytest.param(
        lambda: body(
            envelope(type="DanceOnTable", dataschema="urn:bookstore:catalog:DanceOnTable:1")
        ),
        "unknown_message",
        id="unknown-message",
    ),
]


@pytest.fixture(scope="module")
async def sqs(platform: Any) -> AsyncIterator[Any]:
    async with platform.aws("sqs") as client:
        yield client


@pytest.fixture(scope="module")
async def queues(sqs: Any) -> tuple[str, str]:
    names = load_topology().services["catalog"]
    found = [
        (await sqs.get_queue_url(QueueName=name))["QueueUrl"]
        for name in (names.queue.name, names.dead_letters.name)
    ]
    return found[0], found[1]


async def letters_until(sqs: Any, url: str, wanted: int) -> list[Any]:
    async with asyncio.timeout(30):
        while True:
            found = await look(sqs, url)
            if len(found) >= wanted:
                return found
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(("spoiled", "code"), SPOILED)
async def test_spoiled_message_becomes_a_dead_letter(
    platform: Any, sqs: Any, queues: tuple[str, str], spoiled: Callable[[], str], code: str
) -> None:
    queue, dead = queues
    before = (await platform.http.get(f"{platform.endpoints['catalog']}/ops/messages")).json()
    await sqs.send_message(QueueUrl=queue, MessageBody=spoiled())
    found = await letters_until(sqs, dead, 1)
    after = (await platform.http.get(f"{platform.endpoints['catalog']}/ops/messages")).json()
    await sqs.purge_queue(QueueUrl=dead)
    assert [letter.reason_code for letter in found] == [code]
    assert found[0].reason
    assert after["handled"] == before["handled"]

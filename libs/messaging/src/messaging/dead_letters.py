"""Dead letters: look at them, and send them back once their cause is mended.

Guarantee: a message leaves the dead-letter queue only after it is back in its queue. A crash
between the two makes a copy, which the inbox recognises. (SQS has StartMessageMoveTask for this;
the local emulators have not, and this works on all of them.)
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

MAX_RECEIVE = 10
# Long enough to get through a lot, short enough that a look does not hide messages for long.
LOOK_SECONDS = 5
REDRIVE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class LetterInfo:
    """A dead letter: what it was, why it is here, and how often it had been received."""

    message_id: str
    type: str
    subject: str
    reason_code: str
    reason: str
    receives: int


async def look(sqs: Any, dead_letter_url: str, *, limit: int = 100) -> list[LetterInfo]:
    """Up to `limit` dead letters; they are hidden from others for a few seconds."""
    found: dict[str, LetterInfo] = {}
    async for message in _receive(sqs, dead_letter_url, LOOK_SECONDS):
        if message["MessageId"] in found or len(found) >= limit:
            break
        found[message["MessageId"]] = _info(message)
    return list(found.values())


async def redrive(
    sqs: Any, dead_letter_url: str, queue_url: str, *, reason_code: str | None = None
) -> int:
    """Send dead letters (of one reason only, if given) back to their queue; how many went.

    A letter that fails again comes back here and is not taken up twice by the same call.
    """
    moved: set[str] = set()
    seen: set[str] = set()
    async for message in _receive(sqs, dead_letter_url, REDRIVE_SECONDS):
        if message["MessageId"] in seen:
            break
        seen.add(message["MessageId"])
        if reason_code is not None and _info(message).reason_code != reason_code:
            continue
        await sqs.send_message(QueueUrl=queue_url, MessageBody=message["Body"])
        await sqs.delete_message(QueueUrl=dead_letter_url, ReceiptHandle=message["ReceiptHandle"])
        moved.add(message["MessageId"])
    return len(moved)


async def _receive(sqs: Any, url: str, hidden_seconds: int) -> AsyncIterator[dict[str, Any]]:
    while True:
        answer = await sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=MAX_RECEIVE,
            VisibilityTimeout=hidden_seconds,
            WaitTimeSeconds=0,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        messages = answer.get("Messages", [])
        if not messages:
            return
        for message in messages:
            yield message


def _info(message: dict[str, Any]) -> LetterInfo:
    attributes = message.get("MessageAttributes", {})

    def attribute(name: str, otherwise: str) -> str:
        return str(attributes.get(name, {}).get("StringValue", otherwise))

    try:
        detail = orjson.loads(message["Body"])["detail"]
        kind, subject = str(detail["type"]), str(detail["subject"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        kind, subject = "(not an envelope)", ""
    return LetterInfo(
        message_id=message["MessageId"],
        type=kind,
        subject=subject,
        # A letter without a reason was moved by SQS itself: every try had failed.
        reason_code=attribute("reason_code", "receives_exhausted"),
        reason=attribute("reason", "every try failed; the service's log says why"),
        receives=int(message.get("Attributes", {}).get("ApproximateReceiveCount", 0)),
    )

"""The SQS client of one process: aiobotocore's methods, as far as services use them.

Guarantee: a request happens as a whole inside the gate, or not at all. Waiting in a long poll and
an answer without messages pass no gate; cancelling a poll leaves nothing behind.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from faults.gate import Gate
from faults.memory.aws_client import Client, loop_time, refusal
from faults.memory.queues import Message, Queue, type_of

# SQS takes at most ten messages a request (SQS quotas).
MAX_ENTRIES = 10
# A message is delayed by a quarter of an hour, and hidden for 12 hours, at most (SQS quotas).
MAX_DELAY_SECONDS = 900
MAX_VISIBILITY_SECONDS = 12 * 3600

RECEIVE_COUNT = "ApproximateReceiveCount"
_URL = "http://sqs.memory/000000000000/"
_STATES = {
    "ApproximateNumberOfMessages": "visible",
    "ApproximateNumberOfMessagesNotVisible": "hidden",
    "ApproximateNumberOfMessagesDelayed": "delayed",
}
_INVALID = "The input receipt handle is invalid."


class SqsClient(Client):
    """All of a topology's queues. The keyword arguments are those of botocore."""

    def __init__(self, gate: Gate, unsupported: list[str], queues: Mapping[str, Queue]) -> None:
        super().__init__(gate, unsupported)
        self._queues = queues
        self._by_url = {_URL + name: queue for name, queue in queues.items()}

    async def get_queue_url(self, *, QueueName: str, **others: Any) -> dict[str, Any]:
        self._refuse_others("get_queue_url", others)

        def effect(_: str | None) -> dict[str, Any]:
            self._queue("GetQueueUrl", _URL + QueueName)
            return {"QueueUrl": _URL + QueueName}

        return await self._pass("get_queue_url", [QueueName], effect)

    async def get_queue_attributes(
        self, *, QueueUrl: str, AttributeNames: Sequence[str], **others: Any
    ) -> dict[str, Any]:
        """Only the three numbers of messages."""
        self._refuse_others("get_queue_attributes", others)

        def effect(_: str | None) -> dict[str, Any]:
            queue = self._queue("GetQueueAttributes", QueueUrl)
            attributes = {}
            for name in AttributeNames:
                if name not in _STATES:
                    raise NotImplementedError(name)
                states = [each.state(loop_time()) for each in queue.messages]
                attributes[name] = str(states.count(_STATES[name]))
            return {"Attributes": attributes}

        name = QueueUrl.removeprefix(_URL)
        return await self._pass("get_queue_attributes", [name], effect)

    async def receive_message(
        self,
        *,
        QueueUrl: str,
        MaxNumberOfMessages: int = 1,
        WaitTimeSeconds: float | None = None,
        VisibilityTimeout: float | None = None,
        MessageSystemAttributeNames: Sequence[str] = (),
        MessageAttributeNames: Sequence[str] = (),
        **others: Any,
    ) -> dict[str, Any]:
        """The twist 'duplicate' leaves what is handed out visible to others."""
        self._refuse_others("receive_message", others)
        if MessageSystemAttributeNames not in ([], (), [RECEIVE_COUNT]):
            raise self._missing(f"receive_message with {MessageSystemAttributeNames}")
        if MessageAttributeNames not in ([], (), ["All"]):
            raise self._missing(f"receive_message with {MessageAttributeNames}")
        if not 1 <= MaxNumberOfMessages <= MAX_ENTRIES:
            raise refusal("ReceiveMessage", "InvalidParameterValue", "MaxNumberOfMessages")
        queue = self._queue("ReceiveMessage", QueueUrl)
        wait = queue.long_poll_seconds if WaitTimeSeconds is None else WaitTimeSeconds
        hidden = queue.visibility_seconds if VisibilityTimeout is None else VisibilityTimeout
        deadline = loop_time() + wait
        poll = object()
        promised: list[Message] = []

        def effect(twist: str | None) -> list[dict[str, Any]]:
            taken = queue.hand_out(poll, promised, hidden, stay=twist == "duplicate")
            return [
                _received(queue, each, MessageSystemAttributeNames, MessageAttributeNames)
                for each in taken
            ]

        while True:
            promised = queue.promise(poll, MaxNumberOfMessages)
            if not promised:
                if not await queue.wait(deadline):
                    return {}
                continue
            # One that stands still before it takes what it was sent hides that no longer than that.
            lapse = asyncio.get_running_loop().call_later(hidden, queue.give_back, poll, promised)
            try:
                messages = await self._pass(
                    "receive_message", [each.type for each in promised], effect, ("duplicate",)
                )
            finally:
                lapse.cancel()
                queue.give_back(poll, promised)
            # What was promised may have been purged on the way.
            if messages:
                return {"Messages": messages}

    async def send_message(
        self,
        *,
        QueueUrl: str,
        MessageBody: str,
        DelaySeconds: float = 0,
        MessageAttributes: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> dict[str, Any]:
        self._refuse_others("send_message", others)
        kind = type_of(MessageBody)

        def effect(_: str | None) -> dict[str, Any]:
            queue = self._queue("SendMessage", QueueUrl)
            if not MessageBody:
                raise refusal("SendMessage", "MissingParameter", "MessageBody")
            if not 0 <= DelaySeconds <= MAX_DELAY_SECONDS:
                raise refusal("SendMessage", "InvalidParameterValue", "DelaySeconds")
            message = queue.put(
                MessageBody,
                kind,
                attributes=dict(MessageAttributes or {}),
                delay_seconds=DelaySeconds,
            )
            return {"MessageId": message.id}

        return await self._pass("send_message", [kind], effect)

    async def delete_message(
        self, *, QueueUrl: str, ReceiptHandle: str, **others: Any
    ) -> dict[str, Any]:
        self._refuse_others("delete_message", others)

        def effect(_: str | None) -> dict[str, Any]:
            queue = self._queue("DeleteMessage", QueueUrl)
            _raise_for("DeleteMessage", _delete(queue, ReceiptHandle))
            return {}

        return await self._pass("delete_message", _types([ReceiptHandle]), effect)

    async def delete_message_batch(
        self, *, QueueUrl: str, Entries: Sequence[Mapping[str, Any]], **others: Any
    ) -> dict[str, Any]:
        """'partial': the first entry fails. 'lose': all are answered with success, none is gone."""
        self._refuse_others("delete_message_batch", others)

        def effect(twist: str | None) -> dict[str, Any]:
            queue = self._queue("DeleteMessageBatch", QueueUrl)

            def delete(entry: Mapping[str, Any]) -> str | None:
                return None if twist == "lose" else _delete(queue, entry["ReceiptHandle"])

            return _batch("DeleteMessageBatch", Entries, delete, first_fails=twist == "partial")

        types = _types([entry["ReceiptHandle"] for entry in Entries])
        return await self._pass("delete_message_batch", types, effect, ("partial", "lose"))

    async def change_message_visibility(
        self, *, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: float, **others: Any
    ) -> dict[str, Any]:
        self._refuse_others("change_message_visibility", others)

        def effect(_: str | None) -> dict[str, Any]:
            queue = self._queue("ChangeMessageVisibility", QueueUrl)
            _raise_for("ChangeMessageVisibility", _change(queue, ReceiptHandle, VisibilityTimeout))
            return {}

        return await self._pass("change_message_visibility", _types([ReceiptHandle]), effect)

    async def change_message_visibility_batch(
        self, *, QueueUrl: str, Entries: Sequence[Mapping[str, Any]], **others: Any
    ) -> dict[str, Any]:
        self._refuse_others("change_message_visibility_batch", others)

        def effect(_: str | None) -> dict[str, Any]:
            queue = self._queue("ChangeMessageVisibilityBatch", QueueUrl)
            return _batch(
                "ChangeMessageVisibilityBatch",
                Entries,
                lambda entry: _change(queue, entry["ReceiptHandle"], entry["VisibilityTimeout"]),
            )

        types = _types([entry["ReceiptHandle"] for entry in Entries])
        return await self._pass("change_message_visibility_batch", types, effect)

    async def purge_queue(self, *, QueueUrl: str, **others: Any) -> dict[str, Any]:
        self._refuse_others("purge_queue", others)

        def effect(_: str | None) -> dict[str, Any]:
            self._queue("PurgeQueue", QueueUrl).clear()
            return {}

        return await self._pass("purge_queue", [QueueUrl.removeprefix(_URL)], effect)

    def _queue(self, operation: str, url: str) -> Queue:
        queue = self._by_url.get(url)
        if queue is None:
            code = "AWS.SimpleQueueService.NonExistentQueue"
            raise refusal(operation, code, "The specified queue does not exist.")
        return queue


def _received(
    queue: Queue, message: Message, system: Sequence[str], attributes: Sequence[str]
) -> dict[str, Any]:
    """The message as an answer of ReceiveMessage shows it."""
    shown: dict[str, Any] = {
        "MessageId": message.id,
        "ReceiptHandle": queue.receipt(message),
        "Body": message.body,
    }
    if system:
        shown["Attributes"] = {RECEIVE_COUNT: str(message.receives)}
    if attributes and message.attributes:
        shown["MessageAttributes"] = dict(message.attributes)
    return shown


def _types(receipts: Sequence[str]) -> list[str]:
    """A receipt ends with its message's type."""
    return [receipt.split("-", 3)[-1] for receipt in receipts]


def _delete(queue: Queue, receipt: str) -> str | None:
    """The code of the refusal; None also for a superseded receipt, which deletes nothing."""
    try:
        message = queue.find(receipt)
    except ValueError:
        return "ReceiptHandleIsInvalid"
    if message is not None:
        queue.remove(message)
    return None


def _change(queue: Queue, receipt: str, seconds: float) -> str | None:
    """As `_delete`; only what is handed out and not visible again can be hidden for longer."""
    if not 0 <= seconds <= MAX_VISIBILITY_SECONDS:
        return "InvalidParameterValue"
    try:
        message = queue.find(receipt)
    except ValueError:
        return "ReceiptHandleIsInvalid"
    if message is not None and not queue.change_visibility(message, seconds):
        return "AWS.SimpleQueueService.MessageNotInflight"
    return None


def _raise_for(operation: str, code: str | None) -> None:
    if code is not None:
        raise refusal(operation, code, _INVALID)


def _batch(
    operation: str,
    entries: Sequence[Mapping[str, Any]],
    settle: Callable[[Mapping[str, Any]], str | None],
    *,
    first_fails: bool = False,
) -> dict[str, Any]:
    """Settle every entry by itself; `settle` gives the code of a refusal."""
    if not entries:
        raise refusal(operation, "AWS.SimpleQueueService.EmptyBatchRequest", "no entry")
    if len(entries) > MAX_ENTRIES:
        code = "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"
        raise refusal(operation, code, "A maximum of 10 messages are allowed.")
    if len({entry["Id"] for entry in entries}) < len(entries):
        raise refusal(operation, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "Id repeated")
    successful: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for index, entry in enumerate(entries):
        if first_fails and index == 0:
            failed.append(_failure(entry, "InternalError", sender=False))
            continue
        refused = settle(entry)
        if refused is None:
            successful.append({"Id": entry["Id"]})
        else:
            failed.append(_failure(entry, refused, sender=True))
    answer: dict[str, Any] = {"Successful": successful}
    if failed:
        answer["Failed"] = failed
    return answer


def _failure(entry: Mapping[str, Any], code: str, *, sender: bool) -> dict[str, Any]:
    return {"Id": entry["Id"], "Code": code, "Message": code, "SenderFault": sender}

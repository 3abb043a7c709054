"""A whole participant in one file, against which the kit's own tests hold every check.

Guarantee: without --fault it keeps every rule; with one it breaks the rule that stands beside the
fault in FAULTS, on purpose, so that the tests can see the check fail.

    receive -> decode -> known? -> effect -> publish -> record -> delete
                  +-- can never be handled: dead letter with the reason

A crash anywhere repeats what comes before it, by the same ids.
"""

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import web
from botocore.exceptions import BotoCoreError, ClientError

NAME = "parcels"
BUS = "bookstore"
TABLE = "bookstore-ledger"
VISIBILITY_SECONDS = 2
MAX_AT_WORK = 20
# As long as a commit at a bad moment takes; some faults need a window to be seen through.
SLOW_SECONDS = 0.3
LARGE_BYTES = 100_000
FIELDS = {"SendParcel": {"parcel_id", "to"}, "RecallParcel": {"parcel_id"}}
OPTIONAL = {"SendParcel": {"note"}, "RecallParcel": set()}
ENVELOPE = ("id", "source", "type", "subject", "time", "dataschema", "correlationid", "data")
# What goes wrong, and the check that has to see it.
FAULTS = {
    "plain-404": "health",
    "forgets-recalls": "handles",
    "no-inbox": "duplicates",
    "forgets-tombstones": "reordering",
    "strict-reader": "unknown-fields",
    "drops-unknown": "unknown-messages",
    "no-reason": "poison",
    "dies-of-large": "oversized",
    "null-for-absent": "envelopes",
    "no-trace": "traces",
    "inbox-in-memory": "two-instances",
    "dies-of-outage": "outage",
    "no-drain": "drain",
    "deletes-first": "kill",
    "new-ids": "stable-ids",
}
OUTAGE = (BotoCoreError, ClientError, OSError, TimeoutError)


class NeverHandled(Exception):
    """The message can never be handled; `code` is for programs, the text for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def decode(body: str, fault: str | None) -> dict[str, Any]:
    """The envelope in a queue message; raises NeverHandled."""
    try:
        event = json.loads(body)
        detail = event["detail"]
        missing = [name for name in ENVELOPE if name not in detail]
        if missing:
            raise NeverHandled("malformed", f"the envelope lacks {', '.join(missing)}")
        uuid.UUID(detail["id"])
        if event["detail-type"] != detail["type"]:
            raise NeverHandled("malformed", "detail-type and type differ")
    except (ValueError, KeyError, TypeError) as error:
        raise NeverHandled("malformed", f"no message: {error!r}") from None
    name, data = detail["type"], detail["data"]
    if name not in FIELDS or detail["dataschema"] != f"urn:bookstore:{NAME}:{name}:1":
        raise NeverHandled("unknown_message", f"nothing here handles {detail['dataschema']}")
    wrong = [field for field in FIELDS[name] if not isinstance(data.get(field), str)]
    wrong += [f for f in OPTIONAL[name] if f in data and not isinstance(data[f], str)]
    if fault == "strict-reader":
        wrong += [field for field in data if field not in FIELDS[name] | OPTIONAL[name]]
    if wrong:
        raise NeverHandled("contract_violation", f"not as in the contract: {', '.join(wrong)}")
    return dict(detail)


def answer(
    cause: dict[str, Any], name: str, data: dict[str, Any], fault: str | None
) -> dict[str, Any]:
    """The envelope of what is said to a message; its id is a function of the cause's."""
    fresh = fault == "new-ids"
    detail = {
        "specversion": "1.0",
        "id": str(uuid.uuid4() if fresh else uuid.uuid5(uuid.UUID(cause["id"]), name)),
        "source": f"bookstore.{NAME}",
        "type": name,
        "subject": data["parcel_id"],
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "dataschema": f"urn:bookstore:{NAME}:{name}:1",
        "correlationid": cause["correlationid"],
        "causationid": cause["id"],
        "data": data,
    }
    if "traceparent" in cause and fault != "no-trace":
        version, trace, _, flags = cause["traceparent"].split("-")
        detail["traceparent"] = f"{version}-{trace}-{secrets.token_hex(8)}-{flags}"
    return detail


class Parcels:
    """Handles the queue's messages; parcels and inbox are items of one DynamoDB table."""

    def __init__(self, events: Any, sqs: Any, dynamodb: Any, fault: str | None) -> None:
        self._events = events
        self._sqs = sqs
        self._dynamodb = dynamodb
        self._fault = fault
        self._room = asyncio.Semaphore(MAX_AT_WORK)
        self._tasks: set[asyncio.Task[None]] = set()
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Until `stopping` is set; then what is in hand is finished."""
        stopped = asyncio.create_task(self.stopping.wait())
        while not self.stopping.is_set():
            receiving = asyncio.create_task(self._receive())
            await asyncio.wait({receiving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            receiving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await receiving
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def census(self) -> dict[str, Any]:
        """What has been handled, by type."""
        paginator = self._dynamodb.get_paginator("scan")
        handled: Counter[str] = Counter()
        async for page in paginator.paginate(TableName=TABLE, ConsistentRead=True):
            handled.update(i["type"]["S"] for i in page["Items"] if i["pk"]["S"].startswith("in#"))
        return {
            "service": NAME,
            "sent": {},
            "outbox": {"pending": 0, "parked": 0},
            "handled": dict(handled),
            "dead_lettered": await self._count(await self._url("-dlq")),
        }

    async def check(self) -> None:
        """Raises one of OUTAGE if the queue is out of reach."""
        async with asyncio.timeout(1):
            await self._count(await self._url())

    async def _receive(self) -> None:
        try:
            url = await self._url()
            found = await self._sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=1,
                VisibilityTimeout=VISIBILITY_SECONDS,
            )
        except OUTAGE:
            if self._fault == "dies-of-outage":
                os._exit(1)
            await asyncio.sleep(0.3)
            return
        for message in found.get("Messages", ()):
            await self._room.acquire()
            task = asyncio.create_task(self._settle(url, message["Body"], message["ReceiptHandle"]))
            self._tasks.add(task)
            task.add_done_callback(self._settled)

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        if not task.cancelled() and task.exception() is not None:
            print(f"tried again when it comes again: {task.exception()!r}", flush=True)

    async def _settle(self, url: str, body: str, receipt: str) -> None:
        if self._fault == "dies-of-large" and len(body) > LARGE_BYTES:
            os._exit(1)
        if self._fault == "deletes-first":
            await self._sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt)
            await asyncio.sleep(SLOW_SECONDS)
        try:
            await self._handle(decode(body, self._fault))
        except NeverHandled as reason:
            if not (self._fault == "drops-unknown" and reason.code == "unknown_message"):
                await self._set_aside(body, reason)
        await self._sqs.delete_message(QueueUrl=url, ReceiptHandle=receipt)

    async def _handle(self, message: dict[str, Any]) -> None:
        name = message["type"]
        if self._fault == "forgets-recalls" and name == "RecallParcel":
            return
        key = {
            "no-inbox": f"in#{message['id']}#{uuid.uuid4()}",
            "inbox-in-memory": f"in#{message['id']}#{os.getpid()}",
        }.get(self._fault or "", f"in#{message['id']}")
        known = await self._dynamodb.get_item(
            TableName=TABLE, Key={"pk": {"S": key}}, ConsistentRead=True
        )
        if "Item" in known:
            return
        reply = await (self._send(message) if name == "SendParcel" else self._recall(message))
        entry = {
            "EventBusName": BUS,
            "Source": reply["source"],
            "DetailType": reply["type"],
            "Detail": json.dumps(reply),
        }
        await self._events.put_events(Entries=[entry])
        if self._fault == "new-ids":
            await asyncio.sleep(SLOW_SECONDS)
        await self._dynamodb.put_item(TableName=TABLE, Item={"pk": {"S": key}, "type": {"S": name}})

    async def _send(self, message: dict[str, Any]) -> dict[str, Any]:
        data = message["data"]
        key = {"pk": {"S": f"parcel#{data['parcel_id']}"}}
        found = await self._dynamodb.get_item(TableName=TABLE, Key=key, ConsistentRead=True)
        if "Item" in found:
            refused = {"parcel_id": data["parcel_id"], "reason": "recalled"}
            return answer(message, "ParcelRefused", refused, self._fault)
        sent = {"parcel_id": data["parcel_id"]}
        if "note" in data or self._fault == "null-for-absent":
            sent["note"] = data.get("note")
        return answer(message, "ParcelSent", sent, self._fault)

    async def _recall(self, message: dict[str, Any]) -> dict[str, Any]:
        parcel_id = message["data"]["parcel_id"]
        if self._fault != "forgets-tombstones":
            tombstone = {"pk": {"S": f"parcel#{parcel_id}"}, "type": {"S": "recalled"}}
            await self._dynamodb.put_item(TableName=TABLE, Item=tombstone)
        return answer(message, "ParcelRecalled", {"parcel_id": parcel_id}, self._fault)

    async def _set_aside(self, body: str, reason: NeverHandled) -> None:
        texts = {"reason_code": reason.code, "reason": str(reason)[:1000]}
        attributes = {
            name: {"DataType": "String", "StringValue": text} for name, text in texts.items()
        }
        await self._sqs.send_message(
            QueueUrl=await self._url("-dlq"),
            MessageBody=body,
            MessageAttributes={} if self._fault == "no-reason" else attributes,
        )

    async def _url(self, suffix: str = "") -> str:
        answered = await self._sqs.get_queue_url(QueueName=f"{BUS}-{NAME}{suffix}")
        return str(answered["QueueUrl"])

    async def _count(self, url: str) -> int:
        name = "ApproximateNumberOfMessages"
        answered = await self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return int(answered["Attributes"][name])


def problem(status: int, code: str, detail: str, **headers: str) -> web.Response:
    """A problem document (RFC 9457)."""
    document = {
        "type": f"urn:bookstore:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
    }
    return web.json_response(
        document, status=status, headers=headers, content_type="application/problem+json"
    )


def application(parcels: Parcels, fault: str | None) -> web.Application:
    """Health, metrics and census."""

    @web.middleware
    async def problems(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            return problem(405, "method_not_allowed", "Another method is needed.", Allow=allowed)
        except web.HTTPNotFound:
            if fault == "plain-404":
                raise
            return problem(404, "not_found", "There is nothing here.")

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def ready(_: web.Request) -> web.Response:
        try:
            await parcels.check()
        except OUTAGE:
            return problem(503, "not_ready", "The queue is out of reach.")
        return web.json_response({"status": "ready"})

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text="up 1\n")

    async def census(_: web.Request) -> web.Response:
        return web.json_response(await parcels.census())

    app = web.Application(middlewares=[problems])
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/ops/messages", census)
    return app


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--fault", choices=FAULTS)
    options = parser.parse_args()
    config = AioConfig(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1})
    async with contextlib.AsyncExitStack() as stack:
        session = get_session()
        clients = [
            await stack.enter_async_context(session.create_client(name, config=config))
            for name in ("events", "sqs", "dynamodb")
        ]
        parcels = Parcels(*clients, fault=options.fault)
        if options.fault != "no-drain":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, parcels.stopping.set)
        runner = web.AppRunner(application(parcels, options.fault), access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", options.port).start()
        await parcels.run()


if __name__ == "__main__":
    asyncio.run(main())

"""The event bus, and the EventBridge client of one process.

Guarantee: an entry that is taken reaches the queue of every rule that matches its source and
detail-type, once a rule, as the topology says; unless a twist is asked for.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from botocore.exceptions import ClientError

from contracts.topology import Topology
from faults.gate import Gate
from faults.memory.aws_client import Client, loop_time, refusal
from faults.memory.queues import Queue, uuid_of
from messaging.envelope import MAX_ENTRY_BYTES
from messaging.republish import APPLIED_TAG

# PutEvents takes ten entries a request (EventBridge quotas).
MAX_ENTRIES = 10
# What an entry counts besides its texts ("Calculating event entry size"): its time.
ENTRY_OVERHEAD_BYTES = 14
ACCOUNT, REGION = "000000000000", "us-east-1"

_FIELDS = {"EventBusName", "Source", "DetailType", "Detail"}
_TWISTS = ("partial", "duplicate", "late", "reorder", "lose")


class Bus:
    """The bus, its rules and tags, and what it holds back.

    `late_seconds`, `reorder_seconds`: how long the twists 'late' and 'reorder' hold entries back.
    `epoch_seconds`: what the wall clock shows when the loop's clock shows 0.
    """

    def __init__(
        self,
        topology: Topology,
        queues: Mapping[str, Queue],
        *,
        late_seconds: float,
        reorder_seconds: float,
        epoch_seconds: float,
    ) -> None:
        self.name = topology.bus
        self.arn = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{topology.bus}"
        self.published: list[tuple[float, dict[str, Any]]] = []
        self.tags = {APPLIED_TAG: "true"}
        self._hold_seconds = {"late": late_seconds, "reorder": reorder_seconds}
        self._epoch_seconds = epoch_seconds
        self._targets = _targets(topology, queues)
        # The first bus is as old as the loop's clock.
        self._born = 0.0
        self._events = 0
        self._held: dict[int, asyncio.TimerHandle] = {}

    @property
    def born(self) -> datetime:
        """When this bus was made."""
        return datetime.fromtimestamp(self._epoch_seconds + self._born, UTC)

    def is_idle(self) -> bool:
        """Whether it holds nothing back."""
        return not self._held

    def put(self, entry: Mapping[str, str], twist: str | None) -> dict[str, Any]:
        """Take one entry; its part of the answer of PutEvents."""
        try:
            detail = orjson.loads(entry["Detail"])
        except orjson.JSONDecodeError:
            detail = None
        if not isinstance(detail, dict):
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        now = loop_time()
        self.published.append((now, detail))
        self._events += 1
        event_id = uuid_of(self._events)
        kind = entry["DetailType"]
        queues = self._targets.get((entry["Source"], kind))
        if queues is not None and twist != "lose":
            body = self._event(event_id, entry, now)
            seconds = self._hold_seconds.get(twist or "")
            if seconds is None:
                self._deliver(queues, kind, body, 2 if twist == "duplicate" else 1)
            else:
                number = self._events
                self._held[number] = asyncio.get_running_loop().call_at(
                    now + seconds, self._release, number, queues, kind, body
                )
        return {"EventId": event_id}

    def forget(self) -> None:
        """Become a new bus: only what applying the topology leaves on it, and nothing held back."""
        for handle in self._held.values():
            handle.cancel()
        self._held.clear()
        self.tags = {APPLIED_TAG: "true"}
        self._born = loop_time()

    def _release(self, number: int, queues: Sequence[Queue], kind: str, body: str) -> None:
        del self._held[number]
        self._deliver(queues, kind, body, 1)

    def _deliver(self, queues: Sequence[Queue], kind: str, body: str, copies: int) -> None:
        for queue in queues:
            for _ in range(copies):
                queue.put(body, kind)

    def _event(self, event_id: str, entry: Mapping[str, str], now: float) -> str:
        """The entry as its targets see it ("AWS service event metadata")."""
        time = _time_text(int(self._epoch_seconds + now))
        # A source and a type that stand in a rule have no character that JSON would escape.
        return (
            f'{{"version":"0","id":"{event_id}","detail-type":"{entry["DetailType"]}",'
            f'"source":"{entry["Source"]}","account":"{ACCOUNT}",'
            f'"time":"{time}","region":"{REGION}","resources":[],'
            f'"detail":{entry["Detail"]}}}'
        )


class EventsClient(Client):
    """One bus. The keyword arguments are those of botocore."""

    def __init__(self, gate: Gate, unsupported: list[str], bus: Bus) -> None:
        super().__init__(gate, unsupported)
        self._bus = bus

    async def put_events(
        self, *, Entries: Sequence[Mapping[str, str]], **others: Any
    ) -> dict[str, Any]:
        """The twists: 'partial' refuses the first entry, 'duplicate' delivers each twice, 'late'
        and 'reorder' deliver later, 'lose' takes all and delivers nothing.
        """
        self._refuse_others("put_events", others)
        for entry in Entries:
            if entry.keys() != _FIELDS:
                raise self._missing(f"put_events with an entry of {sorted(entry)}")
            if entry["EventBusName"] != self._bus.name:
                raise self._missing(f"put_events to {entry['EventBusName']}")

        def effect(twist: str | None) -> dict[str, Any]:
            _check(Entries)
            answers = []
            for index, entry in enumerate(Entries):
                if twist == "partial" and index == 0:
                    answers.append({"ErrorCode": "InternalFailure", "ErrorMessage": "Try again."})
                else:
                    answers.append(self._bus.put(entry, twist))
            failed = sum("ErrorCode" in answer for answer in answers)
            return {"FailedEntryCount": failed, "Entries": answers}

        types = [entry["DetailType"] for entry in Entries]
        return await self._pass("put_events", types, effect, _TWISTS)

    async def describe_event_bus(self, *, Name: str, **others: Any) -> dict[str, Any]:
        self._refuse_others("describe_event_bus", others)

        def effect(_: str | None) -> dict[str, Any]:
            if Name != self._bus.name:
                raise _not_found("DescribeEventBus")
            return {"Name": Name, "Arn": self._bus.arn, "CreationTime": self._bus.born}

        return await self._pass("describe_event_bus", [Name], effect)

    async def list_tags_for_resource(self, *, ResourceARN: str, **others: Any) -> dict[str, Any]:
        self._refuse_others("list_tags_for_resource", others)

        def effect(_: str | None) -> dict[str, Any]:
            if ResourceARN != self._bus.arn:
                raise _not_found("ListTagsForResource")
            return {"Tags": [{"Key": k, "Value": v} for k, v in self._bus.tags.items()]}

        return await self._pass("list_tags_for_resource", [ResourceARN], effect)

    async def tag_resource(
        self, *, ResourceARN: str, Tags: Sequence[Mapping[str, str]], **others: Any
    ) -> dict[str, Any]:
        self._refuse_others("tag_resource", others)

        def effect(_: str | None) -> dict[str, Any]:
            if ResourceARN != self._bus.arn:
                raise _not_found("TagResource")
            self._bus.tags.update({tag["Key"]: tag["Value"] for tag in Tags})
            return {}

        return await self._pass("tag_resource", [tag["Key"] for tag in Tags], effect)


@lru_cache
def _time_text(seconds: int) -> str:
    """EventBridge tells the time of an event to the second, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _targets(topology: Topology, queues: Mapping[str, Queue]) -> dict[tuple[str, str], list[Queue]]:
    """For each source and detail-type the queues of the rules that match it."""
    targets: dict[tuple[str, str], list[Queue]] = {}
    for service in topology.services.values():
        for rule in service.rules:
            if rule.pattern.keys() != {"source", "detail-type"}:
                raise NotImplementedError(f"rule {rule.name} with a pattern of {[*rule.pattern]}")
            for source in rule.pattern["source"]:
                for kind in rule.pattern["detail-type"]:
                    targets.setdefault((source, kind), []).append(queues[service.queue.name])
    return targets


def _check(entries: Sequence[Mapping[str, str]]) -> None:
    """What makes EventBridge refuse a whole request."""
    if not 1 <= len(entries) <= MAX_ENTRIES:
        raise refusal("PutEvents", "ValidationException", f"{len(entries)} entries")
    texts = [
        text
        for entry in entries
        for text in (entry["Detail"], entry["Source"], entry["DetailType"])
    ]
    # No character takes more than four bytes, so counting bytes is rarely needed.
    if sum(map(len, texts)) * 4 > MAX_ENTRY_BYTES:
        size = sum(len(text.encode()) for text in texts) + ENTRY_OVERHEAD_BYTES * len(entries)
        if size > MAX_ENTRY_BYTES:
            message = "Total size of the entries in the request is over the limit."
            raise refusal("PutEvents", "ValidationException", message)


def _not_found(operation: str) -> ClientError:
    return refusal(operation, "ResourceNotFoundException", "No such event bus.")

"""Messages as they stand on the bus: those that the kit makes, and those that it has seen.

Guarantee: what is made here obeys the envelope's contract and has ids that were never used before;
spoiling one is the checks' business.
"""

import json
import re
import secrets
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from conformance.contract import Contract

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Message:
    """One EventBridge entry; `detail` is the CloudEvents document in it."""

    source: str
    detail_type: str
    detail: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.detail.get("id"))

    @property
    def subject(self) -> str:
        return str(self.detail.get("subject"))

    @property
    def correlation_id(self) -> str:
        return str(self.detail.get("correlationid"))

    @property
    def causation_id(self) -> str | None:
        return self.detail.get("causationid")

    @property
    def traceparent(self) -> str | None:
        return self.detail.get("traceparent")

    @property
    def data(self) -> Any:
        return self.detail.get("data")

    def event(self) -> dict[str, Any]:
        """As a queue gets it from the bus."""
        return {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": self.detail_type,
            "source": self.source,
            "account": "000000000000",
            "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": "us-east-1",
            "resources": [],
            "detail": dict(self.detail),
        }

    def body(self, **changes: Any) -> str:
        """A queue message's text; `changes` replace fields of the envelope, None removes one."""
        event = self.event()
        event["detail"] |= changes
        for name, value in changes.items():
            if value is None:
                del event["detail"][name]
        if changes.get("type") is not None:
            event["detail-type"] = changes["type"]
        return json.dumps(event)


def make_message(
    contract: Contract,
    name: str,
    data: Mapping[str, Any],
    *,
    correlation_id: str,
    causation_id: str | None = None,
) -> Message:
    """A message that the participant may receive, sent by one who may send it."""
    source = contract.sender(name)
    detail: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": source,
        "type": name,
        "subject": next(texts_in(data), correlation_id),
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "dataschema": contract.dataschema(name),
        "correlationid": correlation_id,
        "traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01",
        "data": dict(data),
    }
    if causation_id is not None:
        detail["causationid"] = causation_id
    return Message(source, name, detail)


def with_fresh_ids(data: Any, known: dict[str, str]) -> Any:
    """The data with each UUID replaced by a fresh one; by the same where `known` has it already."""
    if isinstance(data, Mapping):
        return {key: with_fresh_ids(value, known) for key, value in data.items()}
    if isinstance(data, list):
        return [with_fresh_ids(value, known) for value in data]
    if isinstance(data, str) and _UUID.fullmatch(data):
        return known.setdefault(data, str(uuid.uuid4()))
    return data


def texts_in(data: Any) -> Iterator[str]:
    """Every text in the data, in order."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from texts_in(value)
    elif isinstance(data, list):
        for value in data:
            yield from texts_in(value)


def ids_in(data: Any) -> set[str]:
    """Every UUID in the data."""
    return {text for text in texts_in(data) if _UUID.fullmatch(text)}

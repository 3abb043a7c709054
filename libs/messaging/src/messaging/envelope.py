"""The envelope of every message: a CloudEvents 1.0 document in an EventBridge entry's Detail.

Guarantee: a message's id is a function of what caused it, so handling a message again yields the
same ids, and whoever receives a copy can tell that it is one.
"""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import uuid_utils

from messaging.errors import MalformedMessage, MessageTooLarge

# EventBridge refuses a PutEvents request of more than 256 KB; an entry counts its detail, source,
# detail-type and 14 bytes of time (Amazon EventBridge User Guide, "Calculating event entry size").
MAX_ENTRY_BYTES = 256 * 1024
_ENTRY_OVERHEAD_BYTES = 14
_NAMESPACE = uuid_utils.UUID("6f1c9d52-6a0b-5b7e-9a53-5d1d3c1b7f10")


def utc_now() -> datetime:
    """Wall-clock time, from the one clock that leases and ages are compared by, too."""
    return datetime.fromtimestamp(time.time(), UTC)


def derived_id(cause: str, *parts: object) -> str:
    """A UUID that is the same whenever the same cause leads to the same thing."""
    return str(uuid_utils.uuid5(_NAMESPACE, "/".join((cause, *map(str, parts)))))


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message. `type` is the contract's name, `subject` the business id that it is about.

    `dataschema` names owner, message and major version: `urn:bookstore:catalog:ReserveStock:1`.
    """

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    dataschema: str
    correlation_id: str
    data: Mapping[str, Any]
    causation_id: str | None = None
    traceparent: str | None = None

    @property
    def version(self) -> int:
        """The contract's major version; raises MalformedMessage where there is none."""
        _, _, version = self.dataschema.rpartition(":")
        if not version.isascii() or not version.isdigit():
            raise MalformedMessage(f"dataschema {self.dataschema!r} ends in no version")
        return int(version)

    def encode(self) -> bytes:
        """The CloudEvents JSON; raises MessageTooLarge beyond what the bus takes."""
        document: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": self.time.astimezone(UTC).isoformat(timespec="microseconds"),
            "datacontenttype": "application/json",
            "dataschema": self.dataschema,
            "correlationid": self.correlation_id,
            "data": self.data,
        }
        if self.causation_id is not None:
            document["causationid"] = self.causation_id
        if self.traceparent is not None:
            document["traceparent"] = self.traceparent
        encoded = orjson.dumps(document)
        size = len(encoded) + len(self.source) + len(self.type) + _ENTRY_OVERHEAD_BYTES
        if size > MAX_ENTRY_BYTES:
            raise MessageTooLarge(self.type, size, MAX_ENTRY_BYTES)
        return encoded

    @classmethod
    def decode(cls, document: Any) -> "Envelope":
        """Read a parsed CloudEvents document; raises MalformedMessage that says what is missing."""
        if not isinstance(document, dict):
            raise MalformedMessage("the detail is no JSON object")
        if document.get("specversion") != "1.0":
            raise MalformedMessage(f"specversion is {document.get('specversion')!r}, not '1.0'")
        try:
            fields = {name: document[name] for name in _REQUIRED}
        except KeyError as missing:
            raise MalformedMessage(f"the envelope lacks {missing.args[0]!r}") from None
        for name in _REQUIRED - {"data"}:
            if not isinstance(fields[name], str) or not fields[name]:
                raise MalformedMessage(f"the envelope's {name!r} is no text")
        if not isinstance(fields["data"], dict):
            raise MalformedMessage("the envelope's 'data' is no JSON object")
        try:
            message_id = str(uuid.UUID(fields["id"]))
            sent_at = datetime.fromisoformat(fields["time"])
        except ValueError as error:
            raise MalformedMessage(f"the envelope's id or time is malformed: {error}") from None
        if sent_at.tzinfo is None:
            raise MalformedMessage("the envelope's time has no offset")
        return cls(
            id=message_id,
            source=fields["source"],
            type=fields["type"],
            subject=fields["subject"],
            time=sent_at,
            dataschema=fields["dataschema"],
            correlation_id=fields["correlationid"],
            data=fields["data"],
            causation_id=_text_or_none(document.get("causationid")),
            traceparent=_text_or_none(document.get("traceparent")),
        )


_REQUIRED = frozenset(
    {"id", "source", "type", "subject", "time", "dataschema", "correlationid", "data"}
)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None

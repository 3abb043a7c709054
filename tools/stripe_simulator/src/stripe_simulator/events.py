"""Events: what happened to an object, with the object as it was then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import orjson

API_VERSION = "2026-10-28.endive"


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    created: int
    type: str
    subject: bytes  # The object's JSON at the time.
    metadata: Mapping[str, str]
    request_id: str | None
    idempotency_key: str | None

    @property
    def body(self) -> bytes:
        return orjson.dumps(
            {
                "id": self.id,
                "object": "event",
                "api_version": API_VERSION,
                "created": self.created,
                "data": {"object": orjson.Fragment(self.subject)},
                "livemode": False,
                "pending_webhooks": 0,
                "request": {"id": self.request_id, "idempotency_key": self.idempotency_key},
                "type": self.type,
            }
        )


def matches(event: Event, types: frozenset[str]) -> bool:
    """Whether the type is listed; `*` ends a prefix, as in Stripe's `type=charge.*`."""
    return (
        event.type in types
        or "*" in types
        or any(listed.endswith(".*") and event.type.startswith(listed[:-1]) for listed in types)
    )

"""What one request changed: events to announce, money to book, objects to persist.

The domain fills it in without doing any I/O; the store applies it in one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from stripe_simulator.ledger import MoveKind


class StripeObject(Protocol):
    """An object of the API that knows its own JSON."""

    @property
    def id(self) -> str: ...
    @property
    def metadata(self) -> dict[str, str]: ...
    @property
    def body(self) -> bytes: ...


class Changes:
    __slots__ = ("at", "events", "moves", "touched")

    def __init__(self, at: float) -> None:
        self.at = at
        # Event type, the object as it was at that moment, its metadata.
        self.events: list[tuple[str, bytes, Mapping[str, str]]] = []
        self.moves: list[tuple[MoveKind, str, str, int, str, Mapping[str, str]]] = []
        self.touched: dict[str, StripeObject] = {}

    def announce(self, event_type: str, subject: StripeObject) -> None:
        self.touched[subject.id] = subject
        self.events.append((event_type, subject.body, subject.metadata))

    def book(
        self,
        kind: MoveKind,
        payment_intent: str,
        object_id: str,
        amount: int,
        currency: str,
        metadata: Mapping[str, str],
    ) -> None:
        self.moves.append((kind, payment_intent, object_id, amount, currency, metadata))

"""Faults on request: which calls or webhooks to hit, and what to do to them.

Guarantee: a fault fires by its own counters and its own seeded generator, so the same calls in the
same order meet the same faults.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

REQUEST_OPERATIONS = ("authorize", "capture", "cancel", "refund", "retrieve", "list", "events")
OPERATIONS = (*REQUEST_OPERATIONS, "any", "webhook")
REQUEST_ACTIONS = ("stall", "status", "drop", "rate_limit")
WEBHOOK_ACTIONS = ("delay", "duplicate", "reorder", "lose")
MATCH_FIELDS = (
    "operation", "payment_method", "event_type", "metadata", "nth", "times", "probability", "seed",
)  # fmt: skip
ACTION_FIELDS = ("kind", "when", "seconds", "status", "copies")
MAX_SECONDS = 3600.0
MAX_COPIES = 100


class FaultError(ValueError):
    """A fault that makes no sense; the message names the field and what it may be."""


@dataclass(frozen=True, slots=True)
class Match:
    """All given fields must agree. `nth`: only the nth such call; `times`: only the first ones."""

    operation: str
    payment_method: str | None = None
    event_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    nth: int | None = None
    times: int | None = None
    probability: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Action:
    """stall, status, drop: before or after the call takes effect. Webhooks: the other kinds."""

    kind: str
    when: str = "before"
    seconds: float = 0.0
    status: int = 500
    copies: int = 1


@dataclass(slots=True)
class Fault:
    id: str
    match: Match
    action: Action
    matched: int = 0
    fired: int = 0
    _dice: random.Random = field(default_factory=random.Random, repr=False)

    def __post_init__(self) -> None:
        self._dice.seed(self.match.seed)

    def fires(self, payment_method: str | None, metadata: Mapping[str, str]) -> bool:
        """Count a call of the right operation in, and decide."""
        match = self.match
        if match.payment_method is not None and match.payment_method != payment_method:
            return False
        if any(metadata.get(key) != value for key, value in match.metadata.items()):
            return False
        self.matched += 1
        if match.nth is not None and self.matched != match.nth:
            return False
        if match.times is not None and self.fired >= match.times:
            return False
        if match.probability < 1.0 and self._dice.random() >= match.probability:
            return False
        self.fired += 1
        return True

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "match": asdict(self.match),
            "action": asdict(self.action),
            "matched": self.matched,
            "fired": self.fired,
        }


class Faults:
    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._added = 0

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, document: object) -> Fault:
        """Raises FaultError when the document is not a fault."""
        match, action = parse_fault(document)
        self._added += 1
        fault = Fault(f"fault_{self._added}", match, action)
        self._faults[fault.id] = fault
        return fault

    def remove(self, identifier: str) -> bool:
        return self._faults.pop(identifier, None) is not None

    def clear(self) -> int:
        cleared = len(self._faults)
        self._faults.clear()
        return cleared

    def documents(self) -> list[dict[str, Any]]:
        return [fault.document() for fault in self._faults.values()]

    def for_request(
        self, operation: str, payment_method: str | None, metadata: Mapping[str, str]
    ) -> list[Action]:
        return [
            fault.action
            for fault in self._faults.values()
            if fault.match.operation in (operation, "any") and fault.fires(payment_method, metadata)
        ]

    def for_webhook(self, event_type: str, metadata: Mapping[str, str]) -> list[Action]:
        return [
            fault.action
            for fault in self._faults.values()
            if fault.match.operation == "webhook"
            and fault.match.event_type in (None, event_type)
            and fault.fires(None, metadata)
        ]


def parse_fault(document: object) -> tuple[Match, Action]:
    """`{"match": {...}, "action": {...}}`; raises FaultError naming what is wrong."""
    top = _fields(document, "fault", ("match", "action"))
    match = _fields(top.get("match"), "match", MATCH_FIELDS)
    action = _fields(top.get("action"), "action", ACTION_FIELDS)
    operation = _choice(match, "match.operation", OPERATIONS)
    hooks = operation == "webhook"
    kind = _choice(action, "action.kind", WEBHOOK_ACTIONS if hooks else REQUEST_ACTIONS)
    metadata = match.get("metadata") or {}
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise FaultError("match.metadata must map text to text")
    if "event_type" in match and not hooks:
        raise FaultError("match.event_type needs match.operation to be webhook")
    if "payment_method" in match and hooks:
        raise FaultError("match.payment_method does not apply to webhooks; match metadata")
    return (
        Match(
            operation,
            payment_method=_text(match, "match.payment_method"),
            event_type=_text(match, "match.event_type"),
            metadata=metadata,
            nth=_integer(match, "match.nth", 1, 1_000_000),
            times=_integer(match, "match.times", 1, 1_000_000),
            probability=_number(match, "match.probability", 1.0, 1.0),
            seed=_integer(match, "match.seed", -(1 << 62), 1 << 62) or 0,
        ),
        _parse_action(action, kind),
    )


def _parse_action(action: dict[str, Any], kind: str) -> Action:
    when = "before"
    if "when" in action:
        if kind not in ("stall", "status", "drop"):
            raise FaultError(f"action.when does not apply to {kind}")
        when = _choice(action, "action.when", ("before", "after"))
    if kind in ("stall", "delay") and "seconds" not in action:
        raise FaultError(f"action.seconds is required for {kind}")
    # A webhook held back for the next one is let go after this long in any case.
    seconds = _number(action, "action.seconds", 5.0 if kind == "reorder" else 0.0, MAX_SECONDS)
    status = _integer(action, "action.status", 500, 599)
    copies = _integer(action, "action.copies", 1, MAX_COPIES)
    return Action(kind, when, seconds, status or 500, copies or 1)


def _fields(value: object, name: str, allowed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FaultError(f"{name} must be an object with {', '.join(allowed)}")
    for key in value:
        if key not in allowed:
            raise FaultError(f"{name} has no field {key[:40]!r}; it has {', '.join(allowed)}")
    return value


def _choice(document: dict[str, Any], path: str, choices: tuple[str, ...]) -> str:
    value = document.get(path.rpartition(".")[2])
    if value not in choices:
        raise FaultError(f"{path} must be one of {', '.join(choices)}")
    return str(value)


def _text(document: dict[str, Any], path: str) -> str | None:
    value = document.get(path.rpartition(".")[2])
    if value is not None and not isinstance(value, str):
        raise FaultError(f"{path} must be text")
    return value


def _integer(document: dict[str, Any], path: str, least: int, most: int) -> int | None:
    value = document.get(path.rpartition(".")[2])
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise FaultError(f"{path} must be a whole number from {least} to {most}")
    return value


def _number(document: dict[str, Any], path: str, default: float, most: float) -> float:
    value = document.get(path.rpartition(".")[2])
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise FaultError(f"{path} must be a number from 0 to {most:g}")
    return float(value)

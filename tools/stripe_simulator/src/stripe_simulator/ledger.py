"""The append-only ledger of money moves, seen from outside: what the cards' issuers would say.

Guarantee: one line per move, never changed or removed, written in the same step as the move. This
is what invariants about money are checked against; the API's objects only describe it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

MoveKind = Literal["authorized", "captured", "voided", "refunded", "refund_failed"]
KINDS: tuple[MoveKind, ...] = ("authorized", "captured", "voided", "refunded", "refund_failed")


@dataclass(frozen=True, slots=True)
class Move:
    """One move of `amount` minor units. `metadata` is the intent's when it moved."""

    seq: int
    at: float
    kind: MoveKind
    payment_intent: str
    object_id: str  # The charge, or the refund for the refund kinds.
    amount: int
    currency: str
    metadata: Mapping[str, str]


class Ledger:
    def __init__(self) -> None:
        self.moves: list[Move] = []

    def record(
        self,
        at: float,
        kind: MoveKind,
        payment_intent: str,
        object_id: str,
        amount: int,
        currency: str,
        metadata: Mapping[str, str],
    ) -> Move:
        move = Move(
            len(self.moves) + 1,
            at,
            kind,
            payment_intent,
            object_id,
            amount,
            currency,
            dict(metadata),
        )
        self.moves.append(move)
        return move

    def matching(
        self,
        metadata: Mapping[str, str],
        *,
        payment_intent: str | None = None,
        kind: str | None = None,
        after_seq: int = 0,
    ) -> list[Move]:
        """Moves after `after_seq` whose metadata has all the given entries."""
        return [
            move
            for move in self.moves[after_seq:]
            if (payment_intent is None or move.payment_intent == payment_intent)
            and (kind is None or move.kind == kind)
            and all(move.metadata.get(key) == value for key, value in metadata.items())
        ]


def totals(moves: Iterable[Move]) -> dict[str, dict[str, int]]:
    """Per currency: minor units and number of moves of each kind, `net_minor` = kept money."""
    sums: dict[str, dict[str, int]] = defaultdict(
        lambda: {
            **{f"{kind}_minor": 0 for kind in KINDS},
            **{f"{kind}_count": 0 for kind in KINDS},
            "net_minor": 0,
        }
    )
    signs = {"captured": 1, "refunded": -1, "refund_failed": 1}
    for move in moves:
        row = sums[move.currency]
        row[f"{move.kind}_minor"] += move.amount
        row[f"{move.kind}_count"] += 1
        row["net_minor"] += signs.get(move.kind, 0) * move.amount
    return dict(sums)


def balances(moves: Iterable[Move], by: str) -> dict[str, Any]:
    """Totals per value of metadata key `by`, or per intent for `payment_intent`."""
    groups: dict[str, list[Move]] = defaultdict(list)
    for move in moves:
        groups[move.payment_intent if by == "payment_intent" else move.metadata.get(by, "")].append(
            move
        )
    return {value: totals(group) for value, group in groups.items()}

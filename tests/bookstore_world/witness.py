"""Notes which interesting states a run came through, so that one can see that they were reached.

Guarantee: it only looks; a run with and one without it are the same.
"""

from collections.abc import Mapping
from typing import Any

from bookstore_world.stage import Stage
from catalog_service.tables import RESERVATIONS
from faults.invariants import reached_by, sagas_of
from payment_service.store import PAYMENTS

# What 'sometimes' has to be true over all runs: a test that never gets there shows nothing.
STATES = (
    "a process died",
    "a message was delivered twice",
    "a reply came late",
    "a reservation's tombstone was hit",
    "a payment's tombstone was hit",
    "a command was sent again",
    "a lease was taken over",
    "a saga was compensated",
    "the gateway was asked twice under one key",
    "reconciliation repaired",
    "a saga was parked",
)


def reached(stage: Stage) -> frozenset[str]:
    """Those of STATES that the run came through."""
    seen = {
        "a reply came late": _stale_reply(stage),
        "a reservation's tombstone was hit": _tombstone(stage, "catalog", RESERVATIONS),
        "a payment's tombstone was hit": _tombstone(stage, "payment", PAYMENTS),
        "a lease was taken over": _taken_over(stage),
        "the gateway was asked twice under one key": stage.gateway.replays > 0,
        "reconciliation repaired": any(
            detail["data"].get("repaired") for _, detail in stage.aws.published
        ),
    }
    return reached_by(stage) | {name for name, was in seen.items() if was}


def _stale_reply(stage: Stage) -> bool:
    """A reply that was handled, and that no saga's history has."""
    received = [
        entry["message"]
        for saga in sagas_of(stage)
        for entry in saga["state"]["history"]
        if entry["event"] == "received"
    ]
    replies = [kind for kind in stage.inbox("order") if not kind.endswith("Reconciled")]
    return len(replies) > len(received)


def _taken_over(stage: Stage) -> bool:
    """A process asked for a key that another had left behind."""
    world = stage.world
    return world.crashes > 0 and any(v.site.operation == "update_item" for v in world.visits)


def _tombstone(stage: Stage, service: str, table: Any) -> bool:
    """A row that a compensation made, and an action that came after it."""
    action = "ReserveStock" if service == "catalog" else "AuthorizePayment"
    undone = any(
        row["status"] in ("released", "voided") and not _was_attempted(row)
        for row in stage.databases[service].rows(table)
    )
    return undone and action in stage.inbox(service)


def _was_attempted(row: Mapping[str, Any]) -> bool:
    return bool(row["copies"]) if "copies" in row else row["amount_minor"] is not None

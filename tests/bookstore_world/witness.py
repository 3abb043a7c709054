"""Notes which interesting states a run came through, so that one can see that they were reached.

Guarantee: it only looks; a run with and one without it are the same.
"""

from typing import Any

from bookstore_world.stage import Stage
from catalog_service.tables import RESERVATIONS
from order_service.store import SAGAS_TABLE
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


class Witness:
    """Looks at a stage when its run is over."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def reached(self) -> frozenset[str]:
        """Those of STATES that the run came through."""
        return frozenset(name for name, seen in self._seen() if seen)

    def _seen(self) -> list[tuple[str, bool]]:
        stage = self._stage
        sagas = stage.databases["order"].rows(SAGAS_TABLE)
        events = [entry for saga in sagas for entry in saga["state"]["history"]]
        published = [detail["id"] for _, detail in stage.aws.published]
        return [
            ("a process died", stage.world.crashes > 0),
            ("a message was delivered twice", len(set(published)) < len(published)),
            ("a reply came late", self._stale_reply(sagas)),
            ("a reservation's tombstone was hit", self._tombstone("catalog", RESERVATIONS)),
            ("a payment's tombstone was hit", self._tombstone("payment", PAYMENTS)),
            ("a command was sent again", any(e["event"] == "sent_again" for e in events)),
            ("a lease was taken over", self._taken_over()),
            ("a saga was compensated", any(s["status"] == "compensated" for s in sagas)),
            ("the gateway was asked twice under one key", stage.gateway.replays > 0),
            (
                "reconciliation repaired",
                any(detail["data"].get("repaired") for _, detail in stage.aws.published),
            ),
            ("a saga was parked", any(s["status"] == "parked" for s in sagas)),
        ]

    def _stale_reply(self, sagas: list[dict[str, Any]]) -> bool:
        """A reply that was handled, and that no saga's history has."""
        received = [
            entry["message"]
            for saga in sagas
            for entry in saga["state"]["history"]
            if entry["event"] == "received"
        ]
        inbox = self._stage.inbox("order")
        replies = [kind for kind in inbox if not kind.endswith("Reconciled")]
        return len(replies) > len(received)

    def _taken_over(self) -> bool:
        """A process asked for a key that another had left behind."""
        world = self._stage.world
        return world.crashes > 0 and any(v.site.operation == "update_item" for v in world.visits)

    def _tombstone(self, service: str, table: Any) -> bool:
        """A row that a compensation made, and an action that came after it."""
        action = "ReserveStock" if service == "catalog" else "AuthorizePayment"
        undone = any(
            row["status"] in ("released", "voided") and not self._was_attempted(row)
            for row in self._stage.databases[service].rows(table)
        )
        return undone and action in self._stage.inbox(service)

    def _was_attempted(self, row: dict[str, Any]) -> bool:
        return bool(row["copies"]) if "copies" in row else row["amount_minor"] is not None

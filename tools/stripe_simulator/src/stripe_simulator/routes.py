"""The table of endpoints under /v1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stripe_simulator import payments, queries
from stripe_simulator.calls import Answer, Call


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint and the operation that faults know it by."""

    operation: str
    endpoint: Callable[[Call], Answer]
    expandable: frozenset[str] = frozenset()


CHARGE = frozenset({"latest_charge"})

ROUTES: dict[str, Route] = {
    "POST payment_intents": Route("authorize", payments.create_intent, CHARGE),
    "POST payment_intents/*/confirm": Route("authorize", payments.confirm_intent, CHARGE),
    "POST payment_intents/*/capture": Route("capture", payments.capture_intent, CHARGE),
    "POST payment_intents/*/cancel": Route("cancel", payments.cancel_intent, CHARGE),
    "GET payment_intents/*": Route("retrieve", queries.get_intent, CHARGE),
    "GET payment_intents": Route("list", queries.list_intents, frozenset({"data.latest_charge"})),
    "GET payment_intents/search": Route("list", queries.search_intents),
    "POST refunds": Route("refund", payments.create_refund),
    "GET refunds/*": Route("retrieve", queries.get_refund),
    "GET refunds": Route("list", queries.list_refunds),
    "GET charges/*": Route("retrieve", queries.get_charge),
    "GET charges": Route("list", queries.list_charges),
    "GET events/*": Route("retrieve", queries.get_event),
    "GET events": Route("events", queries.list_events),
}

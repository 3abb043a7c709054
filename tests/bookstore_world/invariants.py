"""What must hold of the bookstore after every step, and at rest: I1 to I10 of the fault catalogue.

Guarantee: each compares things that are kept in different places (the gateway's ledger with the
orders, the shelf with the orders, senders with receivers); nothing here asks the code under test
what it thinks of itself.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bookstore_world.customer import Customer
from bookstore_world.stage import BOOK_ID, PRICE_MINOR, Stage
from catalog_service.tables import BOOKS, RESERVATIONS
from faults.invariants import SAGA_MOVES, died, has_deadline, is_quiet, unheard
from order_service.store import ORDERS, SAGAS_TABLE
from payment_service.store import PAYMENTS

# Where each may go from where it is; written down here on purpose, not read from the services.
_MOVES: Mapping[str, Mapping[str, str]] = {
    "order": {
        "pending": "confirmed rejected",
        "confirmed": "cancelling",
        "cancelling": "cancelled confirmed",
        "rejected": "",
        "cancelled": "",
    },
    "reservation": {
        "held": "sold released expired restocked",
        "released": "sold",
        "expired": "sold restocked",
        "sold": "restocked",
        "restocked": "",
        "refused": "",
    },
    "payment": {
        "authorizing": "authorized declined voided captured refunded refund_pending refund_failed",
        "authorized": "captured voided refunded refund_pending refund_failed",
        "captured": "refund_pending refunded refund_failed",
        "refund_pending": "refunded refund_failed",
        "refunded": "refund_failed",
        "declined": "",
        "voided": "",
        "refund_failed": "",
    },
    "saga": SAGA_MOVES,
}


_ANSWERS: Mapping[str, str] = {
    "ReserveStock": "StockReserved StockUnavailable",
    "AuthorizePayment": "PaymentAuthorized PaymentDeclined",
    "CapturePayment": "PaymentCaptured",
    "VoidPayment": "PaymentVoided",
    "ReleaseStock": "StockReleased",
    "RefundPayment": "PaymentRefunded PaymentRefundFailed",
    "RestockItems": "ItemsRestocked",
}


class StepInvariants:
    """I2 and I3 after every commit: stock adds up, and nothing leaves its state machine."""

    def __init__(self, stage: Stage) -> None:
        self.broken: list[str] = []
        self._stage = stage
        self._seen: dict[tuple[str, str], str] = {}
        stage.world.on_step.append(self._look)

    def _look(self, process: str, operation: str) -> None:
        if operation in ("read", "begin", "receive_message", "put_events"):
            return
        service = process.partition("-")[0]
        if service == "catalog":
            self._look_at_shelf()
            self._moved("reservation", RESERVATIONS, "order_id")
        elif service == "payment":
            self._moved("payment", PAYMENTS, "payment_id")
        elif service == "order":
            self._moved("order", ORDERS, "order_id")
            self._moved("saga", SAGAS_TABLE, "id", "saga")

    def _look_at_shelf(self) -> None:
        for book in self._stage.databases["catalog"].rows(BOOKS):
            counts = (book["on_hand"], book["reserved"], book["sold"])
            if min(counts) < 0 or sum(counts) != book["received"]:
                self.broken.append(f"I2 stock: {counts} of {book['received']} copies")

    def _moved(self, what: str, table: Any, *keys: str) -> None:
        for row in self._stage.databases[_SERVICE_OF[what]].rows(table):
            key = (what, "/".join(row[key] for key in keys))
            before, now = self._seen.get(key), row["status"]
            if before == now:
                continue
            self._seen[key] = now
            if before is not None and now not in _MOVES[what][before].split():
                self.broken.append(f"I3 transition: a {what} went from {before} to {now}")


_SERVICE_OF = {"order": "order", "saga": "order", "reservation": "catalog", "payment": "payment"}


def at_rest(stage: Stage) -> bool:
    """Whether nothing is under way any more, nor will be by itself."""
    if not is_quiet(stage) or not stage.gateway.is_idle:
        return False
    orders = stage.databases["order"].rows(ORDERS)
    if any(order["status"] in ("pending", "cancelling") for order in orders):
        return not has_deadline(stage)
    if not stage.reconcile:
        return True
    if any(order["reconciled_at"] is None for order in orders):
        return False
    payments = stage.databases["payment"].rows(PAYMENTS)
    return not any(p["status"] in ("authorizing", "refund_pending") for p in payments)


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What people have to look at in the end, and what therefore has to be there: dead letters by
    their reasons, parked sagas, and parked outbox rows by the bus's reasons.
    """

    letters: tuple[str, ...] = ()
    sagas: int = 0
    rows: tuple[str, ...] = ()


NOTHING = Leftovers()


def broken_at_rest(stage: Stage, customer: Customer, leftovers: Leftovers) -> Iterator[str]:
    """Every invariant of a world at rest that does not hold."""
    orders = {row["order_id"]: row for row in stage.databases["order"].rows(ORDERS)}
    if not leftovers.sagas:
        yield from _money(stage, orders)
        yield from _stock(stage, orders)
    yield from _sagas(stage, orders, leftovers.sagas)
    yield from _letters(stage, leftovers)
    yield from unheard(stage, leftovers.rows)
    yield from _told(stage, orders)
    yield from died(stage)
    for order_id in customer.acknowledged:
        if order_id not in orders:
            yield f"I9 acknowledged: order {order_id} does not exist"
    if len(orders) > customer.asked:
        yield f"I6 twice: {len(orders)} orders for {customer.asked} keys"


def _money(stage: Stage, orders: Mapping[str, Any]) -> Iterator[str]:
    ours = {order["payment_id"]: order for order in orders.values()}
    moves: dict[str, Counter[str]] = {payment_id: Counter() for payment_id in ours}
    sums: Counter[str] = Counter()
    sent_back = {
        row["payment_id"]
        for row in stage.databases["payment"].rows(PAYMENTS)
        if row["status"] == "refund_failed"
    }
    for move in stage.gateway.store.ledger.moves:
        payment_id = move.metadata.get("payment_id", "")
        moves.setdefault(payment_id, Counter())[move.kind] += 1
        sums[payment_id] += {"captured": move.amount, "refunded": -move.amount}.get(move.kind, 0)
        if move.kind == "refund_failed":
            sums[payment_id] += move.amount
    for payment_id, kinds in moves.items():
        order = ours.get(payment_id)
        is_paid = order is not None and order["status"] in ("confirmed", "cancelling")
        # The bank has sent the refund back days later: people have to see to it, and are told.
        is_paid = is_paid or payment_id in sent_back
        expected = order["total_minor"] if order is not None and is_paid else 0
        status = order["status"] if order is not None else "unknown"
        if sums[payment_id] != expected:
            yield f"I1 money: an order that is {status} has cost {sums[payment_id]}, not {expected}"
        if kinds["captured"] and status == "rejected":
            yield "I1 money: a rejected order was charged, and its money given back"
        if kinds["captured"] > 1 or kinds["refunded"] > 1:
            yield f"I6 twice: one payment's moves are {dict(kinds)}"
        held = kinds["authorized"] - kinds["captured"] - kinds["voided"]
        if held:
            yield f"I1 money: {held} holds are left of an order that is {status}"
    for row in stage.databases["payment"].rows(PAYMENTS):
        kinds = moves.get(row["payment_id"], Counter())
        expected = _STATUS_OF_MOVES.get(frozenset(kinds))
        if expected is not None and row["status"] not in expected.split():
            yield f"I1 money: a payment is {row['status']}, and its moves are {dict(kinds)}"
    captured = sum(each for each in sums.values() if each > 0)
    copies = sum(book["sold"] for book in stage.databases["catalog"].rows(BOOKS))
    if not sent_back and captured != copies * PRICE_MINOR:
        yield f"I1 money: {captured} were paid for {copies} copies at {PRICE_MINOR}"


# What a payment's row has to say for what the gateway's ledger shows.
_STATUS_OF_MOVES: Mapping[frozenset[str], str] = {
    frozenset({"authorized"}): "authorized",
    # A hold that somebody else has made is let go of, and changes nothing.
    frozenset({"authorized", "voided"}): "voided declined",
    frozenset({"authorized", "captured"}): "captured",
    frozenset({"authorized", "captured", "refunded"}): "refunded refund_pending",
    frozenset(): "declined voided",
}


def _stock(stage: Stage, orders: Mapping[str, Any]) -> Iterator[str]:
    copies = sum(
        line["quantity"]
        for order in orders.values()
        if order["status"] in ("confirmed", "cancelling")
        for line in order["lines"]
    )
    for book in stage.databases["catalog"].rows(BOOKS):
        if book["book_id"] == BOOK_ID and book["sold"] != copies:
            yield f"I2 stock: {book['sold']} copies are sold, and {copies} were ordered"
        refused = [
            sum(line["quantity"] for line in order["lines"])
            for order in orders.values()
            if order["reason"] == "out_of_stock"
        ]
        returned = sum(
            sum(line["quantity"] for line in order["lines"])
            for order in orders.values()
            if order["status"] in ("rejected", "cancelled") and order["reason"] != "out_of_stock"
        )
        if refused and book["on_hand"] - returned >= min(refused):
            yield f"I2 stock: {min(refused)} copies were refused, and {book['on_hand']} are left"
        if book["reserved"]:
            yield f"I2 stock: {book['reserved']} copies are left reserved"


def _sagas(stage: Stage, orders: Mapping[str, Any], parked: int) -> Iterator[str]:
    sagas = stage.databases["order"].rows(SAGAS_TABLE)
    found = sum(saga["status"] == "parked" for saga in sagas)
    if found != parked:
        yield f"I4 parked: {found} sagas are parked, not {parked}"
    for saga in sagas:
        if saga["status"] == "parked":
            continue
        if saga["status"] not in ("completed", "compensated"):
            yield f"I4 terminal: {saga['saga']} is left {saga['status']}"
        yield from _unasked(saga)
        if saga["deadline_at"] is not None and saga["status"] in ("completed", "compensated"):
            yield f"I4 timer: {saga['saga']} is {saga['status']} and has a deadline"
    started = {saga["id"] for saga in sagas if saga["saga"] == "place_order"}
    if started != set(orders):
        yield "I4 terminal: an order has no saga, or a saga no order"
    for order in orders.values():
        if order["status"] in ("pending", "cancelling") and not parked:
            yield f"I4 terminal: an order is left {order['status']}"
    for payment in stage.databases["payment"].rows(PAYMENTS):
        if payment["status"] in ("authorizing", "refund_pending"):
            yield f"I4 terminal: a payment is left {payment['status']}"


def _unasked(saga: Mapping[str, Any]) -> Iterator[str]:
    """I3: a saga moves only by an answer to what it has asked last."""
    asked = ""
    for entry in saga["state"]["history"]:
        if entry["event"] in ("sent", "sent_again"):
            asked = entry["message"]
        elif entry["event"] == "received" and entry["message"] not in _ANSWERS[asked].split():
            yield f"I3 causality: a saga took {entry['message']} for an answer to {asked}"


def _told(stage: Stage, orders: Mapping[str, Any]) -> Iterator[str]:
    """I6 and I7: the customer hears each outcome once, in the order in which it came about."""
    told: dict[str, list[str]] = {order_id: [] for order_id in orders}
    outbox = stage.databases["order"].rows(stage.services["order"].tables.outbox)
    for row in sorted(outbox, key=lambda row: row["position"]):
        if row["type"] in ("OrderConfirmed", "OrderRejected", "OrderCancelled"):
            told.setdefault(row["subject"], []).append(row["type"])
    for order_id, kinds in told.items():
        status = orders[order_id]["status"] if order_id in orders else "unknown"
        if status in _TOLD and " ".join(kinds) != _TOLD[status]:
            heard = ", ".join(kinds) or "nothing"
            yield f"I6 twice: a customer whose order is {status} was told {heard}"


_TOLD: Mapping[str, str] = {
    "pending": "",
    "rejected": "OrderRejected",
    "confirmed": "OrderConfirmed",
    "cancelling": "OrderConfirmed",
    "cancelled": "OrderConfirmed OrderCancelled",
}


def _letters(stage: Stage, leftovers: Leftovers) -> Iterator[str]:
    """I4: there are dead letters for these reasons, however many, and for no other."""
    reasons = sorted({r for name in stage.services for _, r in stage.dead_letters(name)})
    if reasons != sorted(leftovers.letters):
        yield f"I4 parked: dead letters for {reasons}, not {sorted(leftovers.letters)}"

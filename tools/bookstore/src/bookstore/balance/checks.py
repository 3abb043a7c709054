"""The invariants over a bookstore's evidence; pure.

Guarantee: no I/O; each check compares two numbers that come from different places (the gateway's
ledger and the orders, the catalog and the orders, senders and receivers), never a number with
itself.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts import Topology

# A refusal that the business knows; any other says that a fault cost a customer their order.
BUSINESS_REFUSALS = frozenset(
    {
        "unknown_book",
        "out_of_stock",
        "price_changed",
        "card_declined",
        "insufficient_funds",
        "expired_card",
        "authentication_required",
        "processing_error",
    }
)
# What a customer has been told of once an order has come so far.
MAILS_OF_STATUS = {
    "confirmed": ("confirmed",),
    "rejected": ("rejected",),
    "cancelled": ("confirmed", "refunded", "cancelled"),
}
MAIL_STAGES = {"confirmed": 1, "refunded": 2, "cancelled": 3}
FINAL_SAGA_STATES = frozenset({"completed", "compensated"})
Ledger = Mapping[str, Mapping[str, Mapping[str, int]]]  # key -> currency -> sums and counts


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """What the sheet needs of an order."""

    order_id: str
    payment_id: str
    status: str
    reason: str | None
    total_minor: int
    currency: str
    copies: int

    @property
    def is_paid_for(self) -> bool:
        """Whether its money is ours: it is confirmed, and not on its way back."""
        return self.status == "confirmed"


@dataclass(frozen=True, slots=True)
class Movements:
    """What tells whether anything is under way: GET /ops/sagas, and /ops/messages by service."""

    sagas: Mapping[str, Mapping[str, int]]
    messages: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All documents of one moment; the ledgers are the gateway's balances by metadata key.

    `mails` counts by kind and state; `mailbox` names what the mail service was handed, in order
    (None where it does not tell). `shipments` counts by status.
    """

    orders: Sequence[OrderRecord]
    movements: Movements
    stock: Mapping[str, int]
    ledger_by_order: Ledger
    ledger_by_payment: Ledger
    mails: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    mailbox: Sequence[str] | None = None
    shipments: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the sheet: what was counted, what it must be, and where to look if it is not."""

    invariant: str
    claim: str
    counted: str
    must_be: str
    holds: bool
    look_at: str = ""


@dataclass(slots=True)
class _Traffic:
    """Messages to one service: how many should have come, did come, and ended as dead letters."""

    sent: int = 0
    handled: int = 0
    dead_lettered: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    surplus: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        """Sent, yet neither handled nor kept as a dead letter (or still on the way)."""
        return max(self.missing.total() - self.dead_lettered, 0)


def sheet(
    evidence: Evidence, topology: Topology, acknowledged: Collection[str] = ()
) -> list[Check]:
    """All checks, in the order of the invariants."""
    return [
        *_money(evidence),
        *_stock(evidence),
        *_sagas(evidence),
        *_messages(evidence.movements, topology),
        *_charges(evidence.ledger_by_payment),
        _shipments(evidence),
        *_mails(evidence),
        _refusals(evidence.orders, acknowledged),
        _acknowledged(evidence, acknowledged),
    ]


def still_moving(movements: Movements, topology: Topology) -> list[str]:
    """What has not come to rest, in words; empty at rest. A parked saga or row is at rest."""
    moving = [
        f"{count} {saga} sagas {status}"
        for saga, counts in movements.sagas.items()
        for status, count in counts.items()
        if count and status not in FINAL_SAGA_STATES | {"parked"}
    ]
    for name, census in movements.messages.items():
        if census["outbox"]["pending"]:
            moving.append(f"{census['outbox']['pending']} messages in the outbox of {name}")
    for name, traffic in _traffic(movements, topology).items():
        if traffic.lost:
            moving.append(f"{traffic.lost} messages on their way to {name}")
        if traffic.surplus:
            # A sender whose memory an emulator has lost tells it all again, but not at once.
            count = traffic.surplus.total()
            moving.append(f"{count} messages that {name} knows and their sender does not (yet)")
    return moving


def _money(evidence: Evidence) -> list[Check]:
    checks: list[Check] = []
    expected: Counter[str] = Counter()
    for order in evidence.orders:
        expected[order.currency] += order.total_minor if order.is_paid_for else 0
    kept: Counter[str] = Counter()
    for sums in evidence.ledger_by_order.values():
        for currency, row in sums.items():
            kept[currency.upper()] += row["net_minor"]
    for currency in sorted(expected.keys() | kept.keys()) or ["EUR"]:
        checks.append(
            Check(
                "I1",
                "the gateway kept what the confirmed orders come to",
                money(kept[currency], currency),
                money(expected[currency], currency),
                kept[currency] == expected[currency],
                "GET /_simulator/ledger/balances?by=order_id of the Stripe simulator",
            )
        )
    wrong = _orders_with_wrong_money(evidence)
    checks.append(
        Check(
            "I1",
            "orders whose own balance at the gateway is right",
            f"{len(evidence.orders) - len(wrong):,}",
            f"{len(evidence.orders):,}",
            not wrong,
            _first("order", wrong),
        )
    )
    held = [
        order_id
        for order_id, sums in evidence.ledger_by_order.items()
        if any(_open_holds(row) for row in sums.values())
    ]
    checks.append(
        Check(
            "I1", "holds on customers' money that nobody took or let go",
            str(len(held)), "0", not held, _first("order", held),
        )
    )  # fmt: skip
    return checks


def _orders_with_wrong_money(evidence: Evidence) -> list[str]:
    wrong: list[str] = []
    for order in evidence.orders:
        sums = evidence.ledger_by_order.get(order.order_id, {})
        kept = {currency.upper(): row["net_minor"] for currency, row in sums.items()}
        expected = {order.currency: order.total_minor if order.is_paid_for else 0}
        if any(kept.get(currency, 0) != expected.get(currency, 0) for currency in kept | expected):
            wrong.append(order.order_id)
    known = {order.order_id for order in evidence.orders}
    return wrong + [order_id for order_id in evidence.ledger_by_order if order_id not in known]


def _open_holds(row: Mapping[str, int]) -> bool:
    return row["authorized_count"] > row["captured_count"] + row["voided_count"]


def _stock(evidence: Evidence) -> list[Check]:
    stock = evidence.stock
    there = stock["on_hand"] + stock["reserved"] + stock["sold"]
    sold = sum(order.copies for order in evidence.orders if order.is_paid_for)
    look = "GET /ops/stock of the catalog"
    return [
        _equal("I2", "on hand + reserved + sold = received", there, stock["received"], look),
        _equal("I2", "books whose own stock does not add up", stock["unbalanced"], 0, look),
        _equal("I2", "copies reserved though no order is under way", stock["reserved"], 0, look),
        _equal("I2", "copies sold = copies in confirmed orders", stock["sold"], sold, look),
    ]


def _sagas(evidence: Evidence) -> list[Check]:
    sagas = evidence.movements.sagas
    total = sum(sum(counts.values()) for counts in sagas.values())
    ended = sum(counts.get(state, 0) for counts in sagas.values() for state in FINAL_SAGA_STATES)
    look = "GET /ops/sagas of order, and the log of order-worker"
    places = sum(sagas.get("place_order", {}).values())
    return [
        _equal("I4", "sagas that came to their end, none parked", ended, total, look),
        _equal("I4", "one saga for each order placed", places, len(evidence.orders), look),
    ]


def _messages(movements: Movements, topology: Topology) -> list[Check]:
    checks: list[Check] = []
    for name, traffic in _traffic(movements, topology).items():
        kinds = ", ".join(sorted({*traffic.missing, *traffic.surplus}))
        dead = f" + {traffic.dead_lettered:,} dead" if traffic.dead_lettered else ""
        checks.append(
            Check(
                "I5",
                f"messages to {name}: handled as often as sent",
                f"{traffic.handled:,}{dead}",
                f"{traffic.sent:,}",
                not traffic.lost and not traffic.surplus,
                f"{kinds or 'dead letters'}: GET /ops/messages of sender and receiver",
            )
        )
    unsent = {
        name: census["outbox"]["pending"] + census["outbox"]["parked"]
        for name, census in movements.messages.items()
    }
    stuck = ", ".join(name for name, count in unsent.items() if count)
    look = f"the outbox of {stuck}"
    checks.append(
        _equal("I5", "messages left in an outbox, or parked there", sum(unsent.values()), 0, look)
    )
    return checks


def _traffic(movements: Movements, topology: Topology) -> dict[str, _Traffic]:
    """By receiving service; only services that were asked count as receivers."""
    sent: Counter[str] = Counter()
    for census in movements.messages.values():
        sent.update(census["sent"])
    traffic: dict[str, _Traffic] = {}
    for name, census in movements.messages.items():
        flow = _Traffic(dead_lettered=census["dead_lettered"])
        for kind in topology.services[name].receives:
            handled = census["handled"].get(kind, 0)
            flow.sent += sent[kind]
            flow.handled += handled
            if handled < sent[kind]:
                flow.missing[kind] = sent[kind] - handled
            elif handled > sent[kind]:
                flow.surplus[kind] = handled - sent[kind]
        traffic[name] = flow
    return traffic


def _charges(ledger: Ledger) -> list[Check]:
    return [
        _at_most_once(ledger, "captured", "captures, at most one for each payment"),
        _at_most_once(ledger, "refunded", "refunds, at most one for each payment"),
    ]


def _at_most_once(ledger: Ledger, kind: str, claim: str) -> Check:
    counts = {
        key: sum(row[f"{kind}_count"] for row in sums.values()) for key, sums in ledger.items()
    }
    payments = [key for key, count in counts.items() if count]
    twice = [key for key in payments if counts[key] > 1]
    look = _first("payment", twice)
    return _equal("I6", claim, sum(counts.values()), len(payments), look)


def _mails(evidence: Evidence) -> list[Check]:
    """A record for each outcome, and at the mail service what the records say was sent."""
    outcomes = Counter(
        kind for order in evidence.orders for kind in MAILS_OF_STATUS.get(order.status, ())
    )
    owed = Counter({kind: sum(states.values()) for kind, states in evidence.mails.items()})
    look = "GET /ops/mails of notification, and the log of notification-worker"
    checks = [
        Check(
            "I6",
            "outcomes of orders, each with one mail about it",
            f"{owed.total():,}",
            f"{outcomes.total():,}",
            +owed == +outcomes,
            look,
        )
    ]
    if evidence.mailbox is None:
        return checks
    sent = sum(states.get("sent", 0) for states in evidence.mails.values())
    # Begun by a worker that died: it may have been sent, and is never sent again.
    unknown = sum(states.get("unknown", 0) for states in evidence.mails.values())
    counts = Counter(evidence.mailbox)
    twice = [name for name, count in counts.items() if count > 1]
    late = _out_of_order(evidence.mailbox)
    return [
        *checks,
        Check(
            "I6",
            "mails that the mail service was handed, none twice",
            f"{len(evidence.mailbox):,}",
            f"{sent:,}" + (f" to {sent + unknown:,}" if unknown else ""),
            not twice and sent <= len(counts) <= sent + unknown,
            _first("mail", twice) or look,
        ),
        _equal("I7", "mails that came after a later one", len(late), 0, _first("mail", late)),
    ]


def _shipments(evidence: Evidence) -> Check:
    """A parcel for each order that was ever confirmed; of a cancelled one it comes back."""
    confirmed = sum(order.status in ("confirmed", "cancelled") for order in evidence.orders)
    shipments = sum(evidence.shipments.values())
    look = "GET /ops/shipments of fulfillment, and the log of fulfillment-worker"
    return _equal("I6", "confirmed orders, each with one parcel", shipments, confirmed, look)


def _out_of_order(mailbox: Sequence[str]) -> list[str]:
    """Mails about an order that were sent after one that tells of something later."""
    reached: dict[str, int] = {}
    late: list[str] = []
    for name in mailbox:
        order_id, _, kind = name.partition("/")
        stage = MAIL_STAGES.get(kind, 0)
        if stage < reached.get(order_id, 0):
            late.append(name)
        reached[order_id] = max(stage, reached.get(order_id, 0))
    return late


def _refusals(orders: Sequence[OrderRecord], acknowledged: Collection[str]) -> Check:
    """Rejections that no refusal of the business explains, such as a step that ran out of time.

    Of the given orders, or of all if none are given.

    A stack that is stopped for longer than a saga's deadline loses orders rightly. So who knows
    that the own orders met no such thing names them, and older ones do not count.
    """
    unexplained = [
        order.order_id
        for order in orders
        if order.status == "rejected"
        and order.reason not in BUSINESS_REFUSALS
        and (not acknowledged or order.order_id in acknowledged)
    ]
    claim = "rejected for no business reason"
    whose = "orders of this run" if acknowledged else "orders"
    look = _first("order", unexplained)
    return _equal("I8", f"{whose} {claim}", len(unexplained), 0, look)


def _acknowledged(evidence: Evidence, acknowledged: Collection[str]) -> Check:
    """Whoever was promised an order, or was asked for its money, must find it."""
    witnessed = {*acknowledged, *evidence.ledger_by_order}
    known = {order.order_id for order in evidence.orders}
    look = _first("order", sorted(witnessed - known))
    found = len(witnessed & known)
    whose = "accepted, or known to the gateway," if acknowledged else "known to the gateway"
    return _equal("I9", f"orders {whose} that exist", found, len(witnessed), look)


def _equal(invariant: str, claim: str, counted: int, must_be: int, look_at: str) -> Check:
    return Check(invariant, claim, f"{counted:,}", f"{must_be:,}", counted == must_be, look_at)


def _first(what: str, ids: Sequence[str]) -> str:
    if not ids:
        return ""
    more = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
    return f"{what} {ids[0]}{more}"


def money(amount_minor: int, currency: str) -> str:
    """1234 EUR minor units as '12.34 EUR'; every currency of the bookstore has two decimals."""
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{abs(amount_minor) // 100:,}.{abs(amount_minor) % 100:02d} {currency}"

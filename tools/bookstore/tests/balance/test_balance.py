"""The balance sheet: it is green on sound evidence, and each invariant's breach turns its line red.

Each breach changes one number of one source, as a bug would.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from bookstore.balance import Check, Endpoints, Evidence, Movements, UnreachableError, sheet
from bookstore.balance.checks import OrderRecord, money, still_moving
from bookstore.balance.evidence import balance_sheet
from contracts import load_topology

TOPOLOGY = load_topology()


def an_order(
    number: int, status: str, *, copies: int = 1, reason: str | None = None
) -> OrderRecord:
    return OrderRecord(f"o{number}", f"p{number}", status, reason, 1000 * number, "EUR", copies)


def ledger_row(amount: int, *, captured: int = 0, voided: int = 0, refunded: int = 0) -> Any:
    return {
        "eur": {
            "authorized_minor": amount, "captured_minor": amount * captured,
            "voided_minor": amount * voided, "refunded_minor": amount * refunded,
            "refund_failed_minor": 0,
            "authorized_count": 1, "captured_count": captured, "voided_count": voided,
            "refunded_count": refunded, "refund_failed_count": 0,
            "net_minor": amount * (captured - refunded),
        }
    }  # fmt: skip


def sound_evidence() -> Evidence:
    """Two orders confirmed, one cancelled, one declined, one out of stock, one given up."""
    orders = [
        an_order(1, "confirmed", copies=2),
        an_order(2, "confirmed"),
        an_order(3, "cancelled"),
        an_order(4, "rejected", reason="card_declined"),
        an_order(5, "rejected", reason="out_of_stock"),
        an_order(6, "rejected", reason="insufficient_funds"),
    ]
    moves = {
        1: ledger_row(1000, captured=1),
        2: ledger_row(2000, captured=1),
        3: ledger_row(3000, captured=1, refunded=1),
        6: ledger_row(6000, voided=1),
    }
    sagas = {
        "place_order": {
            "running": 0, "compensating": 0, "completed": 3, "compensated": 3, "parked": 0
        },
        "cancel_order": {
            "running": 0, "compensating": 0, "completed": 1, "compensated": 0, "parked": 0
        },
    }  # fmt: skip
    return Evidence(
        orders=orders,
        movements=Movements(sagas, sound_messages()),
        stock={
            "books": 2, "on_hand": 97, "reserved": 0, "sold": 3, "received": 100, "unbalanced": 0
        },
        ledger_by_order={f"o{number}": deepcopy(row) for number, row in moves.items()},
        ledger_by_payment={f"p{number}": deepcopy(row) for number, row in moves.items()},
        mails={
            "confirmed": {"sent": 3},
            "rejected": {"sent": 2, "withheld": 1},
            "refunded": {"sent": 1},
            "cancelled": {"unknown": 1},
        },
        # The cancellation's worker died; it was sent all the same.
        mailbox=[
            *("o1/confirmed", "o2/confirmed", "o3/confirmed", "o4/rejected", "o5/rejected"),
            *("o3/refunded", "o3/cancelled"),
        ],
        shipments={"packing": 1, "delivered": 1, "withdrawn": 1},
    )  # fmt: skip


def sound_messages() -> dict[str, dict[str, Any]]:
    order = {"ReserveStock": 6, "AuthorizePayment": 5, "OrderConfirmed": 3, "OrderRejected": 3}
    catalog = {"StockReserved": 5, "StockUnavailable": 1, "StockLevelChanged": 4}
    return {
        "order": census("order", sent=order, handled={"StockReserved": 5, "StockUnavailable": 1}),
        "catalog": census(
            "catalog", sent=catalog, handled={"ReserveStock": 6, "OrderConfirmed": 3}
        ),
        "payment": census("payment", sent={}, handled={"AuthorizePayment": 5}),
    }


def census(service: str, *, sent: Mapping[str, int], handled: Mapping[str, int]) -> dict[str, Any]:
    return {
        "service": service,
        "sent": dict(sent),
        "outbox": {"pending": 0, "parked": 0},
        "handled": dict(handled),
        "dead_lettered": 0,
    }


def failed(evidence: Evidence, acknowledged: tuple[str, ...] = ()) -> list[Check]:
    return [check for check in sheet(evidence, TOPOLOGY, acknowledged) if not check.holds]


def test_sound_evidence_passes_every_check() -> None:
    checks = sheet(sound_evidence(), TOPOLOGY, ["o1", "o4"])
    assert [check for check in checks if not check.holds] == []
    assert {check.invariant for check in checks} == {
        "I1", "I2", "I4", "I5", "I6", "I7", "I8", "I9",
    }  # fmt: skip


def test_an_empty_stack_passes_every_check() -> None:
    nothing = {name: census(name, sent={}, handled={}) for name in ("order", "catalog", "payment")}
    stock = dict.fromkeys(("books", "on_hand", "reserved", "sold", "received", "unbalanced"), 0)
    assert failed(Evidence([], Movements({}, nothing), stock, {}, {})) == []


def captured_twice(evidence: Evidence) -> None:
    for ledger, key in ((evidence.ledger_by_order, "o2"), (evidence.ledger_by_payment, "p2")):
        row: Any = ledger[key]["eur"]
        row["captured_count"], row["authorized_count"], row["net_minor"] = 2, 2, 4000


def refunded_twice(evidence: Evidence) -> None:
    for ledger, key in ((evidence.ledger_by_order, "o3"), (evidence.ledger_by_payment, "p3")):
        row: Any = ledger[key]["eur"]
        row["refunded_count"], row["net_minor"] = 2, -3000


def money_at_the_wrong_orders(evidence: Evidence) -> None:
    """The totals agree; only order by order is it seen."""
    first: Any = evidence.ledger_by_order["o1"]["eur"]
    second: Any = evidence.ledger_by_order["o2"]["eur"]
    first["net_minor"], second["net_minor"] = 2000, 1000


def hold_left_open(evidence: Evidence) -> None:
    row: Any = evidence.ledger_by_order["o6"]["eur"]
    row["voided_count"] = 0


def money_for_an_unknown_order(evidence: Evidence) -> None:
    ledger: Any = evidence.ledger_by_order
    ledger["o99"] = ledger_row(500, captured=1, refunded=1)


def number(name: str, value: int) -> Callable[[Evidence], None]:
    def change(evidence: Evidence) -> None:
        stock: Any = evidence.stock
        stock[name] = value

    return change


def saga_state(saga: str, **counts: int) -> Callable[[Evidence], None]:
    def change(evidence: Evidence) -> None:
        sagas: Any = evidence.movements.sagas
        sagas[saga].update(counts)

    return change


def message_count(service: str, table: str, kind: str, count: int) -> Callable[[Evidence], None]:
    def change(evidence: Evidence) -> None:
        messages: Any = evidence.movements.messages
        messages[service][table][kind] = count

    return change


def mail_count(kind: str, state: str, count: int) -> Callable[[Evidence], None]:
    def change(evidence: Evidence) -> None:
        mails: Any = evidence.mails
        mails[kind][state] = count

    return change


def mailed(name: str, place: int = 99) -> Callable[[Evidence], None]:
    def change(evidence: Evidence) -> None:
        mailbox: Any = evidence.mailbox
        mailbox.insert(place, name)

    return change


def mails_never_arrived(evidence: Evidence) -> None:
    """One may be missing, whose outcome was never learnt."""
    mailbox: Any = evidence.mailbox
    del mailbox[:2]


def mails_changed_places(evidence: Evidence) -> None:
    mailbox: Any = evidence.mailbox
    mailbox.remove("o3/confirmed")
    mailbox.append("o3/confirmed")


def parcels(**counts: int) -> Callable[[Evidence], None]:
    def change(evidence: Evidence) -> None:
        shipments: Any = evidence.shipments
        shipments.update(counts)

    return change


def refused_without_reason(evidence: Evidence) -> None:
    orders: Any = evidence.orders
    orders[3] = replace(orders[3], reason="authorize_payment_timeout")


BREACHES: list[tuple[Callable[[Evidence], None], set[str]]] = [
    (captured_twice, {"I1", "I6"}),
    (refunded_twice, {"I1", "I6"}),
    (money_at_the_wrong_orders, {"I1"}),
    (hold_left_open, {"I1"}),
    (money_for_an_unknown_order, {"I1", "I9"}),
    (mail_count("confirmed", "sent", 2), {"I6"}),
    (mail_count("cancelled", "unknown", 0), {"I6"}),
    (mail_count("rejected", "withheld", 2), {"I6"}),
    (mailed("o1/confirmed"), {"I6"}),
    (mails_never_arrived, {"I6"}),
    (mails_changed_places, {"I7"}),
    (parcels(delivered=2), {"I6"}),
    (parcels(withdrawn=0), {"I6"}),
    (number("on_hand", 96), {"I2"}),
    (number("unbalanced", 1), {"I2"}),
    (number("sold", 4), {"I2"}),
    (number("reserved", 1), {"I2"}),
    (saga_state("place_order", completed=2, parked=1), {"I4"}),
    (saga_state("place_order", completed=2, running=1), {"I4"}),
    (saga_state("place_order", completed=2), {"I4"}),
    (message_count("catalog", "handled", "OrderConfirmed", 2), {"I5"}),
    (message_count("catalog", "handled", "OrderConfirmed", 4), {"I5"}),
    (message_count("order", "sent", "AuthorizePayment", 6), {"I5"}),
    (message_count("order", "outbox", "pending", 1), {"I5"}),
    (message_count("payment", "outbox", "parked", 1), {"I5"}),
    (refused_without_reason, {"I8"}),
]


@pytest.mark.parametrize(("breach", "invariants"), BREACHES)
def test_a_breach_turns_its_invariant_red(
    breach: Callable[[Evidence], None], invariants: set[str]
) -> None:
    evidence = sound_evidence()
    breach(evidence)
    checks = failed(evidence)
    assert {check.invariant for check in checks} == invariants
    assert all(check.look_at for check in checks)


def test_an_acknowledged_order_that_is_gone_turns_i9_red() -> None:
    assert [check.invariant for check in failed(sound_evidence(), ("o7",))] == ["I9"]


def test_a_line_claims_no_more_orders_than_it_checks() -> None:
    def claims(acknowledged: tuple[str, ...]) -> dict[str, str]:
        return {
            check.invariant: check.claim
            for check in sheet(sound_evidence(), TOPOLOGY, acknowledged)
        }

    of_a_run, of_all = claims(("o1",)), claims(())
    assert of_a_run["I8"] == "orders of this run rejected for no business reason"
    assert of_all["I8"] == "orders rejected for no business reason"
    assert of_a_run["I9"] == "orders accepted, or known to the gateway, that exist"
    assert of_all["I9"] == "orders known to the gateway that exist"


def test_an_older_order_that_outlived_its_deadline_does_not_count_against_a_run() -> None:
    evidence = sound_evidence()
    refused_without_reason(evidence)
    assert failed(evidence, ("o1",)) == []
    assert [check.invariant for check in failed(evidence, ("o1", "o4"))] == ["I8"]


def test_a_dead_letter_explains_a_message_that_was_not_handled() -> None:
    evidence = sound_evidence()
    messages: Any = evidence.movements.messages
    messages["catalog"]["handled"]["OrderConfirmed"] = 2
    messages["catalog"]["dead_lettered"] = 1
    assert failed(evidence) == []


def test_two_messages_of_which_one_is_a_dead_letter_are_one_lost() -> None:
    evidence = sound_evidence()
    messages: Any = evidence.movements.messages
    messages["catalog"]["handled"]["OrderConfirmed"] = 1
    messages["catalog"]["dead_lettered"] = 1
    assert [check.invariant for check in failed(evidence)] == ["I5"]


def test_messages_that_nobody_receives_are_no_loss() -> None:
    evidence = sound_evidence()
    messages: Any = evidence.movements.messages
    messages["order"]["sent"]["OrderCancelled"] = 7
    assert failed(evidence) == []


def test_currencies_are_never_added_up() -> None:
    evidence = sound_evidence()
    orders: Any = evidence.orders
    orders[0] = replace(orders[0], currency="USD")
    found = {check.counted: check.must_be for check in failed(evidence)}
    assert found["30.00 EUR"] == "20.00 EUR"
    assert found["0.00 USD"] == "10.00 USD"


@pytest.mark.parametrize(
    ("breach", "word"),
    [
        (saga_state("cancel_order", running=1), "sagas running"),
        (message_count("order", "outbox", "pending", 2), "outbox of order"),
        (message_count("payment", "handled", "AuthorizePayment", 4), "way to payment"),
        (message_count("payment", "handled", "AuthorizePayment", 6), "that payment knows"),
    ],
)
def test_what_is_under_way_is_named(breach: Callable[[Evidence], None], word: str) -> None:
    evidence = sound_evidence()
    assert still_moving(evidence.movements, TOPOLOGY) == []
    breach(evidence)
    assert word in " ".join(still_moving(evidence.movements, TOPOLOGY))


def test_a_parked_saga_is_at_rest_so_that_it_is_reported_at_once() -> None:
    evidence = sound_evidence()
    saga_state("place_order", completed=2, parked=1)(evidence)
    assert still_moving(evidence.movements, TOPOLOGY) == []


@pytest.mark.parametrize(
    ("minor", "text"),
    [(0, "0.00 EUR"), (5, "0.05 EUR"), (123456, "1,234.56 EUR"), (-5, "-0.05 EUR")],
)
def test_money_is_written_in_major_units(minor: int, text: str) -> None:
    assert money(minor, "EUR") == text


def test_the_environment_wins_over_a_running_stack_for_each_service_by_itself() -> None:
    environment = {"ORDER_URL": "http://order:80/", "BOOKSTORE_DATA": "/nowhere"}
    found = Endpoints.found(environment)
    assert found.order == "http://order:80"
    assert found.stripe == "http://127.0.0.1:8009"


async def test_a_service_that_does_not_answer_is_named() -> None:
    nowhere = Endpoints(*["http://127.0.0.1:1"] * 7)
    with pytest.raises(UnreachableError, match=r"(order|catalog|payment) does not answer"):
        await balance_sheet(nowhere, settle_seconds=0)

"""The courses of the bookstore's sagas that are hit, by name.

Guarantee: COURSES are hit at every operation once, and EXHAUSTIVE, which are the sagas themselves,
twice; each of these with reconciliation and without, so that it cannot cover up for the sagas.
"""

from dataclasses import replace
from urllib.parse import urlencode

import orjson
from sqlalchemy import insert

from bookstore_world.course import CARDS, Course, Wish
from bookstore_world.customer import Customer
from bookstore_world.gateway import API_KEY
from bookstore_world.invariants import Leftovers
from bookstore_world.stage import Stage
from catalog_service.app import SERVICE as CATALOG
from chassis import Problem
from contracts.models.catalog import RestockItems
from messaging import Sender
from order_service.store import ORDERS


async def reuse_key(stage: Stage, customer: Customer) -> list[str]:
    """Send another order under the first one's key: it has to be refused."""
    try:
        await customer.place("key-0", card="pm_card_visa", copies=2)
    except Problem as refusal:
        if refusal.code == "idempotency_key_reused":
            return []
    return ["I6 twice: another order was answered under a used key"]


async def send_twice(stage: Stage, customer: Customer) -> list[str]:
    """Send the first order once more at the same time, as an impatient client does."""
    await customer.place("key-0", card=CARDS["good"])
    return []


async def send_strangers(stage: Stage, customer: Customer) -> list[str]:
    """Put what nobody should handle beside the order's own messages: it must harm nothing."""
    nobody = "00000000-0000-4000-8000-000000000001"
    impossible = Sender("order").envelope(
        RestockItems(order_id=nobody), cause="stranger", subject=nobody, correlation_id=nobody
    )
    unknown = replace(impossible, id=nobody, dataschema=f"{impossible.dataschema}9")
    empty = replace(impossible, id=nobody.replace("4", "5"), data={})

    def join_first_command() -> bool:
        if not any(detail["type"] == "ReserveStock" for _, detail in stage.aws.published):
            return False
        if not stage.told:
            for message in (impossible, unknown, empty):
                stage.told.add(message.id)
                stage.put(CATALOG.name, orjson.loads(message.encode()))
        return True

    # At that very moment, so that they come to be handled together.
    await stage.until(join_first_command)
    return []


async def let_hold_lapse(stage: Stage, customer: Customer) -> list[str]:
    """Take the hold away behind everybody's back before it is captured."""
    store = stage.gateway.store
    orders = stage.databases["order"]

    def is_held_or_over() -> bool:
        held = any(each.status == "requires_capture" for each in store.intents)
        return held or any(row["status"] != "pending" for row in orders.rows(ORDERS))

    await stage.until(is_held_or_over)
    for intent in store.intents:
        if intent.status == "requires_capture":
            store._expire(intent)
            stage.meddled = True
    return []


async def hold_behind_our_back(stage: Stage, customer: Customer) -> list[str]:
    """Once the order is rejected, somebody makes a hold under its payment's id."""
    orders = stage.databases["order"]
    await stage.until(lambda: any(row["status"] == "rejected" for row in orders.rows(ORDERS)))
    order = orders.rows(ORDERS)[0]
    form = {
        "amount": str(order["total_minor"]),
        "currency": "eur",
        "capture_method": "manual",
        "confirm": "true",
        "payment_method": CARDS["good"],
        "payment_method_types[0]": "card",
        "metadata[payment_id]": order["payment_id"],
        "metadata[order_id]": order["order_id"],
    }
    headers = {
        "Authorization": f"Bearer {API_KEY}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    stage.gateway.answer("POST", "/v1/payment_intents", headers, urlencode(form).encode(), None)
    return []


async def poison_outbox(stage: Stage, customer: Customer) -> list[str]:
    """A row that the bus will never take lies in the outbox, before all others."""
    poison = "00000000-0000-4000-8000-00000000dead"
    database = stage.databases["order"]
    row = {
        "id": poison,
        "source": "bookstore.order",
        "type": "OrderConfirmed",
        "subject": poison,
        "detail": '{"much": "' + "x" * 300_000 + '"}',
    }
    tables = stage.services["order"].tables
    await database.execute(insert(tables.outbox).values(**row))
    await database.execute(insert(tables.unsent).values(message_id=poison))
    return []


_SAGAS = (
    Course("confirmed", (Wish(),), ("confirmed",)),
    Course("declined", (Wish("declined"),), ("rejected",)),
    Course("out-of-stock", (Wish(),), ("rejected",), stock=0),
    Course("cancelled", (Wish(cancel=True),), ("cancelled",), armed_once_confirmed=True),
)
EXHAUSTIVE = (
    *(replace(course, name=f"{course.name}/alone", reconcile=False) for course in _SAGAS),
    # Of the two refusals the one without money has nothing to be reconciled.
    *(course for course in _SAGAS if course.name != "out-of-stock"),
)
COURSES = (
    *EXHAUSTIVE,
    *(course for course in _SAGAS if course.name == "out-of-stock"),
    Course("reads", (Wish(),), ("confirmed",), reads=True),
    Course(
        "refund-pending",
        (Wish("refund-pending", cancel=True),),
        ("cancelled",),
        armed_once_confirmed=True,
    ),
    Course(
        "refund-fails",  # Cancelled or still confirmed: it depends on when the bank says so.
        (Wish("refund-fails", cancel=True),),
        armed_once_confirmed=True,
    ),
    Course("two-copies", (Wish(copies=2),), ("confirmed",), reconcile=False),
    Course("sent-twice", (Wish(),), ("confirmed",), act=send_twice, reconcile=False),
    Course("key-reused", (Wish(),), ("confirmed",), act=reuse_key, reconcile=False),
    Course(
        "strangers",
        (Wish(),),
        ("confirmed",),
        act=send_strangers,
        leftovers=Leftovers(
            letters=("contract_violation", "impossible_reservation_change", "unknown_message")
        ),
        reconcile=False,
    ),
    Course(
        "hold-lapsed",
        (Wish(),),
        act=let_hold_lapse,
        leftovers=Leftovers(letters=("not_capturable",), sagas=1),
        reconcile=False,
    ),
    Course("stray-hold", (Wish("declined"),), ("rejected",), act=hold_behind_our_back),
    Course(
        "poisoned-outbox",
        (Wish(),),
        ("confirmed",),
        act=poison_outbox,
        leftovers=Leftovers(rows=("ValidationException",)),
        reconcile=False,
    ),
    Course("replayed", (Wish(),), ("confirmed",), replay=True, reconcile=False),
    Course(
        "replayed-cancelled",
        (Wish(cancel=True),),
        ("cancelled",),
        replay=True,
        reconcile=False,
        armed_once_confirmed=True,
    ),
    Course("forgetful", (Wish(),), ("confirmed",), forgetful=True),
    Course(
        "skewed",
        (Wish(),),
        ("confirmed",),
        skews=(("order-worker", 120.0), ("catalog-worker", -120.0), ("payment-worker", 120.0)),
        reconcile=False,
    ),
    Course("two-workers", (Wish(),), ("confirmed",), workers=2, reconcile=False),
    Course(
        "crowd",  # On a shelf that is too short.
        (Wish(cancel=True), Wish(), Wish(), Wish()),
        stock=3,
        workers=2,
        reconcile=False,
    ),
)

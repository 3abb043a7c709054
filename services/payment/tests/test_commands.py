"""Commands over the bus, answered over the bus; money counted by the gateway's own ledger."""

import asyncio
import uuid

import pytest

from contracts.models.common import Money, PaymentExpectation
from contracts.models.payment import ReconcilePayments


async def test_authorize_then_capture_then_refund(shop, purchase):
    order = purchase()
    amount = {"amount_minor": 1999, "currency": "EUR"}
    for command, reply, more in (
        (order.authorize(), "PaymentAuthorized", {}),
        (order.capture(), "PaymentCaptured", {}),
        (order.refund(), "PaymentRefunded", {"customer_id": "ada"}),
    ):
        assert await shop.ask(command) == (reply, {**order.ids, "amount": amount, **more})
    assert await shop.moves(order) == {"authorized": 1, "captured": 1, "refunded": 1}


async def test_duplicate_command_charges_once(shop, purchase):
    order = purchase()
    await shop.send(order.authorize(), message_id="first")
    await shop.replies(order.order_id)
    await shop.send(order.authorize(), message_id="first")
    await shop.ask(order.authorize())  # Another message that asks for the same.
    await asyncio.gather(shop.ask(order.capture()), shop.ask(order.capture()))
    await asyncio.gather(shop.ask(order.refund()), shop.ask(order.refund()))
    assert await shop.moves(order) == {"authorized": 1, "captured": 1, "refunded": 1}
    names = [name for name, _ in await shop.replies(order.order_id, 6)]
    assert sorted(names) == [
        *["PaymentAuthorized"] * 2,
        *["PaymentCaptured"] * 2,
        *["PaymentRefunded"] * 2,
    ]


async def test_concurrent_commands_for_one_payment_charge_once(shop, purchase):
    order = purchase()
    await asyncio.gather(*(shop.send(order.authorize()) for _ in range(5)))
    replies = await shop.replies(order.order_id, 5)
    assert {name for name, _ in replies} == {"PaymentAuthorized"}
    assert await shop.moves(order) == {"authorized": 1}


@pytest.mark.parametrize(
    ("card", "reason", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        (
            "pm_card_authenticationRequired",
            "authentication_required",
            "authentication_required",
        ),
        ("pm_nobody_knows", "processing_error", "resource_missing"),
    ],
)
async def test_each_decline_is_a_typed_reply(shop, purchase, card, reason, decline_code):
    order = purchase(card)
    name, data = await shop.ask(order.authorize())
    assert (name, data["reason"]) == ("PaymentDeclined", reason)
    found = await shop.payment(order)
    assert (found["status"], found["decline_code"]) == ("declined", decline_code)
    assert await shop.ask(order.authorize()) == (name, data)
    assert (await shop.ask(order.void()))[0] == "PaymentVoided"
    assert await shop.moves(order) == {}


async def test_amount_that_the_gateway_refuses_is_declined(shop, purchase):
    _, data = await shop.ask(purchase(amount_minor=1).authorize())
    assert data["reason"] == "processing_error"


async def test_void_lets_go_of_the_hold(shop, purchase):
    order = purchase()
    await shop.ask(order.authorize())
    for _ in range(2):
        assert await shop.ask(order.void()) == ("PaymentVoided", order.ids)
    assert await shop.moves(order) == {"authorized": 1, "voided": 1}
    assert (await shop.ask(order.authorize()))[1]["reason"] == "voided"


async def test_void_before_authorize_refuses_the_late_authorize(shop, purchase):
    order = purchase()
    assert (await shop.ask(order.void()))[0] == "PaymentVoided"
    name, data = await shop.ask(order.authorize())
    assert (name, data["reason"]) == ("PaymentDeclined", "voided")
    assert await shop.moves(order) == {}


async def test_void_after_capture_gives_the_money_back(shop, purchase):
    order = purchase()
    await shop.ask(order.authorize())
    await shop.ask(order.capture())
    assert (await shop.ask(order.void()))[0] == "PaymentVoided"
    assert await shop.moves(order) == {"authorized": 1, "captured": 1, "refunded": 1}
    assert (await shop.payment(order))["status"] == "refunded"


async def test_void_during_a_stalled_authorize_leaves_no_hold(open_shop, purchase):
    async with open_shop(gateway_attempt_seconds=4) as shop:
        order = purchase()
        await shop.fault("authorize", "stall", purchase=order, when="before", seconds=1, times=1)
        await shop.send(order.authorize())
        await shop.until(order, "authorizing")
        assert (await shop.ask(order.void()))[0] == "PaymentVoided"
        name, data = (await shop.replies(order.order_id, 2))[1]
        assert (name, data["reason"]) == ("PaymentDeclined", "voided")
        assert await shop.moves(order) == {"authorized": 1, "voided": 1}


async def test_capture_of_a_lapsed_hold_is_a_dead_letter(shop, purchase):
    order = purchase()
    await shop.ask(order.authorize())
    await shop.simulator.advance(8 * 24 * 3600)
    await shop.send(order.capture())
    assert (await shop.until(order, "voided"))["reason"] == "expired"
    assert [letter["code"] for letter in await shop.dead_letters(1)] == ["not_capturable"]


async def test_capture_of_an_unknown_payment_is_a_dead_letter(shop, purchase):
    await shop.send(purchase().capture())
    assert [letter["code"] for letter in await shop.dead_letters(1)] == ["not_capturable"]


async def test_payment_id_of_another_order_is_a_dead_letter(shop, purchase):
    order = purchase()
    await shop.ask(order.authorize())
    dearer = order.authorize().model_copy(
        update={"amount": Money(amount_minor=2999, currency="EUR")}
    )
    await shop.send(dearer)
    assert [letter["code"] for letter in await shop.dead_letters(1)] == ["payment_mismatch"]
    assert await shop.moves(order) == {"authorized": 1}


async def test_refund_without_a_capture_is_refused(shop, purchase):
    order = purchase()
    assert (await shop.ask(order.refund()))[0] == "PaymentRefundFailed"
    await shop.ask(order.authorize())
    assert (await shop.ask(order.refund()))[0] == "PaymentRefundFailed"
    assert await shop.moves(order) == {"authorized": 1}


async def test_card_number_is_refused_and_kept_nowhere(shop, purchase, caplog):
    order = purchase("pm_4242424242424242")
    with caplog.at_level("INFO"):
        name, data = await shop.ask(order.authorize())
    assert (name, data["reason"]) == ("PaymentDeclined", "processing_error")
    assert "4242424242" not in caplog.text + str(data)
    assert (await shop.http.get(f"/payments/{order.payment_id}")).status_code == 404


async def test_reconciliation_brings_payments_to_what_orders_expect(shop, purchase):
    held, unwanted, cancelled, fine, unknown = (purchase() for _ in range(5))
    for order in (held, unwanted, cancelled, fine):
        await shop.ask(order.authorize())
    for order in (cancelled, fine):
        await shop.ask(order.capture())
    wanted = (
        (held, "captured"), (unwanted, "voided"), (cancelled, "refunded"), (fine, "captured"),
        (unknown, "captured"),
    )  # fmt: skip
    command = ReconcilePayments(
        batch_id=str(uuid.uuid4()),
        expectations=[PaymentExpectation(**o.ids, expected=e) for o, e in wanted],
    )
    name, data = await shop.ask(command)
    assert name == "PaymentsReconciled"
    assert data["matched"] == 1
    assert data["repaired"] == [
        {**held.ids, "found": "authorized", "action": "captured"},
        {**unwanted.ids, "found": "authorized", "action": "voided"},
        {**cancelled.ids, "found": "captured", "action": "refunded"},
        {**unknown.ids, "found": "missing", "action": "none"},
    ]
    again = command.model_copy(update={"batch_id": str(uuid.uuid4())})
    assert (await shop.ask(again))[1]["matched"] == 4
    assert await shop.moves(cancelled) == {"authorized": 1, "captured": 1, "refunded": 1}

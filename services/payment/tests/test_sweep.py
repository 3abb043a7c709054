"""The sweep settles what no message and no webhook did."""

import asyncio
from datetime import timedelta

import pytest


@pytest.fixture
async def quiet(open_shop):
    """No webhooks arrive, and nothing counts as being at work."""
    async with open_shop(webhooks=False, reconcile_grace_seconds=0) as shop:
        yield shop


async def test_lost_webhook_of_a_refund_is_made_up_for(quiet, purchase):
    order = purchase("pm_card_pendingRefund")
    await quiet.ask(order.authorize())
    await quiet.ask(order.capture())
    await quiet.send(order.refund())
    await quiet.until(order, "refund_pending")
    await quiet.simulator.advance(600)
    await quiet.run_sweep()
    assert (await quiet.replies(order.order_id, 3))[2][0] == "PaymentRefunded"


async def test_lost_webhook_of_a_late_refund_failure_is_made_up_for(quiet, purchase):
    order = purchase("pm_card_refundFail")
    for command in (order.authorize(), order.capture(), order.refund()):
        await quiet.ask(command)
    await quiet.simulator.advance(600)
    await quiet.run_sweep()
    assert (await quiet.replies(order.order_id, 4))[3][0] == "PaymentRefundFailed"


async def test_stuck_attempt_is_settled_as_the_gateway_says(quiet, purchase):
    held, declined = purchase(), purchase("pm_card_chargeDeclined")
    for order in (held, declined):
        await quiet.ask(order.authorize())
        await quiet.forget_answer(order)
    await quiet.run_sweep()
    assert (await quiet.payment(held))["status"] == "authorized"
    assert (await quiet.payment(declined))["status"] == "declined"


async def test_attempt_without_a_trace_is_given_up(quiet, purchase):
    order = purchase()
    await quiet.ask(order.authorize())
    await quiet.simulator.admin("POST", "reset")
    await quiet.forget_answer(order, age=timedelta(minutes=16))
    await quiet.run_sweep()
    assert (await quiet.payment(order))["decline_code"] == "attempt_abandoned"
    assert (await quiet.ask(order.authorize()))[0] == "PaymentDeclined"


async def test_stray_holds_are_let_go(quiet, purchase):
    known, unknown, voided = purchase(), purchase(), purchase()
    for order in (known, voided):
        await quiet.ask(order.authorize())
    await quiet.ask(voided.void())
    for order in (known, unknown, voided):
        await quiet.hold_behind_our_back(order)
    await quiet.run_sweep()
    assert await quiet.moves(known) == {"authorized": 2, "voided": 1}
    assert await quiet.moves(unknown) == {"authorized": 1, "voided": 1}
    assert await quiet.moves(voided) == {"authorized": 2, "voided": 2}
    assert (await quiet.ask(known.capture()))[0] == "PaymentCaptured"


async def test_hold_about_to_lapse_is_voided(quiet, purchase):
    order = purchase()
    await quiet.ask(order.authorize())
    await quiet.forget_answer(order, age=timedelta(days=6, hours=1))
    await quiet.set_row(order, status="authorized", intent_id=(await quiet.intent(order))["id"])
    await quiet.run_sweep()
    assert (await quiet.payment(order))["status"] == "voided"
    assert await quiet.moves(order) == {"authorized": 1, "voided": 1}


async def test_payment_at_work_is_left_alone(open_shop, purchase):
    async with open_shop(webhooks=False, gateway_attempt_seconds=4) as shop:
        order = purchase()
        await shop.fault("authorize", "stall", purchase=order, when="after", seconds=1, times=1)
        await shop.send(order.authorize())
        await shop.until(order, "authorizing")
        await shop.run_sweep()
        assert (await shop.payment(order))["status"] == "authorizing"
        assert (await shop.replies(order.order_id))[0][0] == "PaymentAuthorized"
        assert await shop.moves(order) == {"authorized": 1}


async def test_one_process_sweeps_at_a_time(open_shop):
    async with open_shop() as shop:
        await shop.sweep_is_due()
        swept = await asyncio.gather(*(shop.sweep.sweep_if_due() for _ in range(5)))
        assert sum(swept) == 1

"""What the gateway did is unknown: looked up, never guessed, never charged twice."""

import asyncio
from datetime import timedelta

import pytest


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("drop", {"when": "after"}),
        ("drop", {"when": "before"}),
        ("stall", {"when": "after", "seconds": 1}),
        ("stall", {"when": "before", "seconds": 1}),
        ("status", {"when": "after", "status": 500}),  # Stored under the key, with the effect,
        ("status", {"when": "before", "status": 500}),  # and without it.
        ("status", {"when": "before", "status": 503}),
        ("rate_limit", {}),
    ],
)
async def test_lost_answer_charges_once(shop, purchase, kind, given):
    order = purchase()
    for operation in ("authorize", "capture", "refund"):
        await shop.fault(operation, kind, purchase=order, times=1, **given)
    assert (await shop.ask(order.authorize()))[0] == "PaymentAuthorized"
    assert (await shop.ask(order.capture()))[0] == "PaymentCaptured"
    assert (await shop.ask(order.refund()))[0] == "PaymentRefunded"
    assert await shop.moves(order) == {"authorized": 1, "captured": 1, "refunded": 1}


@pytest.mark.parametrize("when", ["before", "after"])
async def test_lost_answer_to_a_void_leaves_no_hold(shop, purchase, when):
    order = purchase()
    await shop.ask(order.authorize())
    await shop.fault("cancel", "drop", purchase=order, when=when, times=1)
    assert (await shop.ask(order.void()))[0] == "PaymentVoided"
    assert await shop.moves(order) == {"authorized": 1, "voided": 1}


async def test_decline_whose_answer_was_lost_is_found(shop, purchase):
    order = purchase("pm_card_chargeDeclinedInsufficientFunds")
    await shop.fault("authorize", "drop", purchase=order, when="after", times=1)
    assert (await shop.ask(order.authorize()))[1]["reason"] == "insufficient_funds"


async def test_crash_between_answer_and_commit_charges_once(shop, purchase):
    order = purchase()
    await shop.ask(order.authorize())
    await shop.forget_answer(order)
    assert (await shop.ask(order.authorize()))[0] == "PaymentAuthorized"
    assert await shop.moves(order) == {"authorized": 1}


async def test_void_after_a_crash_finds_the_hold(shop, purchase):
    order = purchase()
    await shop.ask(order.authorize())
    await shop.forget_answer(order)
    assert (await shop.ask(order.void()))[0] == "PaymentVoided"
    assert await shop.moves(order) == {"authorized": 1, "voided": 1}


async def test_expired_idempotency_key_does_not_recharge(shop, purchase):
    order = purchase()
    await shop.ask(order.authorize())
    await shop.forget_answer(order, age=timedelta(hours=24))
    await shop.simulator.admin("POST", "forget", {})
    assert (await shop.ask(order.authorize()))[0] == "PaymentAuthorized"
    assert await shop.moves(order) == {"authorized": 1}


async def test_attempt_too_old_and_without_a_trace_is_declined_unsent(shop, purchase):
    order = purchase()
    await shop.ask(order.authorize())
    await shop.simulator.admin("POST", "reset")
    await shop.forget_answer(order, age=timedelta(hours=24))
    name, data = await shop.ask(order.authorize())
    assert (name, data["reason"]) == ("PaymentDeclined", "processing_error")
    assert await shop.moves(order) == {}


async def test_stalled_payment_does_not_delay_others(open_shop, purchase):
    async with open_shop(gateway_attempt_seconds=10, gateway_hard_seconds=20) as shop:
        stalled, others = purchase(), [purchase() for _ in range(10)]
        await shop.fault("authorize", "stall", purchase=stalled, when="before", seconds=3, times=1)
        await shop.send(stalled.authorize())
        await shop.until(stalled, "authorizing")
        async with asyncio.timeout(2):
            await asyncio.gather(*(shop.ask(order.authorize()) for order in others))
        assert (await shop.payment(stalled))["status"] == "authorizing"
        assert (await shop.replies(stalled.order_id))[0][0] == "PaymentAuthorized"


async def test_circuit_opens_spares_the_gateway_and_closes(open_shop, purchase):
    async with open_shop(circuit_failures=3, circuit_open_seconds=2) as shop:
        first, second = purchase(), purchase()
        outage = await shop.simulator.fault(
            {"operation": "any"}, {"kind": "status", "when": "before", "status": 503}
        )

        async def calls() -> int:
            faults = (await shop.simulator.admin("GET", "faults"))["faults"]
            return int(next(f["fired"] for f in faults if f["id"] == outage))

        await shop.send(first.authorize())
        await shop.circuit_is(closed=False)
        before = await calls()
        await shop.send(second.authorize())
        await shop.until(second, "authorizing")
        assert await calls() == before
        await shop.simulator.admin("DELETE", f"faults/{outage}")
        for order in (first, second):
            assert (await shop.replies(order.order_id))[0][0] == "PaymentAuthorized"
            assert await shop.moves(order) == {"authorized": 1}
        await shop.circuit_is(closed=True)

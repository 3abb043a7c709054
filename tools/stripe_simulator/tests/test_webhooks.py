"""Webhooks: signed, enabled by type, retried, and misdelivered on request."""

from typing import Any

import stripe

ENABLED_OF_A_CAPTURE = ["payment_intent.amount_capturable_updated", "payment_intent.succeeded"]


async def test_enabled_events_arrive_signed(gateway: Any, receiver: Any) -> None:
    taken = await gateway.captured()
    assert sorted(await receiver.until(2)) == ENABLED_OF_A_CAPTURE
    assert {event.data.object.id for event in receiver.events} == {taken.id}


async def test_a_refused_webhook_is_sent_again(gateway: Any, receiver: Any) -> None:
    receiver.statuses = [500, 302]
    await gateway.authorize()
    await receiver.until(3)
    assert len({event.id for event in receiver.events}) == 1


async def test_a_lost_webhook_is_found_in_the_event_list(gateway: Any, receiver: Any) -> None:
    await gateway.simulator.fault(
        {"operation": "webhook", "event_type": "payment_intent.amount_capturable_updated"},
        {"kind": "lose"},
    )
    await gateway.captured()
    assert await receiver.until(1) == ["payment_intent.succeeded"]
    listed = await gateway.events.list_async({"type": "payment_intent.amount_capturable_updated"})
    assert len(listed.data) == 1
    deliveries = (await gateway.simulator.admin("GET", "webhooks"))["deliveries"]
    assert deliveries["lost"] >= 1


async def test_a_webhook_can_come_several_times(gateway: Any, receiver: Any) -> None:
    await gateway.simulator.fault({"operation": "webhook"}, {"kind": "duplicate", "copies": 2})
    await gateway.authorize()
    await receiver.until(3)
    assert len({event.id for event in receiver.events}) == 1


async def test_a_webhook_can_come_after_the_next_one(gateway: Any, receiver: Any) -> None:
    await gateway.simulator.fault(
        {"operation": "webhook", "nth": 1}, {"kind": "reorder", "seconds": 60}
    )
    await gateway.captured()
    assert await receiver.until(2) == ENABLED_OF_A_CAPTURE[::-1]


async def test_a_webhook_held_back_comes_in_the_end(gateway: Any, receiver: Any) -> None:
    await gateway.simulator.fault({"operation": "webhook"}, {"kind": "reorder", "seconds": 0.05})
    await gateway.authorize()
    assert await receiver.until(1) == ENABLED_OF_A_CAPTURE[:1]


async def test_a_webhook_can_be_late(gateway: Any, receiver: Any) -> None:
    await gateway.simulator.fault(
        {"operation": "webhook", "nth": 1}, {"kind": "delay", "seconds": 0.2}
    )
    await gateway.captured()
    assert await receiver.until(2) == ENABLED_OF_A_CAPTURE[::-1]


async def test_a_failing_refund_is_announced(gateway: Any, receiver: Any) -> None:
    taken = await gateway.captured(payment_method="pm_card_refundFail")
    await gateway.refunds.create_async({"payment_intent": taken.id})
    await gateway.simulator.advance(601)
    assert sorted(await receiver.until(6)) == [
        "charge.refunded",
        *ENABLED_OF_A_CAPTURE,
        "refund.created",
        "refund.failed",
        "refund.updated",
    ]


async def test_an_event_can_be_sent_again_on_request(gateway: Any, receiver: Any) -> None:
    await gateway.authorize()
    await receiver.until(1)
    await gateway.simulator.admin("POST", f"resend/{receiver.events[0].id}")
    await receiver.until(2)
    assert receiver.events[0].id == receiver.events[1].id


async def test_enabled_types_come_from_the_environment(start: Any, receiver: Any) -> None:
    async with start(
        STRIPE_WEBHOOK_URL=receiver.url, STRIPE_WEBHOOK_EVENTS="payment_intent.canceled"
    ) as other:
        held = await other.authorize()
        await other.intents.cancel_async(held.id)
        assert await receiver.until(1) == ["payment_intent.canceled"]


async def test_bad_endpoints_are_explained(gateway: Any) -> None:
    for document in ({}, {"url": "ftp://x"}, {"url": "http://x", "enabled_events": "all"}):
        await gateway.simulator.admin("POST", "webhooks", document, expect=400)


async def test_an_unreachable_endpoint_does_not_hold_up_payments(gateway: Any) -> None:
    await gateway.simulator.admin("POST", "webhooks", {"url": "http://127.0.0.1:1/nothing"})
    assert isinstance(await gateway.authorize(), stripe.PaymentIntent)

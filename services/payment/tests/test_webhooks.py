"""Webhooks: signed, repeated, early, late, untrue or lost."""

import time
from typing import Any

import orjson
import pytest
import stripe

SECRET = "whsec_for_tests"


def signed(body: bytes, *, secret: str = SECRET, age_seconds: int = 0) -> dict[str, str]:
    header = stripe.WebhookSignature.generate_signature_header(
        body.decode(), secret, timestamp=int(time.time()) - age_seconds
    )
    return {"Stripe-Signature": header, "Content-Type": "application/json"}


def event(shown: dict[str, Any], kind: str) -> bytes:
    return orjson.dumps(
        {"id": f"evt_{time.monotonic_ns()}", "object": "event", "type": kind,
         "created": int(time.time()), "data": {"object": shown}}
    )  # fmt: skip


async def post(shop: Any, body: bytes, headers: dict[str, str]) -> Any:
    return await shop.http.post("/webhooks/stripe", content=body, headers=headers)


async def pending_refund(shop, order):
    await shop.ask(order.authorize())
    await shop.ask(order.capture())
    await shop.send(order.refund())
    await shop.until(order, "refund_pending")


async def test_unsigned_wrongly_signed_and_stale_events_are_refused(shop):
    body = event({"object": "refund", "id": "re_1", "status": "succeeded"}, "refund.updated")
    json = {"Content-Type": "application/json"}
    for headers in (
        json,
        {**json, "Stripe-Signature": "t=1"},
        {**json, "Stripe-Signature": "nonsense"},
        {**json, "Stripe-Signature": "t=1,v1=é".encode("latin-1")},
        signed(body, secret="whsec_another"),
        signed(body, age_seconds=301),
        signed(body + b" "),
    ):
        answer = await post(shop, body, headers)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "bad_signature"
    assert (await post(shop, body, signed(body, age_seconds=290))).status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b"no json",
        b'{"id":"e","type":"t","data":1}',
        b'{"id":"e\\u0000","type":"refund.updated","data":{"object":{}}}',
    ],
)
async def test_signed_nonsense_is_refused(shop, body):
    answer = await post(shop, body, signed(body))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_event")


async def test_body_that_is_no_utf8_is_refused(shop):
    answer = await post(shop, b"\xff\xfe", signed(b"x"))
    assert answer.status_code == 400


async def test_pending_refund_is_answered_once_it_has_succeeded(shop, purchase):
    order = purchase("pm_card_pendingRefund")
    await pending_refund(shop, order)
    assert len(await shop.replies(order.order_id)) == 2
    await shop.simulator.advance(600)
    assert (await shop.replies(order.order_id, 3))[2][0] == "PaymentRefunded"
    assert (await shop.payment(order))["status"] == "refunded"


async def test_refund_that_fails_later_is_told(shop, purchase):
    order = purchase("pm_card_refundFail")
    await shop.ask(order.authorize())
    await shop.ask(order.capture())
    await shop.ask(order.refund())
    await shop.simulator.advance(600)
    assert (await shop.replies(order.order_id, 4))[3][0] == "PaymentRefundFailed"
    assert (await shop.payment(order))["status"] == "refund_failed"
    assert (await shop.ask(order.refund()))[0] == "PaymentRefundFailed"


async def test_duplicated_event_is_answered_once(shop, purchase):
    order = purchase("pm_card_pendingRefund")
    await pending_refund(shop, order)
    await shop.simulator.fault(
        {"operation": "webhook", "event_type": "refund.updated"},
        {"kind": "duplicate", "copies": 3},
    )
    await shop.simulator.advance(600)
    await shop.until(order, "refunded")
    await shop.all_webhooks_delivered()
    await shop.ask(order.refund())
    names = [name for name, _ in await shop.replies(order.order_id)]
    # One for the refund that settled, one for the command that asked again.
    assert names.count("PaymentRefunded") == 2


async def test_webhook_before_the_api_response_charges_once(open_shop, purchase):
    async with open_shop(gateway_attempt_seconds=4) as shop:
        order = purchase()
        await shop.fault("authorize", "stall", purchase=order, when="after", seconds=1, times=1)
        delivered = await shop.webhooks_delivered()
        await shop.send(order.authorize())
        await shop.all_webhooks_delivered(at_least=delivered + 1)
        assert (await shop.payment(order))["status"] == "authorizing"
        assert (await shop.replies(order.order_id))[0][0] == "PaymentAuthorized"
        assert await shop.moves(order) == {"authorized": 1}


async def test_late_webhook_settles_an_attempt_that_nobody_finished(open_shop, purchase):
    async with open_shop(webhooks=False, reconcile_grace_seconds=0) as shop:
        order = purchase()
        await shop.ask(order.authorize())
        intent = await shop.intent(order)
        await shop.forget_answer(order)
        body = event(intent, "payment_intent.amount_capturable_updated")
        for _ in range(2):
            assert (await post(shop, body, signed(body))).status_code == 204
        assert (await shop.payment(order))["intent_id"] == intent["id"]


async def test_event_that_is_not_true_any_more_changes_nothing(open_shop, purchase):
    async with open_shop(webhooks=False, reconcile_grace_seconds=0) as shop:
        order = purchase()
        await shop.ask(order.authorize())
        intent = {**await shop.intent(order), "status": "canceled"}
        body = event(intent, "payment_intent.canceled")
        assert (await post(shop, body, signed(body))).status_code == 204
        assert (await shop.payment(order))["status"] == "authorized"


async def test_event_is_asked_for_again_while_the_gateway_is_down(open_shop, purchase):
    async with open_shop(webhooks=False, reconcile_grace_seconds=0) as shop:
        order = purchase()
        await shop.ask(order.authorize())
        intent = {**await shop.intent(order), "status": "canceled"}
        await shop.simulator.fault({"operation": "retrieve"}, {"kind": "status", "status": 503})
        body = event(intent, "payment_intent.canceled")
        answer = await post(shop, body, signed(body))
        assert (answer.status_code, answer.json()["code"]) == (503, "try_again")


async def test_event_of_a_stranger_is_ignored(shop):
    body = event(
        {"object": "payment_intent", "id": "pi_1", "metadata": {}}, "payment_intent.canceled"
    )
    assert (await post(shop, body, signed(body))).status_code == 204

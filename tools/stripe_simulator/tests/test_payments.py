"""Intents and refunds through the official SDK, checked against the ledger."""

from typing import Any

import pytest
import stripe

DECLINES = [
    ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
    ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
    ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
    ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
    ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
    ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
    ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
    ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
    ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
]


async def test_hold_then_capture_moves_the_money_once(gateway: Any) -> None:
    held = await gateway.authorize(payment_method="pm_card_mastercard")
    assert (held.status, held.amount_capturable, held.amount_received) == (
        "requires_capture",
        1999,
        0,
    )
    assert held.id.startswith("pi_")
    assert held.latest_charge.startswith("ch_")
    assert held.livemode is False
    taken = await gateway.intents.capture_async(held.id)
    assert (taken.status, taken.amount_capturable, taken.amount_received) == ("succeeded", 0, 1999)
    assert await gateway.simulator.totals() == {"authorized": 1999, "captured": 1999}
    charge = await gateway.client.v1.charges.retrieve_async(taken.latest_charge)
    assert (charge.captured, charge.payment_intent) == (True, held.id)
    assert charge.payment_method_details.card.brand == "mastercard"


async def test_cancel_voids_the_hold(gateway: Any) -> None:
    held = await gateway.authorize()
    canceled = await gateway.intents.cancel_async(held.id, {"cancellation_reason": "abandoned"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    assert await gateway.simulator.totals() == {"authorized": 1999, "voided": 1999}


async def test_partial_capture_releases_the_rest(gateway: Any) -> None:
    held = await gateway.authorize()
    taken = await gateway.intents.capture_async(held.id, {"amount_to_capture": 500})
    assert taken.amount_received == 500
    assert await gateway.simulator.totals() == {
        "authorized": 1999,
        "captured": 500,
        "voided": 1499,
    }


@pytest.mark.parametrize(("payment_method", "code", "decline_code"), DECLINES)
async def test_declining_cards_answer_as_stripe_documents(
    gateway: Any, payment_method: str, code: str, decline_code: str
) -> None:
    with pytest.raises(stripe.CardError) as caught:
        await gateway.authorize(payment_method=payment_method)
    error: Any = caught.value.error
    assert (caught.value.http_status, error.code, error.decline_code) == (402, code, decline_code)
    intent = error.payment_intent
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error.decline_code == decline_code
    assert await gateway.simulator.totals() == {}
    again = await gateway.intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    assert (again.status, again.last_payment_error) == ("requires_capture", None)


async def test_authentication_is_asked_of_a_present_customer(gateway: Any) -> None:
    asked = await gateway.authorize(payment_method="pm_card_authenticationRequired")
    assert (asked.status, asked.next_action.type) == ("requires_action", "use_stripe_sdk")
    passed = await gateway.simulator.admin("POST", f"authenticate/{asked.id}", {"succeed": True})
    assert passed["status"] == "requires_capture"


async def test_authentication_off_session_is_a_decline(gateway: Any) -> None:
    with pytest.raises(stripe.CardError) as caught:
        await gateway.authorize(payment_method="pm_card_authenticationRequired", off_session=True)
    assert caught.value.code == "authentication_required"


async def test_second_capture_and_late_cancel_are_refused_with_the_intent(gateway: Any) -> None:
    taken = await gateway.captured()
    for call in (gateway.intents.capture_async, gateway.intents.cancel_async):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            await call(taken.id)
        error: Any = caught.value.error
        assert (caught.value.http_status, error.code) == (400, "payment_intent_unexpected_state")
        assert error.payment_intent.id == taken.id
    assert await gateway.simulator.totals() == {"authorized": 1999, "captured": 1999}


async def test_refunds_never_exceed_the_capture(gateway: Any) -> None:
    taken = await gateway.captured()
    first = await gateway.refunds.create_async({"payment_intent": taken.id, "amount": 1500})
    assert (first.status, first.object) == ("succeeded", "refund")
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        await gateway.refunds.create_async({"payment_intent": taken.id, "amount": 500})
    rest = await gateway.refunds.create_async({"payment_intent": taken.id})
    assert rest.amount == 499
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await gateway.refunds.create_async({"payment_intent": taken.id})
    assert caught.value.code == "charge_already_refunded"
    listed = await gateway.refunds.list_async({"payment_intent": taken.id})
    assert [made.id for made in listed.data] == [rest.id, first.id]
    totals = await gateway.simulator.totals()
    assert totals["captured"] == totals["refunded"] == 1999


async def test_pending_refund_succeeds_later(gateway: Any) -> None:
    taken = await gateway.captured(payment_method="pm_card_pendingRefund")
    made = await gateway.refunds.create_async({"payment_intent": taken.id})
    assert made.status == "pending"
    assert "refunded" not in await gateway.simulator.totals()
    await gateway.simulator.advance(601)
    assert (await gateway.refunds.retrieve_async(made.id)).status == "succeeded"
    assert (await gateway.simulator.totals())["refunded"] == 1999


async def test_refund_that_fails_later_gives_the_money_back_to_us(gateway: Any) -> None:
    taken = await gateway.captured(payment_method="pm_card_refundFail")
    made = await gateway.refunds.create_async({"payment_intent": taken.id})
    assert made.status == "succeeded"
    await gateway.simulator.advance(601)
    failed = await gateway.refunds.retrieve_async(made.id)
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    ledger = await gateway.simulator.admin("GET", "ledger")
    assert ledger["totals"]["usd"]["net_minor"] == 1999


async def test_authorization_expires_after_seven_days(gateway: Any) -> None:
    held = await gateway.authorize()
    await gateway.simulator.advance(7 * 24 * 3600 + 1)
    expired = await gateway.intents.retrieve_async(held.id)
    assert (expired.status, expired.cancellation_reason) == ("canceled", "automatic")
    assert await gateway.simulator.totals() == {"authorized": 1999, "voided": 1999}


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"amount": 10}, "amount_too_small", "amount"),
        ({"amount": 10**9}, "amount_too_large", "amount"),
        ({"amount": "ten"}, "parameter_invalid_integer", "amount"),
        ({"currency": "xxx"}, None, "currency"),
        ({"payment_method": "pm_card_unheard_of"}, "resource_missing", "payment_method"),
        ({"confrim": True}, "parameter_unknown", "confrim"),
        ({"metadata": {"k" * 41: "v"}}, None, f"metadata[{'k' * 40}]"),
    ],
)
async def test_bad_parameters_are_named_and_charge_nothing(
    gateway: Any, changes: dict[str, Any], code: str | None, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await gateway.authorize(**changes)
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (400, code, param)
    assert (await gateway.intents.list_async()).data == []


@pytest.mark.parametrize(
    "changes",
    [
        {"payment_method": "4242424242424242"},
        {"payment_method_data": {"type": "card", "card": {"number": "4242424242424242"}}},
    ],
)
async def test_card_numbers_are_refused_and_not_repeated(
    gateway: Any, changes: dict[str, Any]
) -> None:
    with pytest.raises(stripe.StripeError, match="unsafe") as caught:
        await gateway.authorize(**changes)
    assert caught.value.http_status == 402
    assert "4242424242" not in str(caught.value.json_body)


async def test_unknown_ids_keys_and_addresses_are_refused(gateway: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await gateway.intents.retrieve_async("pi_nothing")
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")
    for key in ("sk_test_other", "sk_live_bookstore"):
        with pytest.raises(stripe.AuthenticationError):
            await gateway.intents.list_async({}, {"api_key": key})
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        await gateway.client.v1.customers.create_async()


async def test_pages_show_every_intent_once(gateway: Any) -> None:
    made = [(await gateway.authorize(amount=1000 + number)).id for number in range(7)]
    first = await gateway.intents.list_async({"limit": 3})
    assert first.has_more
    late = await gateway.authorize()
    seen = [intent.id async for intent in first.auto_paging_iter()]
    assert seen == made[::-1]
    newer = await gateway.intents.list_async({"ending_before": made[-1], "limit": 3})
    assert [intent.id for intent in newer.data] == [late.id]
    assert (await gateway.intents.list_async({"created": {"lt": 1000}})).data == []
    recent = await gateway.intents.list_async({"created": {"gte": late.created - 60}, "limit": 100})
    assert len(recent.data) == 8


async def test_search_finds_an_intent_by_metadata(gateway: Any) -> None:
    await gateway.authorize()
    wanted = await gateway.authorize(metadata={"payment_id": "payment-2"})
    found = await gateway.intents.search_async({"query": "metadata['payment_id']:'payment-2'"})
    assert [intent.id for intent in found.data] == [wanted.id]


async def test_events_tell_what_happened_with_the_object_as_it_was(gateway: Any) -> None:
    taken = await gateway.captured()
    listed = await gateway.events.list_async({"types": ["payment_intent.succeeded"]})
    assert [event.data.object.id for event in listed.data] == [taken.id]
    assert listed.data[0].data.object.amount_received == 1999
    everything = await gateway.events.list_async({"type": "payment_intent.*"})
    assert [event.type for event in everything.data] == [
        "payment_intent.succeeded",
        "payment_intent.amount_capturable_updated",
        "payment_intent.created",
    ]
    oldest = everything.data[-1]
    since = await gateway.events.list_async({"ending_before": oldest.id, "limit": 100})
    assert len(since.data) == 4


async def test_a_bad_expansion_captures_nothing(gateway: Any) -> None:
    held = await gateway.authorize()
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        await gateway.intents.capture_async(held.id, {"expand": ["secrets"]})
    assert (await gateway.intents.retrieve_async(held.id)).status == "requires_capture"
    assert await gateway.simulator.totals() == {"authorized": 1999}


async def test_latest_charge_expands(gateway: Any) -> None:
    held = await gateway.authorize(expand=["latest_charge"])
    assert held.latest_charge.object == "charge"


async def test_ledger_is_filtered_and_grouped_by_metadata(gateway: Any) -> None:
    await gateway.captured(metadata={"order_id": "a"})
    await gateway.authorize(metadata={"order_id": "b"})
    only_a = await gateway.simulator.admin("GET", "ledger?metadata[order_id]=a")
    assert [move["kind"] for move in only_a["moves"]] == ["authorized", "captured"]
    grouped = await gateway.simulator.admin("GET", "ledger/balances?by=order_id")
    assert grouped["balances"]["a"]["usd"]["captured_count"] == 1
    assert grouped["balances"]["b"]["usd"]["net_minor"] == 0
    await gateway.simulator.admin("GET", "ledger?kind=stolen", expect=400)

"""The judge of the Stripe simulator finds what it is there to find."""

from typing import Any

import pytest

from stripe_simulator.intents import Intent

from .stripe_shapes import differences

INTENT = Intent(
    id="pi_1",
    created=1_768_473_030,
    amount=1699,
    currency="eur",
    capture_method="manual",
    confirmation_method="automatic",
    metadata={"order_id": "order-1"},
).document()


def test_what_stripe_might_answer_passes() -> None:
    assert differences(INTENT) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"amount": "1699"}, "$.amount: "),
        ({"amount": None}, "$.amount: "),
        ({"created": "2026-01-15T10:30:30Z"}, "$.created: "),
        ({"livemode": 0}, "$.livemode: "),
        ({"status": "paid"}, "$.status: "),
        ({"colour": "blue"}, "$.colour: "),
        ({"metadata": {"order_id": 1}}, "$.metadata.order_id: "),
        ({"amount_details": {"tip": {"amount": "1"}}}, "$.amount_details.tip.amount: "),
        ({"latest_charge": {"object": "refund"}}, "$.latest_charge: "),
        ({"latest_charge": 1}, "$.latest_charge: "),
        ({"payment_method_types": "card"}, "$.payment_method_types: "),
        ({"payment_method_types": [1]}, "$.payment_method_types[0]: "),
        ({"object": "intent"}, "$.object: "),
    ],
)
def test_what_stripe_would_never_answer_is_found(change: dict[str, Any], where: str) -> None:
    (found,) = differences({**INTENT, **change})
    assert found.startswith(where)


@pytest.mark.parametrize(
    "name", ["amount", "capture_method", "created", "currency", "id", "livemode", "status"]
)
def test_field_that_is_always_there_is_missed(name: str) -> None:
    rest = {each: value for each, value in INTENT.items() if each != name}
    assert differences(rest) == [f"$.{name}: is missing, and PaymentIntent always has it"]


@pytest.mark.parametrize("name", ["client_secret", "description", "latest_charge"])
def test_optional_field_may_be_null_or_missing(name: str) -> None:
    rest = {each: value for each, value in INTENT.items() if each != name}
    assert differences(rest) == []
    assert differences({**rest, name: None}) == []


def test_what_a_list_or_an_event_encloses_is_judged_as_well() -> None:
    wrong = {**INTENT, "amount": "1699"}
    page = {"object": "list", "data": [INTENT, wrong], "has_more": False, "url": "/v1/x"}
    event = {
        "id": "evt_1",
        "object": "event",
        "created": 1,
        "data": {"object": wrong},
        "livemode": False,
        "pending_webhooks": 0,
        "type": "payment_intent.succeeded",
    }
    assert differences(page) == ["$.data[1].amount: '1699' is no int"]
    assert differences(event) == ["$.data.object.amount: '1699' is no int"]


def test_error_with_a_code_that_stripe_does_not_publish_is_found() -> None:
    error = {"type": "card_error", "code": "card_is_blue", "message": "No."}
    assert differences({"error": error}) == [
        "$.error.code: 'card_is_blue' is none of the published values"
    ]

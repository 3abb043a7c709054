"""The state machine, the circuit and the card-number guard: pure, so exhaustive."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.circuit import Circuit, CircuitOpen, State
from payment_service.domain import (
    TRANSITIONS,
    IllegalTransition,
    Intent,
    Payment,
    Refund,
    Status,
    is_stray,
    looks_like_card_number,
    refund_settled,
    settled,
)

INTENT_STATUSES = (
    "requires_payment_method", "requires_confirmation", "requires_action", "processing",
    "requires_capture", "canceled", "succeeded", "missing", "of_the_future",
)  # fmt: skip
REFUND_STATUSES = ("pending", "requires_action", "succeeded", "failed", "canceled", "missing")


def payment(status: Status, **changes: object) -> Payment:
    given = {"amount_minor": 100, "currency": "EUR", "intent_id": "pi_1", **changes}
    return Payment("p", "o", status, **given)


@pytest.mark.parametrize(("old", "new"), list(itertools.product(Status, Status)))
def test_only_the_drawn_moves_are_legal(old, new):
    if new in TRANSITIONS[old]:
        assert payment(old).to(new).status is new
    else:
        with pytest.raises(IllegalTransition):
            payment(old).to(new)


def test_absorbing_states_absorb():
    absorbing = {status for status, targets in TRANSITIONS.items() if not targets}
    assert absorbing == {Status.DECLINED, Status.VOIDED, Status.REFUND_FAILED}


@pytest.mark.parametrize(("status", "shown"), list(itertools.product(Status, INTENT_STATUSES)))
def test_any_intent_moves_any_payment_legally_or_not_at_all(status, shown):
    before = payment(status, intent_id=None if status is Status.AUTHORIZING else "pi_1")
    intent = Intent("pi_1", shown, 100, "EUR")
    after = settled(before, intent)
    if after is not None:
        assert after.status in TRANSITIONS[status]
        assert settled(after, intent) is None or after.status is not settled(after, intent).status


@pytest.mark.parametrize(("status", "shown"), list(itertools.product(Status, REFUND_STATUSES)))
def test_any_refund_moves_any_payment_legally_or_not_at_all(status, shown):
    after = refund_settled(payment(status), Refund("re_1", "pi_1", shown))
    assert after is None or after.status in TRANSITIONS[status]


def test_another_refund_than_ours_moves_nothing():
    ours = payment(Status.REFUND_PENDING, refund_id="re_1")
    assert refund_settled(ours, Refund("re_2", "pi_1", "succeeded")) is None


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.AUTHORIZING])
def test_hold_that_is_not_the_payments_own_is_stray(status):
    hold = Intent("pi_2", "requires_capture", 100, "EUR")
    assert is_stray(payment(status), hold)
    assert not is_stray(payment(status), replace(hold, intent_id="pi_1"))
    assert not is_stray(payment(status), replace(hold, status="canceled"))


@pytest.mark.parametrize(
    "text", ["pm_4242424242424242", "4242 4242 4242 4242", "5555-5555-5555-4444", "378282246310005"]
)
def test_card_numbers_are_recognised(text):
    assert looks_like_card_number(text)


@pytest.mark.parametrize(
    "text", ["pm_card_visa", "pm_1NvxK2eZvKYlo2C0kQ8g9Fz1", "4242424242424241"]
)
def test_tokens_are_no_card_numbers(text):
    assert not looks_like_card_number(text)


@given(st.text(max_size=300))
def test_any_text_can_be_judged(text):
    assert looks_like_card_number(text) in (True, False)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_circuit_opens_after_failures_in_a_row_only():
    circuit = Circuit(failures=3, open_seconds=5, clock=Clock())
    for _ in range(10):
        circuit.failed()
        circuit.failed()
        circuit.succeeded()
    assert circuit.state is State.CLOSED
    for _ in range(3):
        circuit.failed()
    with pytest.raises(CircuitOpen) as refusal:
        circuit.enter()
    assert 5 <= refusal.value.seconds <= 7.5


@pytest.mark.parametrize("ending", ["succeeded", "failed", "abandoned"])
def test_half_open_circuit_lets_one_probe_decide(ending):
    clock = Clock()
    circuit = Circuit(failures=1, open_seconds=5, clock=clock)
    circuit.failed()
    clock.now = 5.0
    circuit.enter()
    with pytest.raises(CircuitOpen):
        circuit.enter()
    getattr(circuit, ending)()
    assert circuit.state is {
        "succeeded": State.CLOSED, "failed": State.OPEN, "abandoned": State.HALF_OPEN
    }[ending]  # fmt: skip

"""The saga engine as a pure function: what each signal leads to, from every state it can meet.

The toy saga borrows real messages: two steps that can be undone, a pivot, and one step after it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from contracts.models.catalog import (
    ItemsRestocked,
    ReleaseStock,
    RestockItems,
    StockReleased,
    StockUnavailable,
)
from contracts.models.common import Money
from contracts.models.order import OrderCancelled, OrderRejected
from contracts.models.payment import (
    CapturePayment,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    RefundPayment,
    VoidPayment,
)
from sagas import (
    Advance,
    DeadlinePassed,
    Instance,
    Refusal,
    Reply,
    Request,
    Saga,
    Status,
    Step,
    advance,
    begin,
)

ORDER = "11111111-1111-4111-8111-111111111111"
PAYMENT = "22222222-2222-4222-8222-222222222222"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
MONEY = Money(amount_minor=100, currency="EUR")
MAX_RESENDS = 2


class Data(BaseModel):
    order_id: str
    payment_id: str


def completed(data: Data) -> OrderCancelled:
    return OrderCancelled(order_id=data.order_id, customer_id="c", refunded=MONEY)


def compensated(data: Data, refusal: Refusal) -> OrderRejected:
    return OrderRejected(order_id=data.order_id, customer_id="c", reason=refusal["reason"])


# Commands: RestockItems / ReleaseStock, CapturePayment / VoidPayment, RefundPayment. The names do
# not matter to the engine; only which reply answers which request does.
TOY = Saga(
    name="toy",
    version=1,
    data=Data,
    steps=[
        Step(
            "first",
            action=Request(
                lambda d: RestockItems(order_id=d.order_id),
                success=ItemsRestocked,
                failure=StockUnavailable,
            ),
            compensation=Request(
                lambda d: ReleaseStock(order_id=d.order_id), success=StockReleased
            ),
            deadline=timedelta(seconds=10),
        ),
        Step(
            "second",
            action=Request(
                lambda d: CapturePayment(order_id=d.order_id, payment_id=d.payment_id),
                success=PaymentCaptured,
                failure=PaymentDeclined,
            ),
            compensation=Request(
                lambda d: VoidPayment(order_id=d.order_id, payment_id=d.payment_id),
                success=PaymentVoided,
            ),
            deadline=timedelta(seconds=20),
        ),
        Step(
            "pivot",
            action=Request(
                lambda d: RefundPayment(order_id=d.order_id, payment_id=d.payment_id),
                success=PaymentRefunded,
            ),
            deadline=timedelta(seconds=30),
        ),
    ],
    on_completed=completed,
    on_compensated=compensated,
    max_resends=MAX_RESENDS,
)

FIRST_DONE = ItemsRestocked(order_id=ORDER)
FIRST_REFUSED = StockUnavailable(order_id=ORDER, reason="out_of_stock")
FIRST_UNDONE = StockReleased(order_id=ORDER)
SECOND_DONE = PaymentCaptured(order_id=ORDER, payment_id=PAYMENT, amount=MONEY)
SECOND_REFUSED = PaymentDeclined(order_id=ORDER, payment_id=PAYMENT, reason="card_declined")
SECOND_UNDONE = PaymentVoided(order_id=ORDER, payment_id=PAYMENT)
PIVOT_DONE = PaymentRefunded(order_id=ORDER, payment_id=PAYMENT, amount=MONEY)

REPLIES: list[BaseModel] = [
    FIRST_DONE, FIRST_REFUSED, FIRST_UNDONE, SECOND_DONE, SECOND_REFUSED, SECOND_UNDONE, PIVOT_DONE,
]  # fmt: skip
# The deadline of the last command, whichever that is.
LAST_DEADLINE = "last deadline"
Signal = BaseModel | DeadlinePassed | str


def start() -> Advance:
    return begin(TOY, ORDER, Data(order_id=ORDER, payment_id=PAYMENT), NOW)


def play(*signals: Signal, saga: Saga[Any] = TOY) -> list[Advance]:
    """Every step of a run, the beginning included."""
    moves = [start()]
    for signal in signals:
        moves.append(move(moves[-1].instance, signal, saga))
    return moves


def move(instance: Instance, signal: Signal, saga: Saga[Any] = TOY) -> Advance:
    if signal == LAST_DEADLINE:
        signal = DeadlinePassed(instance.turn)
    if isinstance(signal, DeadlinePassed):
        return advance(saga, instance, signal, NOW)
    assert isinstance(signal, BaseModel)
    return advance(saga, instance, Reply(signal), NOW)


def sent(moves: Sequence[Advance]) -> list[str]:
    return [type(each.payload).__name__ for made in moves for each in made.outgoing]


def resting(status: Status, *signals: Signal) -> Instance:
    """The instance after these signals, which must lead to this status."""
    instance = play(*signals)[-1].instance
    assert instance.status is status
    return instance


# Every situation that the toy saga can be in, by the signals that lead there.
FIRST_PENDING: tuple[Signal, ...] = ()
SECOND_PENDING: tuple[Signal, ...] = (FIRST_DONE,)
PIVOT_PENDING: tuple[Signal, ...] = (FIRST_DONE, SECOND_DONE)
COMPLETED = (*PIVOT_PENDING, PIVOT_DONE)
UNDOING_FIRST = (*SECOND_PENDING, SECOND_REFUSED)
UNDOING_SECOND = (*SECOND_PENDING, LAST_DEADLINE)
REFUSED_AT_ONCE = (FIRST_REFUSED,)
COMPENSATED = (*UNDOING_FIRST, FIRST_UNDONE)
PARKED_AT_PIVOT = (*PIVOT_PENDING, *[LAST_DEADLINE] * (MAX_RESENDS + 1))
PARKED_UNDOING = (*UNDOING_SECOND, *[LAST_DEADLINE] * (MAX_RESENDS + 1))


def test_every_step_succeeds_and_the_saga_completes() -> None:
    moves = play(FIRST_DONE, SECOND_DONE, PIVOT_DONE)
    assert sent(moves) == ["RestockItems", "CapturePayment", "RefundPayment", "OrderCancelled"]
    assert [each.instance.status for each in moves] == [Status.RUNNING] * 3 + [Status.COMPLETED]
    assert [each.instance.deadline_seconds for each in moves] == [10, 20, 30, None]


@pytest.mark.parametrize(
    ("signals", "expected", "reason"),
    [
        ((FIRST_REFUSED,), ["RestockItems", "OrderRejected"], "out_of_stock"),
        (
            (FIRST_DONE, SECOND_REFUSED, FIRST_UNDONE),
            ["RestockItems", "CapturePayment", "ReleaseStock", "OrderRejected"],
            "card_declined",
        ),
    ],
)
def test_a_refusal_undoes_exactly_the_earlier_steps(
    signals: tuple[Signal, ...], expected: list[str], reason: str
) -> None:
    moves = play(*signals)
    assert sent(moves) == expected
    assert moves[-1].instance.status is Status.COMPENSATED
    assert moves[-1].outgoing[0].payload.model_dump()["reason"] == reason


def test_a_refused_pivot_undoes_all_before_it_in_reverse() -> None:
    pivot = TOY.steps[2]
    refusable = Saga(
        name=TOY.name, version=1, data=Data, on_completed=completed,
        on_compensated=lambda data, refusal: None,
        steps=[*TOY.steps[:2], Step("pivot", deadline=pivot.deadline, action=Request(
            pivot.action.build, success=PaymentRefunded, failure=OrderRejected))],
    )  # fmt: skip
    refusal = OrderRejected(order_id=ORDER, customer_id="c", reason="no")
    moves = play(*PIVOT_PENDING, refusal, SECOND_UNDONE, FIRST_UNDONE, saga=refusable)
    assert sent(moves)[3:] == ["VoidPayment", "ReleaseStock"]
    assert moves[-1].instance.status is Status.COMPENSATED
    assert moves[-1].outgoing == ()


@pytest.mark.parametrize(
    ("pending", "compensations"),
    [
        (FIRST_PENDING, ["ReleaseStock"]),
        (SECOND_PENDING, ["VoidPayment", "ReleaseStock"]),
    ],
)
def test_a_deadline_undoes_the_current_step_too(
    pending: tuple[Signal, ...], compensations: list[str]
) -> None:
    undone = {"VoidPayment": SECOND_UNDONE, "ReleaseStock": FIRST_UNDONE}
    moves = play(*pending, LAST_DEADLINE, *(undone[name] for name in compensations))
    assert sent(moves)[len(pending) + 1 :] == [*compensations, "OrderRejected"]
    step = "first" if pending == FIRST_PENDING else "second"
    assert moves[-1].outgoing[0].payload.model_dump()["reason"] == f"{step}_timeout"
    assert moves[-1].instance.status is Status.COMPENSATED


@pytest.mark.parametrize(
    ("pending", "command"), [(PIVOT_PENDING, "RefundPayment"), (UNDOING_SECOND, "VoidPayment")]
)
def test_where_nothing_can_be_undone_a_deadline_resends_a_bounded_number_of_times_then_parks(
    pending: tuple[Signal, ...], command: str
) -> None:
    moves = play(*pending, *[LAST_DEADLINE] * (MAX_RESENDS + 1))[len(pending) + 1 :]
    assert sent(moves) == [command] * MAX_RESENDS
    assert len({each.instance.turn for each in moves[:-1]}) == MAX_RESENDS
    parked = moves[-1].instance
    assert parked.status is Status.PARKED
    assert parked.deadline_seconds is None
    assert parked.history[-1]["event"] == "parked"


def test_after_a_reply_the_next_command_has_all_its_resends_again() -> None:
    moves = play(*UNDOING_SECOND, *[LAST_DEADLINE] * MAX_RESENDS, SECOND_UNDONE, LAST_DEADLINE)
    assert sent(moves)[-2:] == ["ReleaseStock", "ReleaseStock"]
    assert moves[-1].instance.status is Status.COMPENSATING


@pytest.mark.parametrize(
    ("parked", "reply", "status", "next_command"),
    [
        (PARKED_AT_PIVOT, PIVOT_DONE, Status.COMPLETED, "OrderCancelled"),
        (PARKED_UNDOING, SECOND_UNDONE, Status.COMPENSATING, "ReleaseStock"),
    ],
)
def test_the_awaited_reply_moves_a_parked_saga_on(
    parked: tuple[Signal, ...], reply: BaseModel, status: Status, next_command: str
) -> None:
    moved = move(resting(Status.PARKED, *parked), reply)
    assert moved.instance.status is status
    assert sent([moved]) == [next_command]


def test_a_parked_step_in_the_middle_runs_on_after_its_reply() -> None:
    steps = [TOY.steps[2], *(Step(s.name, Request(s.action.build, s.action.success), s.deadline)
                             for s in TOY.steps[:2])]  # fmt: skip
    forward = Saga(
        name="toy", version=1, data=Data, steps=steps, max_resends=0,
        on_completed=completed, on_compensated=compensated,
    )  # fmt: skip
    begun = begin(forward, ORDER, Data(order_id=ORDER, payment_id=PAYMENT), NOW)
    parked = move(begun.instance, LAST_DEADLINE, forward).instance
    assert parked.status is Status.PARKED
    moved = move(parked, PIVOT_DONE, forward)
    assert moved.instance.status is Status.RUNNING
    assert moved.instance.deadline_seconds == 10


SITUATIONS: dict[str, tuple[tuple[Signal, ...], list[BaseModel]]] = {
    "first pending": (FIRST_PENDING, [FIRST_DONE, FIRST_REFUSED]),
    "second pending": (SECOND_PENDING, [SECOND_DONE, SECOND_REFUSED]),
    "pivot pending": (PIVOT_PENDING, [PIVOT_DONE]),
    "undoing first": (UNDOING_FIRST, [FIRST_UNDONE]),
    "undoing second": (UNDOING_SECOND, [SECOND_UNDONE]),
    "completed": (COMPLETED, []),
    "compensated": (COMPENSATED, []),
    "refused at once": (REFUSED_AT_ONCE, []),
    "parked at the pivot": (PARKED_AT_PIVOT, [PIVOT_DONE]),
    "parked undoing": (PARKED_UNDOING, [SECOND_UNDONE]),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_only_the_awaited_replies_move_a_saga(situation: str) -> None:
    """Duplicates, stragglers and answers to what was given up: all stale, all without effect."""
    signals, awaited = SITUATIONS[situation]
    instance = play(*signals)[-1].instance
    for reply in REPLIES:
        moved = move(instance, reply)
        if reply in awaited:
            assert moved.instance.turn == instance.turn + 1
        else:
            assert moved == Advance(instance)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_deadline_of_an_earlier_command_moves_nothing(situation: str) -> None:
    instance = play(*SITUATIONS[situation][0])[-1].instance
    for turn in [*range(instance.turn), instance.turn + 1]:
        assert move(instance, DeadlinePassed(turn)) == Advance(instance)


@pytest.mark.parametrize("situation", ["completed", "compensated", "refused at once"])
def test_an_ended_saga_absorbs_every_signal(situation: str) -> None:
    ended = play(*SITUATIONS[situation][0])[-1].instance
    signals: list[Signal] = [*REPLIES, LAST_DEADLINE]
    for signal in signals:
        assert move(ended, signal) == Advance(ended)


@pytest.mark.parametrize("situation", ["parked at the pivot", "parked undoing"])
def test_no_deadline_moves_a_parked_saga(situation: str) -> None:
    parked = play(*SITUATIONS[situation][0])[-1].instance
    assert move(parked, LAST_DEADLINE) == Advance(parked)


def test_the_history_tells_who_was_asked_and_who_answered_when() -> None:
    answered_at = NOW + timedelta(seconds=1)
    moved = advance(TOY, start().instance, Reply(FIRST_REFUSED, sent_at=answered_at), NOW)
    now, catalog = NOW.isoformat(), "catalog"
    assert list(moved.instance.history) == [
        {"at": now, "event": "sent", "message": "RestockItems", "service": catalog,
         "step": "first"},
        {"at": now, "event": "received", "message": "StockUnavailable", "service": catalog,
         "step": "first", "sent_at": answered_at.isoformat()},
        {"at": now, "event": "compensated", "message": "OrderRejected", "service": "order"},
    ]  # fmt: skip


LEGAL = {
    Status.RUNNING: {
        Status.RUNNING, Status.COMPLETED, Status.COMPENSATING, Status.COMPENSATED, Status.PARKED,
    },
    Status.COMPENSATING: {Status.COMPENSATING, Status.COMPENSATED, Status.PARKED},
    Status.PARKED: {Status.PARKED, Status.RUNNING, Status.COMPLETED, Status.COMPENSATING,
                    Status.COMPENSATED},
    Status.COMPLETED: {Status.COMPLETED},
    Status.COMPENSATED: {Status.COMPENSATED},
}  # fmt: skip

random_signals = st.lists(
    st.one_of(
        st.sampled_from(REPLIES),
        st.just(LAST_DEADLINE),
        st.integers(0, 12).map(DeadlinePassed),
    ),
    max_size=25,
)


@given(random_signals)
def test_whatever_comes_in_whatever_order_the_invariants_hold(signals: list[Signal]) -> None:
    moves = play(*signals)
    done: list[str] = []
    for before, after, signal in zip(moves, moves[1:], signals, strict=False):
        old, new = before.instance, after.instance
        assert new.status in LEGAL[old.status]
        # One command is outstanding at most, and each has a number of its own.
        assert len(after.outgoing) <= 1
        assert new.turn == old.turn + len(after.outgoing)
        assert new.turn > old.turn or new.status is Status.PARKED or new == old
        # Whoever waits has a deadline; nobody else has.
        waits = new.status in (Status.RUNNING, Status.COMPENSATING)
        assert (new.deadline_seconds is not None) == waits
        assert new.resends <= MAX_RESENDS
        assert new.history[: len(old.history)] == old.history
        # Once undoing, always undoing; past the pivot, nothing is undone.
        assert new.undoing or not old.undoing
        assert (new.id, new.saga, new.version, new.data) == (
            old.id,
            old.saga,
            old.version,
            old.data,
        )
        # The same instance and signal: the same outcome, with the same causes.
        assert move(old, signal) == after
        done += [type(each.payload).__name__ for each in after.outgoing]
    assert not {"OrderCancelled", "OrderRejected"} <= set(done)
    assert done.count("OrderCancelled") + done.count("OrderRejected") <= 1
    causes = [each.cause for made in moves for each in made.outgoing]
    assert len(set(causes)) == len(causes)
    if "RefundPayment" in done:  # The pivot was reached, and this one cannot be refused.
        assert not {"VoidPayment", "ReleaseStock"} & set(done)


@given(random_signals)
def test_from_anywhere_answers_bring_a_saga_to_its_end(signals: list[Signal]) -> None:
    instance = play(*signals)[-1].instance
    for _ in range(2 * len(TOY.steps)):
        for reply in (FIRST_DONE, SECOND_DONE, PIVOT_DONE, SECOND_UNDONE, FIRST_UNDONE):
            instance = move(instance, reply).instance
    assert instance.status.is_final


@given(random_signals)
def test_from_anywhere_deadlines_alone_end_or_park_a_saga(signals: list[Signal]) -> None:
    instance = play(*signals)[-1].instance
    for _ in range((MAX_RESENDS + 1) * 2 + 1):
        instance = move(instance, LAST_DEADLINE).instance
    assert instance.status.is_final or instance.status is Status.PARKED

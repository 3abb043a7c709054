"""A definition that could not be undone or finished is refused when it is built."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from contracts.models.catalog import ReleaseStock, RestockItems, StockReleased
from contracts.models.order import OrderCancelled
from contracts.models.payment import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
)
from sagas import InvalidSaga, Request, Saga, Step

MINUTE = timedelta(minutes=1)


class Data(BaseModel):
    order_id: str


def command(data: Data) -> ReleaseStock:
    return ReleaseStock(order_id=data.order_id)


def step(
    name: str,
    success: type[BaseModel],
    *,
    failure: type[BaseModel] | None = None,
    undone: type[BaseModel] | None = None,
    undo_failure: type[BaseModel] | None = None,
    deadline: timedelta = MINUTE,
) -> Step[Data]:
    return Step(
        name,
        action=Request(command, success=success, failure=failure),
        compensation=Request(command, success=undone, failure=undo_failure) if undone else None,
        deadline=deadline,
    )


def saga(*steps: Step[Data], **changes: Any) -> Saga[Data]:
    return Saga(
        name="toy",
        version=1,
        data=Data,
        steps=steps,
        on_completed=lambda data: RestockItems(order_id=data.order_id),
        on_compensated=lambda data, refusal: None,
        **changes,
    )


HOLD = step("hold", PaymentAuthorized, failure=PaymentDeclined, undone=PaymentVoided)
TAKE = step("take", PaymentCaptured)


def test_a_sound_definition_is_accepted_and_knows_its_pivot() -> None:
    sound = saga(HOLD, TAKE)
    assert sound.pivot == 1
    assert sound.replies == [PaymentAuthorized, PaymentDeclined, PaymentVoided, PaymentCaptured]


def test_without_a_pivot_all_can_be_undone() -> None:
    assert saga(HOLD).pivot == 1


def test_the_pivot_itself_may_fail() -> None:
    assert saga(step("take", PaymentCaptured, failure=PaymentDeclined)).pivot == 0


def test_its_longest_life_counts_every_resend_of_every_command() -> None:
    # Two actions and one compensation, each sent three times a minute apart.
    assert saga(HOLD, TAKE, max_resends=2).longest_life() == timedelta(minutes=9)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([], "no steps"),
        ([TAKE, step("give", PaymentRefunded, undone=StockReleased)], "after the pivot.*undone"),
        ([TAKE, step("give", PaymentRefunded, failure=PaymentDeclined)], "after the pivot.*fail"),
        ([HOLD, step("hold", PaymentCaptured)], "two steps of one name"),
        ([TAKE, step("again", PaymentCaptured)], "one reply answers two requests"),
        ([HOLD, step("take", PaymentVoided)], "one reply answers two requests"),
        (
            [step("hold", PaymentAuthorized, undone=PaymentVoided, undo_failure=OrderCancelled)],
            "compensation of hold may not fail",
        ),
        ([step("take", PaymentCaptured, deadline=timedelta(0))], "no time"),
    ],
)
def test_a_contradiction_is_refused(steps: list[Step[Data]], reason: str) -> None:
    with pytest.raises(InvalidSaga, match=reason):
        saga(*steps)

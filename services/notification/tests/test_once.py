"""At most once, and not less: duplicates, crashes, answers that never came."""

import asyncio
from datetime import timedelta

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    ReadTimeoutError,
)

from messaging import RetryLater
from notification_service.domain import MAX_ATTEMPTS, State

URL = "https://email.us-east-1.amazonaws.com"
A_MOMENT = timedelta(minutes=2)


class Crash(BaseException):
    """The process ends here."""


def refusal(code, status=400, message="no"):
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
        },
        "SendRawEmail",
    )


async def crash():
    raise Crash


async def test_confirmed_order_is_mailed(desk, outbox, order):
    await desk.tell(order.contact(name="Ada"))
    await desk.tell(order.confirmed())
    assert outbox.names(order) == ["confirmed"]
    assert await desk.state(order, "confirmed") == State.SENT


async def test_duplicate_event_sends_once(desk, outbox, order):
    await desk.tell(order.contact())
    event = order.confirmed()
    for _ in range(3):
        await desk.tell(event)
    assert outbox.names(order) == ["confirmed"]


async def test_concurrent_duplicates_on_two_workers_send_once(desk, new_desk, outbox, order):
    await desk.tell(order.contact())
    event, other = order.confirmed(), new_desk()
    done = await asyncio.gather(
        *(each.tell(event) for each in (desk, other) * 4), return_exceptions=True
    )
    assert all(each is None or isinstance(each, RetryLater) for each in done), done
    assert outbox.names(order) == ["confirmed"]


async def test_crash_while_sending_ends_as_unknown_and_is_not_sent_again(
    desk, new_desk, outbox, clock, order
):
    await desk.tell(order.contact())
    event = order.confirmed()
    outbox.script = [crash]
    with pytest.raises(Crash):
        await desk.tell(event)
    with pytest.raises(RetryLater) as early:
        await new_desk().tell(event)
    assert 0 < early.value.seconds <= 3
    clock.pass_(A_MOMENT)
    await new_desk().tell(event)
    assert await desk.state(order, "confirmed") == State.UNKNOWN
    assert outbox.calls == 1


async def test_crash_between_sending_and_marking_is_not_sent_again(desk, outbox, clock, order):
    await desk.tell(order.contact())
    event, crash_after = order.confirmed(), Crash()
    outbox.script, outbox.lost = [crash_after], {id(crash_after)}
    with pytest.raises(Crash):
        await desk.tell(event)
    assert outbox.names(order) == ["confirmed"]
    clock.pass_(A_MOMENT)
    await desk.tell(event)
    assert await desk.state(order, "confirmed") == State.UNKNOWN
    assert outbox.names(order) == ["confirmed"]


async def test_the_sweep_finds_a_mail_whose_worker_died(desk, outbox, clock, order):
    await desk.tell(order.contact())
    outbox.script = [crash]
    with pytest.raises(Crash):
        await desk.tell(order.confirmed())
    clock.pass_(timedelta(minutes=6))
    while await desk.sweep.sweep():
        pass
    assert await desk.state(order, "confirmed") == State.UNKNOWN


@pytest.mark.parametrize(
    "lost",
    [
        ReadTimeoutError(endpoint_url=URL),
        ConnectionClosedError(endpoint_url=URL),
        TimeoutError(),
        refusal("InternalFailure", 500),
        refusal("ServiceUnavailable", 503),
        refusal("RequestTimeout", 408),
    ],
    ids=lambda error: str(error)[:40],
)
async def test_lost_answer_is_never_asked_for_again(desk, outbox, order, lost):
    outbox.script, outbox.lost = [lost], {id(lost)}
    await desk.tell(order.contact())
    event = order.confirmed()
    await desk.tell(event)
    await desk.tell(event)
    assert await desk.state(order, "confirmed") == State.UNKNOWN
    assert outbox.names(order) == ["confirmed"]


@pytest.mark.parametrize(
    "refused",
    [
        refusal("Throttling"),
        refusal("ThrottlingException", 503),
        refusal("AccountSendingPausedException"),
        refusal("AccessDenied", 403),
        refusal("MessageRejected", message="Email address is not verified: ada@example.com"),
        ConnectTimeoutError(endpoint_url=URL),
    ],
    ids=lambda error: str(error)[:60],
)
async def test_refusal_for_now_is_tried_again_and_sent_once(desk, outbox, order, refused):
    outbox.script = [refused, refused]
    await desk.tell(order.contact())
    await desk.tell(order.confirmed())
    assert await desk.state(order, "confirmed") == State.SENT
    assert (outbox.calls, outbox.names(order)) == (3, ["confirmed"])


async def test_refusal_for_good_withholds_the_mail(desk, outbox, order):
    outbox.script = [refusal("InvalidParameterValue")]
    await desk.tell(order.contact())
    await desk.tell(order.confirmed())
    assert await desk.state(order, "confirmed") == "withheld/refused"
    assert outbox.calls == 1


async def test_endless_throttling_ends_after_a_bounded_number_of_tries(desk, outbox, order):
    await desk.tell(order.contact())
    event = order.confirmed()
    outbox.script = [refusal("Throttling") for _ in range(100)]
    waits = []
    for _ in range(MAX_ATTEMPTS):
        try:
            await desk.tell(event)
        except RetryLater as later:
            waits.append(later.seconds)
    assert outbox.calls == MAX_ATTEMPTS
    assert await desk.state(order, "confirmed") == "withheld/gave_up"
    assert all(0 < seconds <= 900 for seconds in waits)


async def test_who_stood_still_until_the_lease_may_end_sends_nothing(
    desk, new_desk, interposed, outbox, clock, order
):
    await desk.tell(order.contact())

    async def stand_still():
        clock.pass_(timedelta(seconds=55))

    interposed.after = [None, stand_still] * 3  # After begin; then it is put back, thrice.
    with pytest.raises(RetryLater):
        await new_desk(interposed).tell(order.confirmed())
    assert outbox.calls == 0


async def test_settled_mail_keeps_no_facts(desk, order):
    await desk.tell(order.contact())
    await desk.tell(order.confirmed())
    assert (await desk.mail(order, "confirmed")).facts == {}

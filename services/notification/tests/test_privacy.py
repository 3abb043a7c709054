"""A customer's address and name appear in the mail, and nowhere else."""

import contextlib
import io
import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError
from prometheus_client import generate_latest

from messaging import DeadLetter, RetryLater
from messaging.dispatch import Table as Dispatch
from notification_service.handlers import Handlers, reactions
from observability import configure_logging

PERSONAL = ("ada.lovelace", "example.com", "Lovelace", "example.org")


@pytest.fixture
def logged():
    """`logged()`: all that was logged, at DEBUG, as a process of ours does it."""
    root, written = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    with contextlib.redirect_stdout(written):
        configure_logging("notification", level="DEBUG")
    yield written.getvalue
    root.handlers[:] = handlers
    root.setLevel(level)


async def attempt(desk, event):
    """As the consumer does; what it would log or attach to a dead letter."""
    try:
        await desk.tell(event)
    except (RetryLater, DeadLetter) as told:
        return f"{told!r} {told.__cause__!r}"
    return ""


async def test_contact_is_never_logged_whatever_happens(desk, outbox, clock, order, logged):
    address = "ada.lovelace@example.com"
    message = f"Email address is not verified: {address}"
    quoting = {"Error": {"Code": "MessageRejected", "Message": message}}
    quoting["ResponseMetadata"] = {"HTTPStatusCode": 400}
    told = [
        await attempt(desk, order.contact(email=address, name="Ada Lovelace", locale="de")),
        await attempt(desk, order.confirmed()),
    ]
    outbox.script = [ClientError(quoting, "SendRawEmail")] * 4 + [TimeoutError(address)]
    told.append(await attempt(desk, order.rejected()))
    told.append(await attempt(desk, order.rejected()))
    await desk.profiles.suppress(address, "bounce")
    told.append(await attempt(desk, order.cancelled()))
    told.append(await attempt(desk, order.contact(3, email="ada@example.org")))
    told.append(await attempt(desk, order.erased(version=4)))
    clock.pass_(timedelta(minutes=2))  # The order is free again.
    await desk.mails.record(order.key("refunded"), {})  # Cannot be written.
    told.append(await attempt(desk, order.contact(5, email="ada@example.org", name="Ada Lovelace")))
    told += [logged(), generate_latest().decode()]
    assert "is withheld" in told[-2]
    assert "cannot be written" in str(told)
    for personal in PERSONAL:
        assert personal not in str(told)


async def test_contact_that_breaks_its_contract_is_refused_without_quoting_it(
    desk, order, envelope
):
    message = envelope(order.contact(email="ada.lovelace@example.com"))
    contact = {"email": "ada.lovelace at example.com", "name": "Lovelace\n"}
    broken = replace(message, data={**message.data, "contact": contact})
    with pytest.raises(DeadLetter) as refused:
        Dispatch(reactions(Handlers(desk.courier, desk.profiles, desk.titles))).find(broken)
    for personal in PERSONAL:
        assert personal not in str(refused.value)


async def test_erasure_leaves_a_mail_that_is_being_sent_to_its_sender(desk, outbox, order):
    async def erase():
        with pytest.raises(RetryLater):
            await desk.tell(order.erased())
        assert await desk.state(order, "confirmed") == "sending"

    await desk.tell(order.contact())
    outbox.script = [erase]
    await desk.tell(order.confirmed())
    assert await desk.state(order, "confirmed") == "sent"
    await desk.tell(order.erased())
    assert outbox.names(order) == ["confirmed"]


async def test_erasure_withholds_a_mail_that_was_refused_for_now_meanwhile(desk, outbox, order):
    slow = {"Error": {"Code": "Throttling"}, "ResponseMetadata": {"HTTPStatusCode": 400}}

    async def erase():
        with pytest.raises(RetryLater):
            await desk.tell(order.erased())
        raise ClientError(slow, "SendRawEmail")

    await desk.tell(order.contact())
    outbox.script = [erase]
    await desk.tell(order.confirmed())
    await desk.tell(order.erased())
    await desk.tell(order.contact(3))
    assert await desk.state(order, "confirmed") == "withheld/erased"
    assert outbox.names(order) == []

"""The order of an order's mails, and contacts that come early, late or go: in every permutation."""

import asyncio
import itertools
import os
import random
from datetime import timedelta

import pytest
from botocore.exceptions import ConnectTimeoutError

from messaging import RetryLater
from notification_service.domain import Kind, State
from notification_service.mails import Unwritable
from notification_service.table import Contended

STAGES = ["confirmed", "refunded", "cancelled"]


def in_causal_order(kinds):
    return sorted(kinds, key=STAGES.index) == kinds


async def settle(desks, pending, choose, clock):
    """Hand in until everything is handled; what is too early comes again."""
    for _ in range(400):
        if not pending:
            return
        event = choose(pending)
        try:
            await choose(desks).tell(event)
            pending.remove(event)
        except RetryLater:
            clock.pass_(timedelta(seconds=1))
    raise AssertionError(f"never at rest: {pending}")


def events_of(order):
    return [order.contact(), order.confirmed(), order.refunded(), order.cancelled()]


@pytest.mark.parametrize("places", list(itertools.permutations(range(4))), ids=str)
async def test_every_order_of_events_mails_each_once_or_as_superseded(desk, outbox, order, places):
    events = events_of(order)
    for place in places:
        await desk.tell(events[place])
    states = {kind: await desk.state(order, kind) for kind in STAGES}
    assert set(states.values()) <= {State.SENT, "withheld/superseded"}
    assert states["cancelled"] == State.SENT
    sent = outbox.names(order)
    assert sent == [kind for kind in STAGES if states[kind] == State.SENT]
    for event in events:  # The whole history again changes nothing.
        await desk.tell(event)
    assert outbox.names(order) == sent


async def test_concurrent_events_on_two_workers_keep_the_order(
    desk, new_desk, outbox, clock, new_order
):
    seed = int(os.environ.get("SEED", random.randrange(10**6)))
    print(f"SEED={seed}")
    chance = random.Random(seed)
    for _ in range(12):
        order, workers = new_order(), [desk, new_desk()]
        events = [e for e in events_of(order) for _ in range(2)]
        chance.shuffle(events)

        async def pause():
            for _ in range(chance.randrange(30)):
                await asyncio.sleep(0)

        outbox.script = [pause] * 3
        outcomes = await asyncio.gather(
            *(chance.choice(workers).tell(event) for event in events), return_exceptions=True
        )
        pending = [e for e, o in zip(events, outcomes, strict=True) if o is not None]
        assert all(isinstance(o, RetryLater | None) for o in outcomes), outcomes
        outbox.script = []
        await settle(workers, pending, chance.choice, clock)
        sent = outbox.names(order)
        assert in_causal_order(sent), sent
        assert len(sent) == len(set(sent))
        for kind in STAGES:
            state = await desk.state(order, kind)
            assert state == (State.SENT if kind in sent else "withheld/superseded")


async def test_cancellation_waits_while_the_confirmation_is_on_its_way(
    desk, new_desk, outbox, order
):
    await desk.tell(order.contact())
    on_its_way, arrive = asyncio.Event(), asyncio.Event()

    async def linger():
        on_its_way.set()
        await arrive.wait()

    outbox.script = [linger]
    confirming = asyncio.create_task(desk.tell(order.confirmed()))
    await on_its_way.wait()
    with pytest.raises(RetryLater):
        await new_desk().tell(order.cancelled())
    arrive.set()
    await confirming
    await new_desk().tell(order.cancelled())
    assert outbox.names(order) == ["confirmed", "cancelled"]


async def test_confirmation_after_the_cancellation_has_begun_is_superseded(desk, outbox, order):
    await desk.tell(order.contact())
    await desk.tell(order.cancelled())
    await desk.tell(order.confirmed())
    await desk.tell(order.refunded())
    assert outbox.names(order) == ["cancelled"]
    for kind in ("confirmed", "refunded"):
        assert await desk.state(order, kind) == "withheld/superseded"


async def test_cancellation_that_begins_between_look_and_send_supersedes(
    desk, new_desk, interposed, outbox, order
):
    await desk.tell(order.contact())

    async def cancel():
        await desk.tell(order.cancelled())

    interposed.before = [None, cancel]  # The record is written; then, before it begins, ...
    await new_desk(interposed).tell(order.confirmed())
    assert outbox.names(order) == ["cancelled"]
    assert await desk.state(order, "confirmed") == "withheld/superseded"


async def test_order_is_held_while_a_mail_of_unknown_outcome_may_be_on_its_way(
    desk, outbox, clock, order
):
    await desk.tell(order.contact())
    outbox.script = [TimeoutError()]
    await desk.tell(order.confirmed())
    event = order.cancelled()
    with pytest.raises(RetryLater):
        await desk.tell(event)
    clock.pass_(timedelta(minutes=2))
    await desk.tell(event)
    assert outbox.names(order) == ["cancelled"]


async def test_order_is_free_at_once_after_a_refusal(desk, outbox, order):
    await desk.tell(order.contact())
    outbox.script = [ConnectTimeoutError(endpoint_url="https://ses.example")] * 3
    with pytest.raises(RetryLater):
        await desk.tell(order.confirmed())
    await desk.tell(order.cancelled())
    assert outbox.names(order) == ["cancelled"]


async def test_rejection_is_told_whatever_else_is(desk, outbox, order):
    await desk.tell(order.contact())
    await desk.tell(order.refunded())
    await desk.tell(order.rejected())
    assert outbox.names(order) == ["refunded", "rejected"]


async def test_a_mail_that_outlived_its_lease_is_counted_as_out_of_order(
    desk, new_desk, outbox, clock, order
):
    await desk.tell(order.contact())
    before = (await desk.mails.census()).get("out_of_order", 0)

    async def overtaken():
        clock.pass_(timedelta(minutes=2))
        await new_desk().tell(order.cancelled())

    outbox.script = [overtaken]
    await desk.tell(order.confirmed())
    assert outbox.names(order) == ["cancelled", "confirmed"]
    assert (await desk.mails.census())["out_of_order"] == before + 1


async def test_mails_wait_for_the_contact_and_then_go_in_causal_order(desk, outbox, order):
    await desk.tell(order.cancelled())
    await desk.tell(order.confirmed())
    assert outbox.calls == 0
    assert await desk.state(order, "confirmed") == State.WAITING
    await desk.tell(order.contact())
    assert outbox.names(order) == ["confirmed", "cancelled"]


async def test_contact_that_comes_while_the_mail_is_recorded_is_not_missed(
    desk, new_desk, interposed, outbox, new_order
):
    """Wherever in the middle of the one handling the other one falls, the mail goes out, once."""
    for place in ("before", "after"):
        order = new_order()

        async def provide(order=order):
            await desk.tell(order.contact())

        setattr(interposed, place, [provide])
        await new_desk(interposed).tell(order.confirmed())
        assert outbox.names(order) == ["confirmed"], place


async def test_mail_that_is_recorded_while_the_contact_is_kept_is_not_missed(
    desk, new_desk, interposed, outbox, new_order
):
    for place in ("before", "after"):
        order = new_order()

        async def confirm(order=order):
            await desk.tell(order.confirmed())

        setattr(interposed, place, [confirm])
        await new_desk(interposed).tell(order.contact())
        assert outbox.names(order) == ["confirmed"], place


async def test_contact_handled_again_after_a_crash_sends_the_rest(desk, outbox, clock, order):
    await desk.tell(order.confirmed())
    await desk.profiles.provide(order.customer_id, 1, order.contact().contact)  # And then, a crash.
    await desk.tell(order.contact())
    assert outbox.names(order) == ["confirmed"]


async def test_mail_without_contact_is_withheld_after_the_grace(desk, outbox, clock, order):
    await desk.tell(order.confirmed())
    clock.pass_(timedelta(hours=1))
    while await desk.sweep.sweep():
        pass
    waiting = await desk.mail(order, "confirmed")
    assert waiting.state == State.WAITING
    # Nothing but the contact, or the end of the grace, is worth another look.
    assert waiting.look_at_ms == waiting.created_ms + 24 * 3600 * 1000
    clock.pass_(timedelta(hours=24))
    while await desk.sweep.sweep():
        pass
    assert await desk.state(order, "confirmed") == "withheld/no_contact"
    await desk.tell(order.contact())
    assert outbox.calls == 0


async def test_the_sweep_sends_what_an_event_left_behind(desk, outbox, clock, order):
    await desk.tell(order.contact())
    await desk.mails.record(order.key("rejected"), {"reason": "out_of_stock"})
    clock.pass_(timedelta(minutes=6))
    while await desk.sweep.sweep():
        pass
    assert outbox.names(order) == ["rejected"]


async def test_the_sweep_comes_back_soon_to_a_mail_that_had_to_wait(desk, outbox, clock, order):
    await desk.tell(order.contact())
    await desk.mails.record(order.key("rejected"), {"reason": "out_of_stock"})
    clock.pass_(timedelta(minutes=6))
    outbox.script = [TimeoutError()]  # Holds the order: it may be on its way.
    await desk.tell(order.confirmed())
    while await desk.sweep.sweep():
        pass
    assert await desk.state(order, "rejected") == State.WAITING
    clock.pass_(timedelta(minutes=6))
    while await desk.sweep.sweep():
        pass
    assert outbox.names(order) == ["rejected"]


async def test_the_sweep_goes_on_when_others_write_to_the_same_items(
    desk, new_desk, interposed, clock, order, caplog
):
    await desk.tell(order.confirmed())
    clock.pass_(timedelta(minutes=6))
    sweep = new_desk(interposed, sweep_seconds=0.01).sweep
    tried = asyncio.Event()

    async def contended():
        tried.set()
        raise Contended

    interposed.before = [contended]
    running = asyncio.create_task(sweep.run())
    await asyncio.wait([running, asyncio.create_task(tried.wait())], return_when="FIRST_COMPLETED")
    sweep.stop()
    await running
    assert "the sweep found no answer: Contended" in caplog.text


async def test_mail_that_cannot_be_written_keeps_none_of_the_others(desk, outbox, clock, new_order):
    order = new_order()
    other = new_order(customer_id=order.customer_id)
    await desk.mails.record(order.key("refunded"), {})  # Cannot be written.
    clock.pass_(timedelta(seconds=1))
    await desk.tell(other.rejected())
    with pytest.raises(Unwritable):
        await desk.tell(order.contact())
    assert outbox.names(other) == ["rejected"]


async def test_erased_customer_gets_no_mail_and_leaves_nothing_personal(aws, desk, outbox, order):
    await desk.profiles.prefer(order.customer_id, "all", "de-CH")
    await desk.tell(order.contact(version=1, name="Ada Lovelace", locale="en-GB"))
    await desk.tell(order.rejected())
    await desk.tell(order.contact(version=3, email="ada@example.org", name="Ada"))
    await desk.tell(order.erased(version=4))
    await desk.tell(order.contact(version=2, name="Ada Lovelace"))  # Late, and so not kept.
    await desk.tell(order.confirmed())
    assert outbox.names(order) == ["rejected"]
    answer = await aws.dynamodb.query(
        TableName="bookstore-mails",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"customer#{order.customer_id}"}},
    )
    told = str(answer["Items"])
    assert len(answer["Items"]) >= 3
    for personal in ("@", "example", "Ada", "en-GB", "de-CH"):
        assert personal not in told
    profile = await desk.profiles.get(order.customer_id)
    assert (profile.erased, profile.version) == (True, 4)


async def test_erasure_withholds_what_waits(desk, outbox, order):
    await desk.tell(order.confirmed())
    await desk.tell(order.erased(version=2))
    assert await desk.state(order, "confirmed") == "withheld/erased"
    await desk.tell(order.contact(version=3))
    assert outbox.calls == 0


async def test_copy_of_an_erasure_takes_away_nothing_that_is_owed_since(desk, outbox, order):
    await desk.tell(order.erased(version=2))
    await desk.tell(order.confirmed())
    await desk.tell(order.erased(version=2))
    assert await desk.state(order, "confirmed") == State.WAITING
    await desk.tell(order.contact(version=3))
    assert outbox.names(order) == ["confirmed"]


async def test_erasure_waits_for_a_mail_that_is_on_its_way(desk, new_desk, outbox, order):
    await desk.tell(order.contact())
    on_its_way, arrive = asyncio.Event(), asyncio.Event()

    async def linger():
        on_its_way.set()
        await arrive.wait()

    outbox.script = [linger]
    confirming = asyncio.create_task(desk.tell(order.confirmed()))
    await on_its_way.wait()
    with pytest.raises(RetryLater):
        await new_desk().tell(order.erased())
    assert await desk.state(order, "confirmed") == State.SENDING
    arrive.set()
    await confirming
    await desk.tell(order.erased())
    assert outbox.names(order) == ["confirmed"]
    assert await desk.state(order, "confirmed") == State.SENT


async def test_mail_that_is_refused_during_the_erasure_is_not_sent_to_a_later_contact(
    desk, outbox, order
):
    await desk.tell(order.contact())

    async def erase_and_refuse():
        with pytest.raises(RetryLater):
            await desk.tell(order.erased())
        raise ConnectTimeoutError(endpoint_url="ses")

    outbox.script = [erase_and_refuse]
    await desk.tell(order.confirmed())
    await desk.tell(order.erased())
    assert await desk.state(order, "confirmed") == "withheld/erased"
    await desk.tell(order.contact(version=3))
    assert outbox.names(order) == []


async def test_erasure_of_an_older_contact_changes_nothing(desk, outbox, order):
    await desk.tell(order.contact(version=5))
    await desk.tell(order.erased(version=4))
    await desk.tell(order.confirmed())
    assert outbox.names(order) == ["confirmed"]


async def test_contact_erased_between_look_and_send_stops_the_mail(
    desk, new_desk, interposed, outbox, order
):
    await desk.tell(order.contact())

    async def erase():
        await desk.tell(order.erased())

    interposed.before = [None, erase]
    await new_desk(interposed).tell(order.confirmed())
    assert outbox.calls == 0
    assert await desk.state(order, "confirmed") == "withheld/erased"


async def test_customer_who_says_no_between_look_and_send_gets_no_mail(
    desk, new_desk, interposed, outbox, order
):
    await desk.tell(order.contact())

    async def unsubscribe():
        await desk.profiles.unsubscribe(order.customer_id)

    interposed.before = [None, unsubscribe]
    await new_desk(interposed).tell(order.confirmed())
    assert outbox.calls == 0
    assert await desk.state(order, "confirmed") == "withheld/unsubscribed"


async def test_contact_that_changes_between_look_and_send_is_the_one_written_to(
    desk, new_desk, interposed, outbox, order
):
    await desk.tell(order.contact(version=1, email="old@example.com"))

    async def change():
        await desk.profiles.provide(order.customer_id, 2, order.contact().contact)

    interposed.before = [None, change]
    await new_desk(interposed).tell(order.confirmed())
    assert [str(m["To"]) for m in outbox.took] == [f"{order.customer_id}@example.com"]


async def test_address_suppressed_between_look_and_send_stops_the_mail(
    desk, new_desk, interposed, outbox, order
):
    await desk.tell(order.contact())

    async def complain():
        await desk.profiles.suppress(f"{order.customer_id}@example.com", "complaint")

    interposed.before = [None, complain]
    await new_desk(interposed).tell(order.confirmed())
    assert outbox.calls == 0
    assert await desk.state(order, "confirmed") == "withheld/suppressed"


async def test_newest_contact_is_written_to(desk, outbox, order):
    await desk.tell(order.contact(version=2, email="new@example.com"))
    await desk.tell(order.contact(version=1, email="old@example.com"))
    await desk.tell(order.confirmed())
    assert outbox.took[0]["To"] == "new@example.com"


@pytest.mark.parametrize(
    ("order_mails", "sent"),
    [
        ("all", ["confirmed", "refunded", "cancelled", "rejected"]),
        ("problems", ["refunded", "cancelled", "rejected"]),
        ("none", []),
    ],
)
async def test_customers_get_what_they_want_to_be_told(desk, outbox, order, order_mails, sent):
    await desk.tell(order.contact())
    await desk.profiles.prefer(order.customer_id, order_mails, None)
    for event in (order.confirmed(), order.refunded(), order.cancelled(), order.rejected()):
        await desk.tell(event)
    assert outbox.names(order) == sent
    unwanted = [kind for kind in Kind if kind not in sent]
    assert {await desk.state(order, k) for k in unwanted} <= {"withheld/unsubscribed"}


async def test_suppressed_address_gets_no_mail_even_after_an_erasure(desk, outbox, order):
    address = f"{order.customer_id}@example.com"
    await desk.profiles.suppress(address.upper(), "Permanent")
    await desk.tell(order.contact(version=1))
    await desk.tell(order.erased(version=2))
    await desk.tell(order.contact(version=3))
    await desk.tell(order.confirmed())
    assert outbox.calls == 0
    assert await desk.state(order, "confirmed") == "withheld/suppressed"


async def test_what_an_erasure_leaves_of_a_contact_is_no_address(desk, outbox, order):
    await desk.tell(order.contact(version=1, email="erased@erased.invalid"))
    await desk.tell(order.confirmed())
    assert outbox.calls == 0
    await desk.tell(order.contact(version=3))
    assert outbox.names(order) == ["confirmed"]

"""What must hold after the run, read from outside.

Guarantee: the balance sheet's checks, and those that only who placed the orders can make; nothing
is repaired or excused in here.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any

from bookstore.balance import Check, Endpoints, balance_sheet, wait_for_rest
from bookstore.local_stack import DATABASES
from chaos.load import Load, Placed
from chaos.stage import Stage
from contracts import load_topology
from messaging.republish import Remainder, tag_of

PAGE = 200
REST_SECONDS = 180.0
# An hour's messages go to a new bus a lot at a time, and the bus rests in between.
REPUBLISH_SECONDS = 600.0


async def all_checks(stage: Stage, load: Load) -> list[Check]:
    """Waits for rest, but not for ever, and then checks."""
    sheet = await _sheet(stage, load)
    orders = await _all_orders(stage)
    return [*sheet, *_own_checks(load, orders), await _holds(stage)]


async def replayed(stage: Stage, load: Load, before: Sequence[Check]) -> Check:
    """I10: the bus forgets everything, so all messages of the last hour come again.

    Meanwhile orders may be reconciled, which is due every few minutes; no other message is new.
    """
    counts = await _message_counts(stage)
    pid = await stage.signal("emulator", signal.SIGKILL)
    await stage.back("emulator", pid)
    await _republished(stage)
    after = await _sheet(stage, load)
    old = {check.claim: check for check in before}
    changed = [
        f"{check.claim}: {check.counted} of {check.must_be}"
        for check in after
        if not check.holds or (not _is_recounted(check) and check != old[check.claim])
    ]
    for kind, count in (await _message_counts(stage)).items():
        if count != counts[kind] and "Reconcil" not in kind:
            changed.append(f"{kind}: {count}, before {counts[kind]}")
    changed += await _queues_not_empty(stage)
    claim = "changes that a replay of all messages made"
    return Check("I10", claim, str(len(changed)), "0", not changed, "; ".join(changed))


def _is_recounted(check: Check) -> bool:
    """Whether it is about what the emulator forgets with its queues: messages, and its mailbox. Of
    an order's mails, another order of arrival makes others superfluous.
    """
    return check.invariant == "I5" or "mail service" in check.claim


async def _message_counts(stage: Stage) -> Counter[str]:
    """How many messages of each kind have been sent, and how many handled."""
    counts: Counter[str] = Counter()
    for url in Endpoints.of(stage.stack.endpoints).services.values():
        answer = await stage.http.get(f"{url}/ops/messages")
        answer.raise_for_status()
        census = answer.json()
        for what in ("sent", "handled"):
            counts.update({f"{kind} {what}": n for kind, n in census[what].items()})
    return counts


async def _sheet(stage: Stage, load: Load) -> list[Check]:
    checks = await balance_sheet(
        Endpoints.of(stage.stack.endpoints),
        acknowledged=[each.order_id for each in load.placed if each.order_id],
        settle_seconds=REST_SECONDS,
    )
    # Who placed the orders knows what each should have come to, and says so below.
    return [check for check in checks if check.invariant != "I8"]


def _own_checks(load: Load, orders: dict[str, dict[str, Any]]) -> list[Check]:
    unanswered = [each.key for each in load.placed if not each.order_id]
    known = {each.order_id for each in load.placed if each.order_id}
    troubled = [f"{each.key}: {wrong}" for each in load.placed for wrong in each.wrong]
    late = [each for each in load.placed if _outcome(each, orders)[1] in TIMEOUTS]
    wrong = [
        f"{each.order_id} ({each.wish.card}) is {_outcome(each, orders)}"
        for each in load.placed
        if each.order_id and _outcome(each, orders) not in each.expected and each not in late
    ]
    asked = {each.order_id for each in load.placed if each.cancel_asked}
    cancelled = {i for i, order in orders.items() if order["status"] == "cancelled"}
    return [
        _none("I8", "orders with another outcome than stock, card and wish explain", wrong),
        # What is as long as a deadline hits one process of two, and the other has to do.
        _none("I8", "orders rejected because a deadline passed", [each.order_id for each in late]),
        _none("I9", "requests that were never answered", unanswered),
        _none("I9", "orders that nobody placed", sorted(orders.keys() - known)),
        _none("I6", "orders cancelled that nobody cancelled", sorted(cancelled - asked)),
        _none("I9", "clients who were told something wrong", troubled),
    ]


TIMEOUTS = ("reserve_stock_timeout", "authorize_payment_timeout")


def _outcome(placed: Placed, orders: dict[str, dict[str, Any]]) -> tuple[str, str | None]:
    order = orders.get(placed.order_id, {})
    return order.get("status", "unknown"), order.get("reason")


def _none(invariant: str, claim: str, found: Sequence[str]) -> Check:
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    look = "; ".join(found[:3]) + more
    return Check(invariant, claim, str(len(found)), "0", not found, look)


async def _holds(stage: Stage) -> Check:
    """A second hold would be let go of by the payment service's sweep, and then be forgotten."""
    url = f"{stage.stack.endpoints['stripe']}/_simulator/ledger/balances"
    answer = await stage.http.get(url, params={"by": "payment_id"})
    answer.raise_for_status()
    twice = [
        payment_id
        for payment_id, sums in answer.json()["balances"].items()
        if sum(row["authorized_count"] for row in sums.values()) > 1
    ]
    return _none("I6", "payments for which money was held more than once", twice)


async def _all_orders(stage: Stage) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
        answer = await stage.http.get(f"{stage.stack.endpoints['order']}/orders", params=query)
        answer.raise_for_status()
        page = answer.json()
        found |= {order["order_id"]: order for order in page["orders"]}
        cursor = page.get("next_cursor")
    return found


async def _republished(stage: Stage) -> None:
    """Until nothing is left of the hour of any outbox, and what was sent has come to rest."""
    waiting = set(DATABASES)
    async with asyncio.timeout(REPUBLISH_SECONDS), _client(stage, "events") as events:
        arn = (await events.describe_event_bus(Name=load_topology().bus))["Arn"]
        while waiting:
            await asyncio.sleep(0.5)
            answer = await events.list_tags_for_resource(ResourceARN=arn)
            tags = {tag["Key"]: tag["Value"] for tag in answer["Tags"]}
            for name in list(waiting):
                rest = Remainder.read(tags.get(tag_of(name)))
                if rest is not None and rest.is_nothing:
                    waiting.remove(name)
    await wait_for_rest(Endpoints.of(stage.stack.endpoints), timeout_seconds=REST_SECONDS)
    async with asyncio.timeout(REST_SECONDS):
        while await _queues_not_empty(stage):
            await asyncio.sleep(0.5)


async def _queues_not_empty(stage: Stage) -> list[str]:
    """Queues, and dead letters, that hold something."""
    counts: Counter[str] = Counter()
    async with _client(stage, "sqs") as sqs:
        for url in (await sqs.list_queues()).get("QueueUrls", ()):
            answer = await sqs.get_queue_attributes(
                QueueUrl=url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                    "ApproximateNumberOfMessagesDelayed",
                ],
            )
            counts[url.rpartition("/")[2]] += sum(map(int, answer["Attributes"].values()))
    return [f"{name} holds {count}" for name, count in counts.items() if count]


def _client(stage: Stage, service: str) -> Any:
    from aiobotocore.session import AioSession

    session = AioSession()
    session.set_credentials("test", "test")
    return session.create_client(
        service, endpoint_url=stage.stack.endpoints["aws"], region_name="us-east-1"
    )

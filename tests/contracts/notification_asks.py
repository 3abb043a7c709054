"""What notification asks of the events that it writes mails about, and of what it has to know.

Guarantee: each example ends as a mail that the mail server took, or as a row that later mails read.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic import SecretStr

from faults.stage import Process
from mail_world.watch import arrivals, profile, rows
from notification_service.app import SERVICE

from .asks import (
    ORDER_ID,
    PAYMENT_ID,
    Ask,
    a_book,
    a_code,
    a_count,
    an_id,
    customer,
    money,
    order_lines,
    text_like,
)
from .scene import Detail, MemoryScene, play_in_memory

T = TypeVar("T")

EMAIL = "ada@example.com"
_SETTINGS = {"unsubscribe_key": SecretStr("the key of the pacts")}
_PROCESSES = (Process(SERVICE, settings=_SETTINGS),)
_ORDER = {"order_id": an_id(ORDER_ID), "customer_id": customer()}


class NotificationScene(MemoryScene):
    """The service, its table and its mail server."""

    async def handled(self) -> Mapping[str, int]:
        """By the service's own count, in DynamoDB."""
        items = self.stage.aws.table("bookstore-ledger").items
        counts = next((i for key, i in items.items() if key == "notification-inbox#"), {})
        return {
            name.removeprefix("handled."): int(value["N"])
            for name, value in counts.items()
            if name.startswith("handled.")
        }

    def has_mailed(self, kind: str) -> bool:
        """Whether the mail server has taken that mail, to the address of the examples."""
        return [
            (mail, EMAIL.encode() in arrival.raw) for mail, arrival in arrivals(self.stage)
        ] == [(kind, True)]


def _mails(kind: str) -> Callable[[NotificationScene], bool]:
    return lambda scene: scene.has_mailed(kind)


def _knows_title(scene: NotificationScene) -> bool:
    return [row["title"] for row in rows(scene.stage, "title")] == ["Emma"]


def _contact() -> dict[str, Any]:
    email = text_like(EMAIL, r"^[^@\s]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")
    return {"customer_id": customer(), "version": a_count(1), "contact": {"email": email}}


_CONTACT = ("ContactProvided",)
ASKS = (
    Ask(
        "ContactProvided",
        _contact(),
        shows=lambda scene: profile(scene.stage).get("email") == EMAIL,
    ),
    Ask(
        "ContactErased",
        {"customer_id": customer(), "version": a_count(2)},
        given=_CONTACT,
        shows=lambda scene: not profile(scene.stage).get("email"),
    ),
    Ask(
        "OrderConfirmed",
        {**_ORDER, "lines": order_lines(), "total": money()},
        given=_CONTACT,
        shows=_mails("confirmed"),
    ),
    Ask(
        "OrderRejected",
        {**_ORDER, "reason": a_code("out_of_stock")},
        given=_CONTACT,
        shows=_mails("rejected"),
    ),
    Ask(
        "OrderCancelled",
        {**_ORDER, "refunded": money()},
        given=_CONTACT,
        shows=_mails("cancelled"),
    ),
    Ask(
        "PaymentRefunded",
        # Optional in the contract, and yet there is no mail without it.
        {**_ORDER, "payment_id": an_id(PAYMENT_ID), "amount": money()},
        given=_CONTACT,
        shows=_mails("refunded"),
    ),
    Ask("BookListed", {"book": a_book(), "version": a_count(1)}, shows=_knows_title),
    Ask("BookRevised", {"book": a_book(), "version": a_count(2)}, shows=_knows_title),
)


async def play(
    script: Callable[[NotificationScene], Awaitable[T]], examples: Mapping[str, Detail]
) -> T:
    """Run a script on a scene of its own."""
    return play_in_memory(
        lambda loop: NotificationScene(loop, "notification", _PROCESSES, examples), script
    )

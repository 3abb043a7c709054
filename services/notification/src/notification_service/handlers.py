"""What the notification service does about each event.

Guarantee: every event may come twice, late or out of order; each mail that is owed goes out once,
or its record says why not.
"""

from contracts import or_none
from contracts.models.catalog import BookListed, BookRevised
from contracts.models.order import (
    ContactErased,
    ContactProvided,
    OrderCancelled,
    OrderConfirmed,
    OrderRejected,
)
from contracts.models.payment import PaymentRefunded
from messaging import DeadLetter, Envelope, Reaction
from notification_service.courier import Courier
from notification_service.domain import Kind, MailKey
from notification_service.profiles import Profiles
from notification_service.titles import Titles


class NoCustomer(DeadLetter):
    """A refund that says nothing of who gets it: there is nobody to write to."""

    code = "no_customer"


class Handlers:
    """The reactions, over the courier, the customers and what books are called."""

    def __init__(self, courier: Courier, profiles: Profiles, titles: Titles) -> None:
        self._courier = courier
        self._profiles = profiles
        self._titles = titles

    async def mail_confirmation(self, event: OrderConfirmed, _: Envelope) -> None:
        """Tell what was bought, and for how much."""
        facts = event.model_dump(mode="json", include={"lines", "total"})
        titles = await self._titles.of({line.book_id for line in event.lines})
        for line in facts["lines"]:
            if line["book_id"] in titles:
                line["title"] = titles[line["book_id"]]
        await self._courier.owe(MailKey(event.customer_id, event.order_id, Kind.CONFIRMED), facts)

    async def mail_rejection(self, event: OrderRejected, _: Envelope) -> None:
        """Tell why there is no order; `detail` stays out, since it knows one language only."""
        key = MailKey(event.customer_id, event.order_id, Kind.REJECTED)
        await self._courier.owe(key, {"reason": event.reason})

    async def mail_cancellation(self, event: OrderCancelled, _: Envelope) -> None:
        """Tell that the order is called off."""
        facts = event.model_dump(mode="json", include={"refunded"})
        await self._courier.owe(MailKey(event.customer_id, event.order_id, Kind.CANCELLED), facts)

    async def mail_refund(self, event: PaymentRefunded, _: Envelope) -> None:
        """Tell that the money is on its way back; raises NoCustomer."""
        customer_id = or_none(event.customer_id)
        if customer_id is None:
            raise NoCustomer(f"the refund of order {event.order_id} names no customer")
        facts = event.model_dump(mode="json", include={"amount"})
        await self._courier.owe(MailKey(customer_id, event.order_id, Kind.REFUNDED), facts)

    async def keep_title(self, event: BookListed | BookRevised, _: Envelope) -> None:
        """Know what the book is called."""
        await self._titles.keep(event.book.book_id, event.book.title, event.version)

    async def keep_contact(self, event: ContactProvided, _: Envelope) -> None:
        """Know where to write to, and write what waited for that.

        An event seen before does the second half again: the first time may have ended between. An
        address that cannot exist (RFC 2606) is what an erasure leaves of an earlier contact.
        """
        if event.contact.email.endswith(".invalid"):
            await self._profiles.erase(event.customer_id, event.version)
            return
        await self._profiles.provide(event.customer_id, event.version, event.contact)
        await self._courier.deliver_waiting(event.customer_id)

    async def forget_contact(self, event: ContactErased, _: Envelope) -> None:
        """Forget where to write to, and what was to be written: once, since what is owed after that
        waits for the next contact, and a copy of this event must not take it away.
        """
        await self._profiles.erase(event.customer_id, event.version)
        profile = await self._profiles.get(event.customer_id)
        if profile.erased and profile.version == event.version:
            if await self._profiles.is_forgotten(event.customer_id, event.version):
                return
            await self._courier.withhold_waiting(event.customer_id)
            await self._profiles.forgotten(event.customer_id, event.version)


def reactions(handlers: Handlers) -> list[Reaction]:
    """Which event leads to which handler."""
    return [
        Reaction(OrderConfirmed, handlers.mail_confirmation),
        Reaction(OrderRejected, handlers.mail_rejection),
        Reaction(OrderCancelled, handlers.mail_cancellation),
        Reaction(PaymentRefunded, handlers.mail_refund),
        Reaction(BookListed, handlers.keep_title),
        Reaction(BookRevised, handlers.keep_title),
        Reaction(ContactProvided, handlers.keep_contact),
        Reaction(ContactErased, handlers.forget_contact),
    ]

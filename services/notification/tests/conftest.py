"""The notification service's parts on the AWS emulator, and an SES that fails on demand.

Each test has customers and orders of its own; the clock of a `Desk` stands still unless moved.
"""

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from pydantic import SecretStr

from contracts.models.catalog import BookListed, BookRevised
from contracts.models.common import Contact, Money, OrderLine
from contracts.models.order import (
    ContactErased,
    ContactProvided,
    OrderCancelled,
    OrderConfirmed,
    OrderRejected,
)
from contracts.models.payment import PaymentRefunded
from messaging import Envelope, Sender
from messaging.dispatch import Table as Dispatch
from notification_service.courier import Courier
from notification_service.domain import Kind, Mail, MailKey
from notification_service.handlers import Handlers, reactions
from notification_service.mails import Writer
from notification_service.pace import Pace
from notification_service.profiles import Profiles
from notification_service.ses import Ses, open_ses
from notification_service.store import Mails
from notification_service.sweep import Sweep
from notification_service.table import Table
from notification_service.titles import Titles
from notification_service.tokens import Unsubscribing

SENDER = "Bookstore <orders@bookstore.example>"
KEY = SecretStr("a key for tests, long enough")
GRACE = timedelta(hours=24)
LEASE = timedelta(seconds=60)
TABLE = "bookstore-mails"


class Clock:
    """Wall-clock time that only a test moves."""

    def __init__(self) -> None:
        self.seconds = time.time()

    def __call__(self) -> float:
        return self.seconds

    def pass_(self, duration: timedelta) -> None:
        self.seconds += duration.total_seconds()


async def no_sleep(_: float) -> None:
    """Waiting costs a test nothing."""


class Outbox:
    """An SES that takes everything, unless told what happens to the next mails.

    `script` holds one entry a call: an exception to raise, or a coroutine function to await first.
    What it `took` stands in the order of arrival. `lost` says of an exception that it is raised
    after the mail was taken.
    """

    def __init__(self) -> None:
        self.script: list[BaseException | Callable[[], Awaitable[None]]] = []
        self.lost: set[int] = set()
        self.took: list[EmailMessage] = []
        self.calls = 0

    async def send_raw_email(self, **given: Any) -> dict[str, str]:
        self.calls += 1
        happening = self.script.pop(0) if self.script else None
        if isinstance(happening, BaseException):
            if id(happening) in self.lost:
                self._take(given)
            raise happening
        if happening is not None:
            await happening()
        self._take(given)
        return {"MessageId": str(uuid.uuid4())}

    def _take(self, given: dict[str, Any]) -> None:
        message = message_from_bytes(given["RawMessage"]["Data"], policy=default)
        assert isinstance(message, EmailMessage)
        self.took.append(message)

    def names(self, order: "Order | None" = None) -> list[str]:
        """Which mails were taken: `<order>/<kind>`, or the kinds of one order."""
        names = [str(message["X-Bookstore-Mail"]) for message in self.took]
        if order is None:
            return names
        return [n.partition("/")[2] for n in names if n.startswith(order.order_id)]


@dataclass(frozen=True)
class Order:
    """One customer's order, and the events about it."""

    customer_id: str = field(default_factory=lambda: f"c-{uuid.uuid4()}")
    order_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def ids(self) -> dict[str, str]:
        return {"order_id": self.order_id, "customer_id": self.customer_id}

    def key(self, kind: str) -> MailKey:
        return MailKey(self.customer_id, self.order_id, Kind(kind))

    def confirmed(self, *prices: Money) -> OrderConfirmed:
        paid = prices or (Money(amount_minor=1999, currency="EUR"),)
        lines = [OrderLine(book_id=str(uuid.uuid4()), quantity=1, unit_price=p) for p in paid]
        total = Money(amount_minor=sum(p.amount_minor for p in paid), currency=paid[0].currency)
        return OrderConfirmed(**self.ids, lines=lines, total=total)

    def rejected(self, reason: str = "out_of_stock") -> OrderRejected:
        return OrderRejected(**self.ids, reason=reason)

    def cancelled(self) -> OrderCancelled:
        return OrderCancelled(**self.ids, refunded=Money(amount_minor=1999, currency="EUR"))

    def refunded(self) -> PaymentRefunded:
        amount = Money(amount_minor=1999, currency="EUR")
        return PaymentRefunded(**self.ids, payment_id=str(uuid.uuid4()), amount=amount)

    def contact(self, version: int = 1, **given: str) -> ContactProvided:
        contact = Contact(**{"email": f"{self.customer_id}@example.com", **given})
        return ContactProvided(customer_id=self.customer_id, version=version, contact=contact)

    def erased(self, version: int = 2) -> ContactErased:
        return ContactErased(customer_id=self.customer_id, version=version)


class Interposed:
    """A DynamoDB client that does something before or after its next transactions."""

    def __init__(self, dynamodb: Any) -> None:
        self._dynamodb = dynamodb
        self.before: list[Callable[[], Awaitable[None]] | None] = []
        self.after: list[Callable[[], Awaitable[None]] | None] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dynamodb, name)

    async def transact_write_items(self, **given: Any) -> Any:
        before = self.before.pop(0) if self.before else None
        after = self.after.pop(0) if self.after else None
        if before is not None:
            await before()
        answer = await self._dynamodb.transact_write_items(**given)
        if after is not None:
            await after()
        return answer


class Desk:
    """One worker of the service: handlers, courier and sweep over one table and one SES."""

    def __init__(
        self,
        dynamodb: Any,
        ses: Any,
        clock: Clock,
        *,
        per_second: int = 10_000,
        sweep_seconds: float = 60,
    ) -> None:
        table = Table(dynamodb, TABLE, clock)
        self.clock = clock
        self.mails = Mails(table)
        self.profiles = Profiles(table)
        self.titles = Titles(table)
        self.unsubscribing = Unsubscribing(KEY, "https://mail.bookstore.example")
        self.writer = Writer(SENDER, self.unsubscribing)
        self.courier = Courier(
            self.mails,
            self.profiles,
            self.writer,
            Ses(ses),
            Pace(table, per_second=per_second, sleep=no_sleep),
            lease=LEASE,
            grace=GRACE,
            sleep=no_sleep,
        )
        interval = timedelta(seconds=sweep_seconds)
        self.sweep = Sweep(self.mails, self.courier, interval=interval, grace=GRACE)
        self._reactions = Dispatch(reactions(Handlers(self.courier, self.profiles, self.titles)))

    async def tell(self, event: Any) -> None:
        """Handle an event as the consumer would hand it in, checked against its contract."""
        message = envelope(event)
        reaction, payload = self._reactions.find(message)
        await reaction.handler(payload, message)

    async def state(self, order: Order, kind: str) -> str:
        """A mail's state, with the reason after a slash."""
        mail = await self.mail(order, kind)
        if mail is None:
            return "absent"
        return f"{mail.state}/{mail.reason}" if mail.reason else str(mail.state)

    async def mail(self, order: Order, kind: str) -> Mail | None:
        return (await self.mails.situation(order.key(kind))).mail


@pytest.fixture(name="envelope")
def envelope_fixture() -> Callable[[Any], Envelope]:
    """`envelope(event)`."""
    return envelope


def envelope(event: Any) -> Envelope:
    """The event in an envelope of its own."""
    if isinstance(event, BookListed | BookRevised):
        source, subject = "catalog", event.book.book_id
    else:
        source = "payment" if isinstance(event, PaymentRefunded) else "order"
        subject = getattr(event, "order_id", event.customer_id)
    return Sender(source).envelope(
        event, cause=str(uuid.uuid4()), subject=subject, correlation_id=subject
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def order() -> Order:
    return Order()


@pytest.fixture
def new_order() -> type[Order]:
    return Order


@pytest.fixture
async def new_desk(aws: Any, outbox: Outbox, clock: Clock) -> Callable[..., Desk]:
    """`new_desk()`: another worker on the same table, SES and clock."""

    def create(dynamodb: Any = None, ses: Any = None, **given: Any) -> Desk:
        return Desk(dynamodb or aws.dynamodb, ses or outbox, clock, **given)

    return create


@pytest.fixture
def interposed(aws: Any) -> Interposed:
    """For `new_desk(interposed)`."""
    return Interposed(aws.dynamodb)


@pytest.fixture
def desk(new_desk: Callable[..., Desk]) -> Desk:
    return new_desk()


@pytest.fixture
async def ses(aws: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """The emulator's SES, through the service's own client; it knows the sender."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    async with AsyncExitStack() as stack:
        client = await open_ses(stack, region="us-east-1", endpoint_url=aws.endpoint_url)
        await client.verify_domain_identity(Domain="bookstore.example")
        yield client

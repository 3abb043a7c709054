"""What a mail is, and what is to become of it: pure decisions, no I/O.

Guarantee: a mail's state only moves along these arrows, and the states on the right absorb.

    waiting --begin--> sending --accepted-----------------> sent
       |  ^               | |----never learnt-------------> unknown   (never sent again)
       |  +---refused-----+ +----refused for good--------+
       |      for now                                    v
       +---- unsubscribed, suppressed, no_contact, ----> withheld
             superseded, erased, gave_up

`unknown` is the price of 'at most once': SES takes no idempotency key, so whoever asks again after
an answer that was lost may write twice. A crash while `sending` ends there too, once its lease is
over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

OrderMails = Literal["all", "problems", "none"]


class Kind(StrEnum):
    """What a mail tells."""

    CONFIRMED = "confirmed"
    REFUNDED = "refunded"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class State(StrEnum):
    """Where a mail stands."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    UNKNOWN = "unknown"
    WITHHELD = "withheld"


class Reason(StrEnum):
    """Why a mail was withheld."""

    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"
    NO_CONTACT = "no_contact"
    SUPERSEDED = "superseded"
    ERASED = "erased"
    REFUSED = "refused"
    GAVE_UP = "gave_up"


TERMINAL = frozenset({State.SENT, State.UNKNOWN, State.WITHHELD})
# How far an order has got when a mail of this kind is due; a later one makes earlier ones stale. A
# rejection stands alone: whatever else is told about the order, the customer has to learn of it.
STAGES: Mapping[Kind, int] = {Kind.CONFIRMED: 1, Kind.REFUNDED: 2, Kind.CANCELLED: 3}
PROBLEMS = frozenset({Kind.REJECTED, Kind.CANCELLED, Kind.REFUNDED})
# Three quick tries at a time, then ever longer pauses: three quarters of an hour in all.
MAX_ATTEMPTS = 12


@dataclass(frozen=True, slots=True)
class MailKey:
    """Which mail: one of each kind for an order."""

    customer_id: str
    order_id: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail's record. `facts` are what it tells (JSON), gone once it is settled.

    `look_at_ms`: when the sweep looks after it, unless it is settled by then.
    """

    key: MailKey
    state: State
    created_ms: int
    look_at_ms: int
    facts: Mapping[str, Any]
    attempts: int = 0
    owner: str | None = None
    lease_ends_ms: int = 0
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """A customer: where to write to, if that is known, and what they want to be told.

    `revision` grows with every change; `version` is the contact's own. `locale` comes with the
    contact, `preferred_locale` from the customer's preferences, which win.
    """

    customer_id: str
    revision: int = 0
    version: int = 0
    erased: bool = False
    email: str | None = None
    name: str | None = None
    locale: str | None = None
    order_mails: OrderMails = "all"
    preferred_locale: str | None = None

    def wants(self, kind: Kind) -> bool:
        """Whether the customer wants to be told."""
        return self.order_mails == "all" or (self.order_mails == "problems" and kind in PROBLEMS)


@dataclass(frozen=True, slots=True)
class OrderMark:
    """How far an order's mails have got, and who is sending one of them right now."""

    stage: int = 0
    hold_owner: str | None = None
    hold_ends_ms: int = 0

    def holds(self, now_ms: int) -> bool:
        """Whether another mail of the order is on its way."""
        return self.hold_owner is not None and now_ms < self.hold_ends_ms


class Send(StrEnum):
    """What to do with a waiting mail that need not be withheld."""

    NOW = "now"
    WHEN_CONTACT_COMES = "when_contact_comes"
    WHEN_ORDER_IS_FREE = "when_order_is_free"


def decide(
    mail: Mail, profile: Profile, mark: OrderMark, *, suppressed: bool, now_ms: int, grace_ms: int
) -> Send | Reason:
    """What to do with a waiting mail: send it, wait, or withhold it for a reason."""
    if STAGES.get(mail.key.kind, mark.stage) < mark.stage:
        return Reason.SUPERSEDED
    if not profile.wants(mail.key.kind):
        return Reason.UNSUBSCRIBED
    if now_ms >= mail.created_ms + grace_ms:
        return Reason.GAVE_UP if mail.attempts else Reason.NO_CONTACT
    if profile.email is None:
        return Send.WHEN_CONTACT_COMES
    if suppressed:
        return Reason.SUPPRESSED
    if mail.attempts >= MAX_ATTEMPTS:
        return Reason.GAVE_UP
    if mark.holds(now_ms):
        return Send.WHEN_ORDER_IS_FREE
    return Send.NOW

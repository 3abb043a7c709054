"""The courier: takes a mail that is owed and sees it through to a state that lasts.

Guarantee: whatever is handled twice, at once or in any order, SES is asked to send a mail again
only if it said that it had not taken it.

A mail is recorded first, as waiting, and only then is the customer looked up; a contact is kept
first, and only then are waiting mails looked up. So whichever comes second sees the other, and no
mail waits for a contact that is there.
"""

import asyncio
import logging
import random
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from prometheus_client import Counter
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt
from tenacity import wait_random_exponential as full_jitter

from messaging import RetryLater
from notification_service.domain import (
    TERMINAL,
    Mail,
    MailKey,
    Profile,
    Reason,
    Send,
    State,
    decide,
)
from notification_service.mails import Unwritable, Writer
from notification_service.pace import Pace
from notification_service.profiles import Profiles
from notification_service.ses import Refused, Ses, Unanswered
from notification_service.store import Mails

log = logging.getLogger(__name__)

QUICK_TRIES = 3
FIRST_PAUSE_SECONDS = 0.5
LONGEST_QUICK_PAUSE_SECONDS = 4.0
# SQS delays a message by a quarter of an hour at most (SQS quotas).
LONGEST_PAUSE_SECONDS = 900.0
# How often a situation is read again that changed while it was acted on.
MAX_RACES = 6

MAILS = Counter(
    "notification_mails", "Mails by kind and what became of the attempt", ["kind", "outcome"]
)


class _TryAgain(Exception):
    """Refused for now."""

    def __init__(self, attempts: int, code: str) -> None:
        super().__init__(code)
        self.attempts = attempts
        self.code = code


class BeingSent(RetryLater):
    """Somebody is at it. Mostly that ends long before the lease does, so it is asked for soon."""

    def __init__(self, reason: str, lease_left_ms: int) -> None:
        super().__init__(reason, min(lease_left_ms / 1000, random.uniform(1, 3)))


class Courier:
    """Sends mails; `lease` bounds how long a dead worker holds one up, and must outlast a call."""

    def __init__(
        self,
        mails: Mails,
        profiles: Profiles,
        writer: Writer,
        ses: Ses,
        pace: Pace,
        *,
        lease: timedelta,
        grace: timedelta,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._mails = mails
        self._profiles = profiles
        self._writer = writer
        self._ses = ses
        self._pace = pace
        self._lease_ms = int(lease.total_seconds() * 1000)
        self._grace_ms = int(grace.total_seconds() * 1000)
        self._sleep = sleep

    async def owe(self, key: MailKey, facts: dict[str, Any]) -> None:
        """Record a mail, and send it if it can be sent; raises RetryLater."""
        await self._mails.record(key, facts)
        await self.deliver(key)

    async def deliver_waiting(self, customer_id: str) -> None:
        """Send what waited for the customer's contact, in causal order; raises RetryLater.

        One that cannot be written keeps none of the others; it is raised after them.
        """
        unwritable: Unwritable | None = None
        for mail in await self._mails.unsettled_of(customer_id):
            try:
                await self.deliver(mail.key)
            except Unwritable as error:
                unwritable = error
        if unwritable is not None:
            raise unwritable

    async def withhold_waiting(self, customer_id: str) -> None:
        """The customer is to be forgotten: nothing that waits is sent any more; raises RetryLater.

        What is being sent may be with SES by now, and is left to whoever sends it. But SES may
        refuse it for now, and then it waits again: so nobody is done before that is settled.
        """
        for _ in range(MAX_RACES):
            unsettled = await self._mails.unsettled_of(customer_id)
            if not unsettled:
                return
            for mail in unsettled:
                if mail.state is State.SENDING:
                    await self.deliver(mail.key)
                elif await self._mails.withhold(mail, Reason.ERASED):
                    _note(mail, Reason.ERASED)
        raise RetryLater("the customer's mails keep changing", random.uniform(0.5, 2))

    async def deliver(self, key: MailKey) -> None:
        """See the mail through, or leave it waiting for a contact; raises RetryLater.

        Quick tries first; then the message waits, ever longer.
        """
        quickly = AsyncRetrying(
            retry=retry_if_exception_type(_TryAgain),
            stop=stop_after_attempt(QUICK_TRIES),
            wait=full_jitter(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_QUICK_PAUSE_SECONDS),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            await quickly(self._try, key)
        except _TryAgain as refusal:
            longest = min(2.0**refusal.attempts, LONGEST_PAUSE_SECONDS)
            seconds = random.uniform(1, max(longest, 2))
            raise RetryLater(f"SES refuses for now: {refusal.code}", seconds) from None

    async def _try(self, key: MailKey) -> None:
        for _ in range(MAX_RACES):
            if await self._step(key):
                return
        raise RetryLater("the mail's situation keeps changing", random.uniform(0.5, 2))

    async def _step(self, key: MailKey) -> bool:
        """Act on the situation as read; False if it had changed before that was done."""
        found = await self._mails.situation(key)
        mail, profile, now = found.mail, found.profile, self._mails.now_ms
        if mail is None or mail.state in TERMINAL:
            return True
        if mail.owner is not None:
            if now < mail.lease_ends_ms:
                raise BeingSent("it is being sent", mail.lease_ends_ms - now)
            log.warning("a %s mail was begun and its outcome never learnt", key.kind)
            MAILS.labels(key.kind, "unknown").inc()
            return await self._mails.unknown(mail)
        suppressed = profile.email is not None and await self._profiles.is_suppressed(profile.email)
        decision = decide(
            mail, profile, found.mark, suppressed=suppressed, now_ms=now, grace_ms=self._grace_ms
        )
        if isinstance(decision, Reason):
            if await self._mails.withhold(mail, decision):
                _note(mail, decision)
                return True
            return False
        if decision is Send.WHEN_CONTACT_COMES:
            return True
        if decision is Send.WHEN_ORDER_IS_FREE:
            left_ms = found.mark.hold_ends_ms - now
            raise BeingSent("another mail of the order is being sent", left_ms)
        return await self._send(mail, profile)

    async def _send(self, mail: Mail, profile: Profile) -> bool:
        # Written before it is begun, so that a mail that cannot be written is not lost as unknown.
        raw = self._writer.write(mail, profile)
        await self._pace.wait()
        begun = await self._mails.begin(
            mail, profile, owner=str(uuid.uuid4()), lease_ms=self._lease_ms
        )
        if begun is None:
            return False
        try:
            # Whoever stood still for so long that the lease may end during the call sends nothing.
            if self._mails.now_ms + self._ses.limit_seconds * 1000 > begun.lease_ends_ms:
                raise Refused("TooSlow")
            assert profile.email is not None
            ses_id = await self._ses.send(raw, sender=self._writer.sender, to=profile.email)
        except Unanswered as unanswered:
            log.error("nobody knows if a %s mail was sent: %s", mail.key.kind, unanswered.code)
            MAILS.labels(mail.key.kind, "unknown").inc()
            await self._mails.unknown(begun)
        except Refused as refusal:
            await self._refused(begun, refusal)
        else:
            MAILS.labels(mail.key.kind, "sent").inc()
            if not await self._mails.sent(begun, ses_id):
                log.error("a %s mail was sent after its lease had ended", mail.key.kind)
        return True

    async def _refused(self, mail: Mail, refusal: Refused) -> None:
        log.warning("SES refused a %s mail: %s", mail.key.kind, refusal.code)
        if refusal.for_good:
            if await self._mails.withhold(mail, Reason.REFUSED):
                _note(mail, Reason.REFUSED)
            return
        MAILS.labels(mail.key.kind, "refused_for_now").inc()
        await self._mails.put_back(mail)
        raise _TryAgain(mail.attempts, refusal.code)


def _note(mail: Mail, reason: Reason) -> None:
    log.info("a %s mail is withheld: %s", mail.key.kind, reason)
    MAILS.labels(mail.key.kind, reason).inc()

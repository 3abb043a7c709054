"""The sweep: compares payments with the gateway now and then, and settles what got stuck.

Guarantee: an attempt, a refund or a hold that no message and no webhook settles is settled within
about `grace` plus two intervals; one process sweeps at a time, and windows overlap.

    attempts   AUTHORIZING for long       -> as the gateway says; no trace of it at all -> DECLINED
    refunds    REFUND_PENDING             -> as the gateway says, with the reply that is owed
    holds      AUTHORIZED for six days    -> VOIDED, since Stripe lets a hold lapse after seven
    events     that webhooks should have brought
    strays     holds at the gateway that no payment here will ever take -> cancelled
"""

import asyncio
import logging
import random
from collections.abc import Awaitable
from datetime import datetime, timedelta

from prometheus_client import Counter

from messaging import RetryLater, interruptible_sleep
from payment_service.domain import Intent, Payment, Refusal, Status
from payment_service.gateway import CLOCK_SKEW, Gateway
from payment_service.moves import take_back
from payment_service.notices import UNEXPECTED, Notices
from payment_service.store import Payments

log = logging.getLogger(__name__)

NAME = "gateway"
BATCH = 200
FIRST_LOOKBACK = timedelta(hours=1)
OVERLAP = timedelta(minutes=1)
# No request of ours lives longer than 30 seconds, and no message is retried for longer than this.
ABANDONED_AFTER = timedelta(minutes=15)
# Stripe lets an uncaptured card authorization lapse after seven days.
HOLD_LIMIT = timedelta(days=6)
# Stripe sends an event again for up to three days, and lists it for thirty.
KEEP_EVENTS = timedelta(days=31)
SETTLED = Counter("payment_sweep_settled_total", "What the sweep had to settle", ["what"])


class GatewaySweep:
    """A worker of the worker role; several processes may run one, a row in SQL picks who sweeps."""

    def __init__(
        self,
        payments: Payments,
        gateway: Gateway,
        notices: Notices,
        *,
        interval: timedelta,
        grace: timedelta,
    ) -> None:
        self._payments = payments
        self._gateway = gateway
        self._notices = notices
        self._interval = interval
        self._grace = grace
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Sweep whenever it is due, until `stop`."""
        while not self._stopping.is_set():
            try:
                await self.sweep_if_due()
            except RetryLater as later:
                log.info("the sweep goes on later: %s", later)
            except Exception:
                log.exception("the sweep failed and will be tried again")
            pause = self._interval.total_seconds() * random.uniform(0.4, 0.6)
            await interruptible_sleep(pause, self._stopping)

    def stop(self) -> None:
        """End after the sweep at hand."""
        self._stopping.set()

    async def sweep_if_due(self) -> bool:
        """One sweep, unless somebody else has made it; what fails is covered by the next."""
        covered = await self._payments.claim_sweep(NAME, self._interval, FIRST_LOOKBACK)
        if covered is None:
            return False
        await self.sweep(covered)
        await self._payments.finish_sweep(NAME, self._grace, KEEP_EVENTS)
        return True

    async def sweep(self, covered: datetime) -> None:
        """Settle everything stuck, and look through what is new at the gateway since `covered`."""
        since = covered - OVERLAP
        await self._settle_attempts()
        await self._settle_refunds()
        await self._let_go_of_old_holds()
        async for event in self._gateway.events(UNEXPECTED, since):
            await self._one("event", self._notices.take(event))
        await self._cancel_strays(since)

    async def _settle_attempts(self) -> None:
        stuck = await self._payments.unsettled(Status.AUTHORIZING, self._grace, BATCH)
        if not stuck:
            return
        by_payment: dict[str, Intent] = {}
        async for intent in self._gateway.intents(stuck[0].started_at - CLOCK_SKEW):
            if intent.payment_id and (intent.is_hold or intent.payment_id not in by_payment):
                by_payment[intent.payment_id] = intent
        for payment in stuck:
            found = by_payment.get(payment.payment_id)
            if found is not None:
                await self._one("attempt", self._notices.settle_intent(payment, found))
            elif payment.age > ABANDONED_AFTER:
                refusal = Refusal("processing_error", "attempt_abandoned")
                await self._one("attempt", self._give_up(payment.declined(refusal)))

    async def _settle_refunds(self) -> None:
        for payment in await self._payments.unsettled(Status.REFUND_PENDING, timedelta(0), BATCH):
            await self._one("refund", self._follow_refund(payment))

    async def _follow_refund(self, payment: Payment) -> bool:
        refund = await self._gateway.find_refund(payment.refund_id or "")
        return await self._notices.settle_refund(payment, refund)

    async def _let_go_of_old_holds(self) -> None:
        for payment in await self._payments.unsettled(Status.AUTHORIZED, HOLD_LIMIT, BATCH):
            log.warning("the hold of payment %s is about to lapse: voiding it", payment.payment_id)
            await self._one("hold", self._let_go(payment))

    async def _let_go(self, payment: Payment) -> bool:
        await self._payments.apply(await take_back(payment, self._gateway))
        return True

    async def _cancel_strays(self, since: datetime) -> None:
        """Look at every intent since then, a page of payments at a time.

        None is too young: a payment's row is on record before its intent is asked for.
        """
        page: list[Intent] = []
        async for intent in self._gateway.intents(since):
            page.append(intent)
            if len(page) == BATCH:
                await self._compare(page)
                page = []
        await self._compare(page)

    async def _compare(self, intents: list[Intent]) -> None:
        ours = [intent for intent in intents if intent.payment_id]
        if not ours:
            return
        payments = await self._payments.of_ids([intent.payment_id or "" for intent in ours])
        for intent in ours:
            payment = payments.get(intent.payment_id or "")
            if payment is None:
                if intent.is_hold:
                    await self._one("stray", self._cancel_unknown(intent))
            elif not payment.is_in_hand(self._grace):
                await self._one("stray", self._notices.settle_if_new(payment, intent))

    async def _cancel_unknown(self, intent: Intent) -> bool:
        log.warning("letting go of a hold of unknown payment %s", intent.payment_id)
        await self._gateway.cancel(intent.payment_id or "", intent.intent_id)
        return True

    async def _give_up(self, declined: Payment) -> bool:
        await self._payments.apply(declined)
        return True

    async def _one(self, what: str, settling: Awaitable[bool]) -> None:
        """One settlement, whose failure leaves the others alone; the next sweep tries it again."""
        try:
            if await settling:
                SETTLED.labels(what).inc()
        except RetryLater as later:
            log.info("%s left for the next sweep: %s", what, later)
        except Exception:
            log.exception("%s could not be settled", what)

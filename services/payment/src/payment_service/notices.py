"""What the gateway tells by itself: events, from webhooks and from its event list.

Guarantee: an event is a hint. It changes nothing unless the gateway's current state, fetched then,
says the same; copies, late ones and ones out of order change nothing.

    event --> row young, a command at work on it? --> leave it: that command settles it
         |--> row at or beyond what it says? -------> nothing to do (the normal case: one read)
         |--> dealt with before? -------------------> nothing to do
         +--> fetch the current state --> move the row by its revision, mark the event, reply

A webhook may come before the answer to the request that caused it. The row is then AUTHORIZING and
young, and is left alone; an old one is settled here.
"""

import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from messaging import Envelope, Sender
from payment_service import domain
from payment_service.documents import intent_from, refund_from
from payment_service.domain import Intent, Payment, Refund, Status
from payment_service.gateway import Gateway
from payment_service.store import Notice, Payments

log = logging.getLogger(__name__)

# Rare ones that no command of ours expects; the sweep looks through the event list for them.
UNEXPECTED = (
    "payment_intent.canceled", "refund.updated", "refund.failed", "charge.refund.updated",
)  # fmt: skip


class Notices:
    """Turns events into changes of payments. `grace`: how long a command may be at work."""

    def __init__(
        self, payments: Payments, gateway: Gateway, sender: Sender, grace: timedelta
    ) -> None:
        self._payments = payments
        self._gateway = gateway
        self._sender = sender
        self._grace = grace

    async def take(self, event: Mapping[str, Any]) -> bool:
        """Whether the event changed anything.

        Raises what the gateway's requests raise, and Conflict: the event must then come again.
        """
        shown = event["data"]["object"]
        notice = Notice(event["id"], event["type"], _payment_id(shown))
        if notice.payment_id is None or shown.get("object") not in ("payment_intent", "refund"):
            return False
        found = await self._payments.look_up(notice)
        if found.is_copy or found.payment is None:
            return False
        if shown["object"] == "refund":
            return await self._refund_told(found.payment, refund_from(shown), notice)
        return await self._intent_told(found.payment, intent_from(shown), notice)

    async def _intent_told(self, payment: Payment, hint: Intent, notice: Notice) -> bool:
        if payment.is_in_hand(self._grace):
            return False
        if domain.settled(payment, hint) is None and not domain.is_stray(payment, hint):
            return False
        current = await self._gateway.intent(hint.intent_id)
        return await self.settle_intent(payment, current, notice)

    async def settle_intent(
        self, payment: Payment, current: Intent, notice: Notice | None = None
    ) -> bool:
        """Bring the row to the intent's current state, or let go of a hold it will not take."""
        if domain.is_stray(payment, current):
            log.warning("letting go of a stray hold of payment %s", payment.payment_id)
            await self._gateway.cancel(payment.payment_id, current.intent_id)
            await self._payments.apply(None, notice=notice)
            return True
        changed = domain.settled(payment, current)
        await self._payments.apply(changed, notice=notice)
        if changed is not None:
            log.info("payment %s settled as %s", payment.payment_id, changed.status)
        return changed is not None

    async def settle_if_new(self, payment: Payment, current: Intent) -> bool:
        """As `settle_intent`, without a transaction where the intent tells nothing new."""
        if domain.settled(payment, current) is None and not domain.is_stray(payment, current):
            return False
        return await self.settle_intent(payment, current)

    async def _refund_told(self, payment: Payment, hint: Refund, notice: Notice) -> bool:
        # While the row says CAPTURED, the refund's command is at work and will see for itself.
        if payment.refund_id != hint.refund_id or domain.refund_settled(payment, hint) is None:
            return False
        current = await self._gateway.find_refund(hint.refund_id)
        return await self.settle_refund(payment, current, notice)

    async def settle_refund(
        self, payment: Payment, current: Refund, notice: Notice | None = None
    ) -> bool:
        """Bring the row to the refund's current state and answer whoever asked for the refund."""
        changed = domain.refund_settled(payment, current)
        if changed is not None and changed.status is Status.REFUND_FAILED:
            log.error("the refund of payment %s failed: people must act", payment.payment_id)
        replies = self._follow_up(changed) if changed is not None else []
        await self._payments.apply(changed, replies=replies, notice=notice)
        return changed is not None

    def _follow_up(self, payment: Payment) -> Sequence[Envelope]:
        """The answer that RefundPayment did not get at once; a void asked for no such answer."""
        reply = domain.refund_reply(payment)
        if reply is None or payment.refund_command_id is None:
            return []
        return [
            self._sender.envelope(
                reply,
                cause=payment.refund_command_id,
                subject=payment.order_id,
                correlation_id=payment.refund_correlation_id or payment.order_id,
                causation_id=payment.refund_command_id,
            )
        ]


def _payment_id(shown: Mapping[str, Any]) -> str | None:
    """Ours is a UUID in the metadata; whatever else lives in the account is not our business."""
    try:
        return str(uuid.UUID((shown.get("metadata") or {})["payment_id"]))
    except (KeyError, ValueError, TypeError, AttributeError):
        return None

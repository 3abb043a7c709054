"""A refund: captured money on its way back to the card; pure, no I/O.

    pending --settled--> succeeded --(issuer sends it back)--> failed

Guarantee: refunds of one charge never exceed what was captured of it; the ledger shows `refunded`
when the money leaves and `refund_failed` when it comes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stripe_simulator.cards import CARDS
from stripe_simulator.changes import Changes
from stripe_simulator.charges import Charge
from stripe_simulator.encoding import compact_json
from stripe_simulator.errors import refused
from stripe_simulator.ids import new_id
from stripe_simulator.intents import Intent

REASONS = ("duplicate", "fraudulent", "requested_by_customer")


@dataclass(slots=True)
class Refund:
    id: str
    created: int
    amount: int
    currency: str
    charge: str
    payment_intent: str
    status: str  # pending | succeeded | failed
    metadata: dict[str, str]
    reason: str | None = None
    failure_reason: str | None = None
    settles: bool = False  # Its status is still going to change.
    _body: bytes | None = field(default=None, repr=False)

    @property
    def body(self) -> bytes:
        if self._body is None:
            self._body = compact_json(self._document())
        return self._body

    def changed(self) -> None:
        """Forget the rendered body; every mutation ends with this."""
        self._body = None

    def _document(self) -> dict[str, Any]:
        document = {
            "id": self.id,
            "object": "refund",
            "amount": self.amount,
            "balance_transaction": None,
            "charge": self.charge,
            "created": self.created,
            "currency": self.currency,
            "destination_details": {"card": {"type": "refund"}, "type": "card"},
            "metadata": self.metadata,
            "payment_intent": self.payment_intent,
            "reason": self.reason,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": self.status,
            "transfer_reversal": None,
        }
        if self.status == "pending":
            document["pending_reason"] = "processing"
        if self.failure_reason is not None:
            document["failure_reason"] = self.failure_reason
        return document


def refund(
    intent: Intent,
    charge: Charge | None,
    changes: Changes,
    *,
    amount: int | None,
    reason: str | None,
    metadata: dict[str, str],
) -> Refund:
    """Give back `amount` minor units, or all that is left."""
    if charge is None or not charge.captured:
        raise refused(
            f"This PaymentIntent ({intent.id}) does not have a successful charge to refund.",
            "payment_intent_unexpected_state",
        )
    left = charge.refundable
    if left <= 0:
        raise refused(f"Charge {charge.id} has already been refunded.", "charge_already_refunded")
    given = left if amount is None else amount
    if given <= 0:
        raise refused("Invalid positive integer", "parameter_invalid_integer", "amount")
    if given > left:
        raise refused(
            f"Refund amount ({given} {charge.currency}) is greater than unrefunded amount on"
            f" charge ({left} {charge.currency})",
            param="amount",
        )
    behaviour = CARDS[charge.payment_method].refund
    made = Refund(
        id=new_id("re_"),
        created=int(changes.at),
        amount=given,
        currency=charge.currency,
        charge=charge.id,
        payment_intent=intent.id,
        status="pending" if behaviour == "pending" else "succeeded",
        metadata=metadata,
        reason=reason,
        settles=behaviour != "succeeds",
    )
    charge.amount_refunded += given
    charge.changed()
    if made.status == "succeeded":
        _book(made, intent, changes, "refunded")
    changes.announce("refund.created", made)
    changes.announce("charge.refunded", charge)
    return made


def settle(made: Refund, intent: Intent, charge: Charge, changes: Changes) -> None:
    """The issuer's later answer: a pending refund succeeds, a doomed one fails. Once."""
    if not made.settles:
        return
    made.settles = False
    if made.status == "pending":
        made.status = "succeeded"
        made.changed()
        _book(made, intent, changes, "refunded")
        changes.announce("refund.updated", made)
        changes.announce("charge.refund.updated", made)
        return
    made.status = "failed"
    made.failure_reason = "expired_or_canceled_card"
    charge.amount_refunded -= made.amount
    made.changed()
    charge.changed()
    changes.touched[charge.id] = charge
    _book(made, intent, changes, "refund_failed")
    changes.announce("refund.updated", made)
    changes.announce("charge.refund.updated", made)
    changes.announce("refund.failed", made)


def _book(made: Refund, intent: Intent, changes: Changes, kind: Any) -> None:
    changes.book(kind, intent.id, made.id, made.amount, made.currency, intent.metadata)

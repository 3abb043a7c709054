"""Where customers want to be written to: taken in here, used by whoever listens.

Guarantee: contacts of a customer are numbered in the order in which they were given, so a reader
that keeps the highest number keeps the latest; after `erase` no row of this service holds any.

The service itself never reads a contact. It is the one that customers talk to, and the outbox is
the only place where it stands.
"""

import uuid

import orjson
from pydantic import BaseModel
from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from contracts.models.common import Contact
from contracts.models.order import ContactErased, ContactProvided
from messaging import Outbox, Sender, Transaction
from order_service.store import CONTACTS, TABLES

_OUTBOX = TABLES.outbox
_PROVIDED = _OUTBOX.c.type == ContactProvided.__name__

# A well-formed address to which nothing can be delivered (RFC 2606), so that a message that is
# published once more still keeps its contract.
ERASED = Contact(email="erased@erased.invalid")

_first = insert(CONTACTS).values(customer_id=bindparam("customer"), version=1)
_next_version = _first.on_conflict_do_update(
    index_elements=[CONTACTS.c.customer_id], set_={"version": CONTACTS.c.version + 1}
).returning(CONTACTS.c.version)
_told = select(_OUTBOX.c.id, _OUTBOX.c.detail).where(
    _PROVIDED, _OUTBOX.c.subject == bindparam("customer")
)
_retell = (
    update(_OUTBOX).where(_OUTBOX.c.id == bindparam("message")).values(detail=bindparam("text"))
)


class Contacts:
    """The application behind the contact endpoints."""

    def __init__(self, outbox: Outbox, sender: Sender) -> None:
        self._outbox = outbox
        self._sender = sender

    async def provide(self, customer_id: str, contact: Contact) -> None:
        """Take a contact in, in place of an earlier one."""
        async with self._outbox.transaction() as transaction:
            version = await _number(transaction, customer_id)
            self._tell(
                transaction,
                ContactProvided(customer_id=customer_id, version=version, contact=contact),
                customer_id,
                version,
            )

    async def erase(self, customer_id: str) -> None:
        """Forget the contact, here and everywhere; harmless if there is none."""
        async with self._outbox.transaction() as transaction:
            # Locks the customer's row first, so that no contact comes in between.
            version = await _number(transaction, customer_id)
            told = await transaction.connection.execute(_told, {"customer": customer_id})
            for message_id, detail in told.all():
                document = orjson.loads(detail)
                document["data"]["contact"] = {"email": ERASED.email}
                text = orjson.dumps(document).decode()
                await transaction.connection.execute(_retell, {"message": message_id, "text": text})
            erased = ContactErased(customer_id=customer_id, version=version)
            self._tell(transaction, erased, customer_id, version)

    def _tell(
        self, transaction: Transaction, event: BaseModel, customer_id: str, version: int
    ) -> None:
        envelope = self._sender.envelope(
            event,
            cause=f"contact/{customer_id}/{version}",
            subject=customer_id,
            correlation_id=str(uuid.uuid4()),
        )
        transaction.send([envelope])


async def _number(transaction: Transaction, customer_id: str) -> int:
    found = await transaction.connection.execute(_next_version, {"customer": customer_id})
    return int(found.scalar_one())

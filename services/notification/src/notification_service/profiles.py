"""Customers' contacts and preferences, and the addresses that no mail may go to.

Guarantee: an older contact never replaces a newer one, and after an erasure no item names the
customer: what stays is the version, so that a late contact is known to be late, and the choice
of mails, so that whoever said no has not to say it again.
"""

import hashlib

from contracts import or_none
from contracts.models.common import Contact
from notification_service.domain import OrderMails, Profile
from notification_service.table import ConditionFailed, Table, Value

_CONTACT = ("email", "name", "locale")


def profile_key(customer_id: str) -> tuple[str, str]:
    """Where a customer's profile is."""
    return f"customer#{customer_id}", "profile"


def forgotten_key(customer_id: str) -> tuple[str, str]:
    """Where it is said which erasure of a customer's contact is done."""
    return f"customer#{customer_id}", "forgotten"


def address_key(email: str) -> tuple[str, str]:
    """Where it is said of an address that no mail may go there; the key does not show it."""
    return f"address#{hashlib.sha256(email.lower().encode()).hexdigest()}", "suppressed"


class Profiles:
    """The customers' half of the table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def get(self, customer_id: str) -> Profile:
        """The customer; one of whom nothing is known wants all mails and has no contact."""
        (item,) = await self._table.get([profile_key(customer_id)])
        return profile_from(customer_id, item)

    async def provide(self, customer_id: str, version: int, contact: Contact) -> bool:
        """Keep a contact; False if it is not newer than what is known."""
        given = {
            "email": contact.email,
            "name": or_none(contact.name),
            "locale": or_none(contact.locale),
        }
        kept = {name: value for name, value in given.items() if value is not None}
        gone = [f"#{name}" for name in given if name not in kept] + ["erased"]
        sets = ", ".join(f"#{name} = :{name}" for name in kept)
        return await self._change(
            customer_id,
            version,
            f"SET version = :version, {sets} REMOVE {', '.join(gone)} ADD revision :one",
            {f":{name}": value for name, value in kept.items()},
        )

    async def erase(self, customer_id: str, version: int) -> bool:
        """Forget a contact; False if there is a newer one (or none was left to forget)."""
        gone = ", ".join(f"#{name}" for name in _CONTACT)
        return await self._change(
            customer_id,
            version,
            f"SET version = :version, erased = :yes REMOVE {gone}, preferred_locale "
            "ADD revision :one",
            {":yes": True},
        )

    async def forgotten(self, customer_id: str, version: int) -> None:
        """Remember that this erasure has withheld what waited for the customer's contact.

        In an item of its own: workers of an older release read the profile, and know no such field.
        """
        pk, sk = forgotten_key(customer_id)
        await self._table.transact(self._table.put({"pk": pk, "sk": sk, "version": version}))

    async def is_forgotten(self, customer_id: str, version: int) -> bool:
        """Whether this erasure has done that."""
        (item,) = await self._table.get([forgotten_key(customer_id)])
        return item.get("version") == version

    async def _change(
        self, customer_id: str, version: int, expression: str, values: dict[str, Value]
    ) -> bool:
        try:
            await self._table.transact(
                self._table.update(
                    profile_key(customer_id),
                    expression,
                    {":version": version, ":one": 1, **values},
                    condition="attribute_not_exists(version) OR version < :version",
                    names={f"#{name}": name for name in _CONTACT if f"#{name}" in expression},
                )
            )
        except ConditionFailed:
            return False
        return True

    async def prefer(self, customer_id: str, order_mails: OrderMails, locale: str | None) -> None:
        """Replace the customer's preferences."""
        await self._table.transact(
            self._table.update(
                profile_key(customer_id),
                "SET order_mails = :mails, preferred_locale = :locale ADD revision :one"
                if locale
                else "SET order_mails = :mails REMOVE preferred_locale ADD revision :one",
                {":mails": order_mails, ":one": 1, **({":locale": locale} if locale else {})},
            )
        )

    async def unsubscribe(self, customer_id: str) -> None:
        """No more mails about orders."""
        await self._table.transact(
            self._table.update(
                profile_key(customer_id),
                "SET order_mails = :none ADD revision :one",
                {":none": "none", ":one": 1},
            )
        )

    async def suppress(self, email: str, reason: str) -> None:
        """Never write to this address again: it bounced, or its owner complained."""
        pk, sk = address_key(email)
        item: dict[str, Value] = {
            "pk": pk,
            "sk": sk,
            "reason": reason,
            "since_ms": self._table.now_ms,
        }
        await self._table.transact(self._table.put(item))

    async def is_suppressed(self, email: str) -> bool:
        """Whether an address bounced, or its owner complained."""
        (item,) = await self._table.get([address_key(email)])
        return bool(item)


def profile_from(customer_id: str, item: dict[str, Value]) -> Profile:
    """The customer of an item, or of {}."""
    return Profile(
        customer_id,
        **{name: value for name, value in item.items() if name not in ("pk", "sk")},  # type: ignore[arg-type]
    )

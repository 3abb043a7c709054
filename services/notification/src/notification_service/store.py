"""The mails' records, and the counts of them.

Guarantee: a mail's state, the order's mark, the mail's place among the unsettled ones and the
counts change in one transaction, under conditions that make each change happen once.

Two conditions keep the order of things. A mail begins only if none of a later stage has begun, and
only while no other mail of its order is on its way: SES would take them in either order.
"""

import dataclasses
import zlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from notification_service.domain import (
    STAGES,
    TERMINAL,
    Kind,
    Mail,
    MailKey,
    OrderMark,
    Profile,
    Reason,
    State,
)
from notification_service.profiles import address_key, profile_from, profile_key
from notification_service.table import ConditionFailed, Table, Value, Write

# A record keeps its mail from being sent again, so it outlives everything that could bring its
# event back: a year in the bus's archive, two weeks among the dead letters.
KEEP = timedelta(days=400)
# All mails move counters; on one item they would get into each other's way.
CENSUS_SHARDS = 8
# How soon the sweep looks after a new mail, which by then is settled unless something went wrong.
LOOK_AFTER = timedelta(minutes=5)
OUT_OF_ORDER = "out_of_order"


@dataclass(frozen=True, slots=True)
class Situation:
    """All that decides about a mail, as committed at one moment or a little later."""

    mail: Mail | None
    profile: Profile
    mark: OrderMark


@dataclass(frozen=True, slots=True)
class Due:
    """A place among the unsettled mails."""

    place: str
    key: MailKey


class Mails:
    """The mails' half of the table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    @property
    def now_ms(self) -> int:
        """Epoch milliseconds, by the clock that leases and ages are compared with."""
        return self._table.now_ms

    async def record(self, key: MailKey, facts: dict[str, Any]) -> bool:
        """Note that a mail is owed; False if that is known already."""
        now = self.now_ms
        look_at = now + _ms(LOOK_AFTER)
        pk, sk = _mail_key(key)
        item: dict[str, Value] = {
            "pk": pk,
            "sk": sk,
            "state": State.WAITING,
            "created_ms": now,
            "look_at_ms": look_at,
            "attempts": 0,
            "facts": orjson.dumps(facts).decode(),
            "expires_at": (now + _ms(KEEP)) // 1000,
        }
        try:
            await self._table.transact(
                self._table.put(item, "attribute_not_exists(pk)"),
                self._open(key, look_at),
                self._count(key, to=State.WAITING),
            )
        except ConditionFailed:
            return False
        return True

    async def situation(self, key: MailKey) -> Situation:
        """What is known that decides about the mail."""
        mail, profile, mark = await self._table.get(
            [_mail_key(key), profile_key(key.customer_id), _order_key(key)]
        )
        return Situation(
            _mail_from(key, mail) if mail else None,
            profile_from(key.customer_id, profile),
            OrderMark(
                mark.get("stage", 0), mark.get("hold_owner"), int(mark.get("hold_ends_ms", 0))
            ),
        )

    async def begin(
        self, mail: Mail, profile: Profile, *, owner: str, lease_ms: int
    ) -> Mail | None:
        """Take the mail on, so that nobody else sends it; None if anything has changed since the
        situation was read: the mail, the customer, their address, the order.
        """
        now = self.now_ms
        assert profile.email is not None
        stage = STAGES.get(mail.key.kind)
        # A rejection has no stage: it neither makes others stale nor becomes so itself.
        staged = stage is not None
        begun = dataclasses.replace(
            mail,
            state=State.SENDING,
            owner=owner,
            attempts=mail.attempts + 1,
            lease_ends_ms=now + lease_ms,
        )
        hold: dict[str, Value] = {":owner": owner, ":until": begun.lease_ends_ms, ":now": now}
        free = "(attribute_not_exists(hold_owner) OR hold_ends_ms <= :now)"
        try:
            await self._table.transact(
                self._table.update(
                    _mail_key(mail.key),
                    "SET #s = :sending, #o = :owner, lease_ends_ms = :until, attempts = :attempts",
                    {
                        ":sending": State.SENDING,
                        ":waiting": State.WAITING,
                        ":owner": owner,
                        ":until": begun.lease_ends_ms,
                        ":attempts": begun.attempts,
                        ":before": mail.attempts,
                    },
                    condition="#s = :waiting AND attempts = :before",
                    names={"#s": "state", "#o": "owner"},
                ),
                self._table.update(
                    _order_key(mail.key),
                    "SET hold_owner = :owner, hold_ends_ms = :until, expires_at = :expires"
                    + (", stage = :stage" if staged else ""),
                    {
                        **hold,
                        ":expires": (now + _ms(KEEP)) // 1000,
                        **({":stage": stage} if stage is not None else {}),
                    },
                    condition=free
                    + (" AND (attribute_not_exists(stage) OR stage <= :stage)" if staged else ""),
                ),
                self._table.check(
                    profile_key(profile.customer_id),
                    "revision = :revision",
                    {":revision": profile.revision},
                ),
                self._table.check(address_key(profile.email), "attribute_not_exists(pk)"),
                self._count(mail.key, of=State.WAITING, to=State.SENDING),
            )
        except ConditionFailed:
            return None
        return begun

    async def sent(self, mail: Mail, ses_id: str) -> bool:
        """SES has taken it; False if it was given up in the meantime."""
        return await self._settle(mail, State.SENT, {"ses_id": ses_id})

    async def unknown(self, mail: Mail) -> bool:
        """Nobody will ever know whether it was sent; False if somebody does.

        Its order stays held until the lease is over: the mail may still be on its way.
        """
        return await self._settle(mail, State.UNKNOWN, {}, free_order=False)

    async def withhold(self, mail: Mail, reason: Reason) -> bool:
        """It will not be sent; False if its state has changed."""
        return await self._settle(mail, State.WITHHELD, {"reason": reason})

    async def put_back(self, mail: Mail) -> bool:
        """It was refused for now, and so not sent; False if its state has changed."""
        return await self._settle(mail, State.WAITING, {})

    async def _settle(
        self, mail: Mail, to: State, more: dict[str, Value], *, free_order: bool = True
    ) -> bool:
        """Move a mail on from where it is known to be.

        Where its order is no longer held by it, its lease has run out and others went on: it then
        moves without freeing what it does not hold, and a mail that was sent is counted as out of
        order if a later one has begun.
        """
        moved = self._moved(mail, to, more)
        if mail.state is not State.SENDING or not free_order:
            return await self._transacted(*moved)
        freed = self._table.update(
            _order_key(mail.key),
            "REMOVE hold_owner, hold_ends_ms",
            {":owner": mail.owner or ""},
            condition="hold_owner = :owner",
        )
        if await self._transacted(*moved, freed):
            return True
        mark = (await self.situation(mail.key)).mark
        if to is State.SENT and mark.stage > STAGES.get(mail.key.kind, mark.stage):
            moved[-1] = self._count(mail.key, of=mail.state, to=to, also=OUT_OF_ORDER)
        return mark.hold_owner != mail.owner and await self._transacted(*moved)

    def _moved(self, mail: Mail, to: State, more: dict[str, Value]) -> list[Write]:
        names = {"#s": "state", **{f"#{name}": name for name in more}}
        sets = "".join(f", #{name} = :{name}" for name in more)
        values: dict[str, Value] = {":to": to, ":of": mail.state, ":attempts": mail.attempts}
        values |= {f":{name}": value for name, value in more.items()}
        condition = "#s = :of AND attempts = :attempts"
        writes: list[Write] = []
        gone = ["lease_ends_ms", "#o"]
        names["#o"] = "owner"
        if mail.state is State.SENDING:
            condition += " AND #o = :owner"
            values[":owner"] = mail.owner or ""
        if to in TERMINAL:
            gone.append("facts")
            writes.append(self._table.delete(_due_key(mail.key, mail.look_at_ms)))
        return [
            self._table.update(
                _mail_key(mail.key),
                f"SET #s = :to{sets} REMOVE {', '.join(gone)}",
                values,
                condition=condition,
                names=names,
            ),
            *writes,
            self._count(mail.key, of=mail.state, to=to),
        ]

    async def _transacted(self, *writes: Write) -> bool:
        try:
            await self._table.transact(*writes)
        except ConditionFailed:
            return False
        return True

    async def unsettled_of(self, customer_id: str) -> list[Mail]:
        """The customer's mails that are not settled: orders by age, an order's in causal order."""
        items = await self._table.query(
            "pk = :pk AND begins_with(sk, :mail)",
            {":pk": f"customer#{customer_id}", ":mail": "mail#"},
        )
        by_order: dict[str, list[Mail]] = defaultdict(list)
        for item in items:
            mail = _mail_from(_key_from(customer_id, item["sk"]), item)
            if mail.state not in TERMINAL:
                by_order[mail.key.order_id].append(mail)
        orders = sorted(by_order.values(), key=lambda mails: min(m.created_ms for m in mails))
        return [m for mails in orders for m in sorted(mails, key=lambda m: _stage(m.key))]

    async def due(self, limit: int) -> list[Due]:
        """Unsettled mails that are to be looked after by now, longest overdue first."""
        items = await self._table.query(
            "pk = :due AND sk < :now", {":due": "due", ":now": _when(self.now_ms)}, limit=limit
        )
        return [
            Due(
                item["sk"],
                MailKey(item["customer_id"], item["order_id"], Kind(item["kind"])),
            )
            for item in items
        ]

    async def look_again(self, mail: Mail, look_at_ms: int) -> bool:
        """Look after the mail at another time; False if its state has changed."""
        return await self._transacted(
            self._table.update(
                _mail_key(mail.key),
                "SET look_at_ms = :at",
                {":at": look_at_ms, ":before": mail.look_at_ms, ":state": mail.state},
                condition="look_at_ms = :before AND #s = :state",
                names={"#s": "state"},
            ),
            self._table.delete(_due_key(mail.key, mail.look_at_ms)),
            self._open(mail.key, look_at_ms),
        )

    async def drop(self, due: Due) -> None:
        """Take a place away that no unsettled mail has any more."""
        await self._table.transact(self._table.delete(("due", due.place)))

    async def census(self) -> dict[str, int]:
        """Counts by `<kind>#<state>`, and `out_of_order`."""
        counts: dict[str, int] = defaultdict(int)
        for shard in await self._table.query("pk = :pk", {":pk": "census"}):
            for name, value in shard.items():
                if name not in ("pk", "sk"):
                    counts[name] += value
        return dict(counts)

    def _open(self, key: MailKey, look_at_ms: int) -> Write:
        pk, sk = _due_key(key, look_at_ms)
        item = {"customer_id": key.customer_id, "order_id": key.order_id, "kind": key.kind}
        return self._table.put({"pk": pk, "sk": sk, **item})

    def _count(
        self, key: MailKey, *, to: State, of: State | None = None, also: str | None = None
    ) -> Write:
        """Sharded by the order, since its mails never move at the same time."""
        shard = zlib.crc32(key.order_id.encode()) % CENSUS_SHARDS
        adds, names = ["#to :one"], {"#to": f"{key.kind}#{to}"}
        values: dict[str, Value] = {":one": 1}
        if of is not None:
            adds.append("#of :less")
            names["#of"] = f"{key.kind}#{of}"
            values[":less"] = -1
        if also is not None:
            adds.append("#also :one")
            names["#also"] = also
        return self._table.update(
            ("census", f"shard#{shard}"), f"ADD {', '.join(adds)}", values, names=names
        )


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)


def _stage(key: MailKey) -> int:
    return STAGES.get(key.kind, 0)


def _when(at_ms: int) -> str:
    """Sorts as the time does."""
    return f"{at_ms:015d}"


def _mail_key(key: MailKey) -> tuple[str, str]:
    return f"customer#{key.customer_id}", f"mail#{key.order_id}#{key.kind}"


def _order_key(key: MailKey) -> tuple[str, str]:
    return f"customer#{key.customer_id}", f"order#{key.order_id}"


def _due_key(key: MailKey, look_at_ms: int) -> tuple[str, str]:
    return "due", f"{_when(look_at_ms)}#{key.order_id}#{key.kind}"


def _key_from(customer_id: str, sk: str) -> MailKey:
    _, order_id, kind = sk.split("#")
    return MailKey(customer_id, order_id, Kind(kind))


def _mail_from(key: MailKey, item: dict[str, Any]) -> Mail:
    return Mail(
        key,
        State(item["state"]),
        item["created_ms"],
        item["look_at_ms"],
        orjson.loads(item.get("facts", "{}")),
        item["attempts"],
        item.get("owner"),
        item.get("lease_ends_ms", 0),
        Reason(item["reason"]) if "reason" in item else None,
    )

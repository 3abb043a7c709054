"""Rows, and the transactions that change them: versions, locks and waiting.

Guarantee: what a transaction writes is seen by nobody else before its commit, and then all at one
moment; what it has locked is free at its end, whatever way it ends.

    slot.values     the newest committed version; None: there is none (not yet, or no more)
    slot.holder     the open transaction that has the row's lock
    slot.draft      the version that the holder's commit will leave: UNCHANGED where it has locked
                    the row only, None where it has deleted it

PostgreSQL's rules (READ COMMITTED) that this follows: who meets a locked row waits in the order of
arrival and gets the row with its lock once the holder has ended; who wants to insert a key that an
open transaction has written waits for that transaction's end without asking for the lock.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import asyncpg

from faults.gate import ProcessDead
from faults.memory import errors

Values = tuple[Any, ...]
UNCHANGED: Any = object()


class Slot:
    """One row, from its insert to its end."""

    __slots__ = ("draft", "holder", "is_reborn", "key", "queue", "values")

    def __init__(self, key: Any) -> None:
        self.key = key
        self.values: Values | None = None
        self.draft: Any = UNCHANGED
        self.holder: Transaction | None = None
        # Deleted and inserted anew by its holder: another row, for whoever waits for this one.
        self.is_reborn = False
        self.queue: list[_Waiter] = []

    def seen_by(self, transaction: "Transaction | None") -> Values | None:
        """The version that a statement of this transaction starts from."""
        if self.holder is transaction and self.draft is not UNCHANGED:
            return self.draft  # type: ignore[no-any-return]
        return self.values


class _Waiter(NamedTuple):
    transaction: "Transaction"
    future: asyncio.Future[None]
    wants_lock: bool


class Store(Protocol):
    """The table that a slot belongs to, as its transaction needs it."""

    def keep_draft(self, slot: Slot) -> None:
        """Make the draft the committed version."""
        ...

    def drop_draft(self, slot: Slot) -> None:
        """Forget the draft, and the slot where there never was a committed version."""
        ...


class Trace(Protocol):
    """What a transaction has left outside of its slots."""

    def undo(self) -> None:
        """Put back what was there; called for the last trace first."""
        ...

    def tidy(self) -> None:
        """Take away what the commit has made meaningless."""
        ...


class Transaction:
    """One transaction: what it holds, what it has written, and whether it waits.

    `now` is the time of its beginning, `written` what its commit will make visible: one text for
    each kind of write.
    """

    __slots__ = (
        "_slots", "_traces", "is_failed", "is_over", "now", "on_end", "waiting_for", "written",
    )  # fmt: skip

    def __init__(
        self, now: datetime, on_end: "Callable[[Transaction], object] | None" = None
    ) -> None:
        self.now = now
        self.on_end = on_end
        self.written: set[str] = set()
        self.is_failed = False
        self.is_over = False
        self.waiting_for: Slot | None = None
        self._slots: list[tuple[Store, Slot]] = []
        self._traces: list[Trace] = []

    def take(self, store: Store, slot: Slot) -> None:
        """Lock a row that nobody holds."""
        slot.holder = self
        self._slots.append((store, slot))

    def remember(self, trace: "Trace") -> None:
        """What else the transaction's end has to see to."""
        self._traces.append(trace)

    async def wait_for(self, slot: Slot, *, wants_lock: bool) -> None:
        """Wait for the end of the transaction that holds the row.

        With `wants_lock` the row is ours afterwards, unless it is gone (`values` is None).
        """
        self._refuse_circle(slot)
        waiter = _Waiter(self, asyncio.get_running_loop().create_future(), wants_lock)
        slot.queue.append(waiter)
        self.waiting_for = slot
        try:
            await waiter.future
        finally:
            self.waiting_for = None
            if waiter in slot.queue:
                slot.queue.remove(waiter)
        if self.is_over:
            raise ProcessDead  # Killed between the wake-up and its being heard.

    def commit(self) -> None:
        """Make everything visible, then free the locks."""
        assert not self.is_over
        for store, slot in self._slots:
            store.keep_draft(slot)
        for trace in self._traces:
            trace.tidy()
        self._end()

    def rollback(self) -> None:
        """Undo everything and free the locks; does nothing once the transaction is over."""
        if self.is_over:
            return
        for trace in reversed(self._traces):
            trace.undo()
        for store, slot in self._slots:
            store.drop_draft(slot)
        self._end()

    def abort(self) -> None:
        """Roll back, and raise ProcessDead where the transaction waits."""
        if self.waiting_for is not None:
            for waiter in self.waiting_for.queue:
                if waiter.transaction is self and not waiter.future.done():
                    waiter.future.set_exception(ProcessDead())
        self.rollback()

    def _end(self) -> None:
        self.is_over = True
        for store, slot in self._slots:
            slot.holder = None
            slot.draft = UNCHANGED
            if slot.queue:
                _hand_over(store, slot)
        self._slots.clear()
        self._traces.clear()
        if self.on_end is not None:
            self.on_end(self)

    def _refuse_circle(self, wanted: Slot) -> None:
        """The one whose waiting would close a circle fails; PostgreSQL picks one of the circle."""
        slot: Slot | None = wanted
        while slot is not None and slot.holder is not None:
            if slot.holder is self:
                raise errors.refused(asyncpg.DeadlockDetectedError, "deadlock detected")
            slot = slot.holder.waiting_for


def _hand_over(store: Store, slot: Slot) -> None:
    """Wake those who waited for the end, and the first of those who want the lock, with the lock.

    A row that is gone has no lock to give: then all of them wake, and see that.
    """
    waiters: Iterable[_Waiter] = slot.queue
    slot.queue = []
    for waiter in waiters:
        if waiter.future.done():
            continue
        if waiter.wants_lock and slot.holder is not None:
            slot.queue.append(waiter)
            continue
        waiter.future.set_result(None)
        # From now on, though it hears of it later: who waits for what it holds is in no circle.
        waiter.transaction.waiting_for = None
        if waiter.wants_lock and slot.values is not None:
            waiter.transaction.take(store, slot)

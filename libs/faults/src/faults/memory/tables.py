"""Tables in memory: what is declared about their rows, and the rows by their keys.

Guarantee: no row breaks a constraint that is declared on its table (NOT NULL, CHECK, primary and
unique keys), whatever transactions are open.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import CheckConstraint, Column, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.schema import DefaultClause
from sqlalchemy.sql.functions import now
from sqlalchemy.types import Integer, String

from faults.memory import errors
from faults.memory.checks import Check, parse_check
from faults.memory.rows import UNCHANGED, Slot, Transaction, Values
from faults.memory.types import is_json

# From the table and the transaction's time to the value of a column that an INSERT leaves out.
Default = Callable[["MemoryTable", Any], Any]


class Key(NamedTuple):
    """A primary or unique key: its constraint's name and where its columns are."""

    name: str
    positions: tuple[int, ...]
    of: Callable[[Values], Any]


class Schema:
    """What is declared about one table; worked out once for all databases."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.name = table.name
        self.columns = list(table.columns)
        self.positions = {column.name: i for i, column in enumerate(self.columns)}
        self.defaults = [_default(column) for column in self.columns]
        self.json = [i for i, column in enumerate(self.columns) if is_json(column.type)]
        self.required = [i for i, column in enumerate(self.columns) if not column.nullable]
        self.checks: list[tuple[str, Check]] = []
        unique: list[Key] = []
        for constraint in table.constraints:
            nulls_clash = constraint.dialect_options["postgresql"].get("nulls_not_distinct")
            if constraint.deferrable or nulls_clash:
                raise NotImplementedError(f"{constraint!r} on {table.name}")
            if isinstance(constraint, CheckConstraint):
                check = parse_check(str(constraint.sqltext), self.positions)
                self.checks.append((str(constraint.name), check))
            elif isinstance(constraint, PrimaryKeyConstraint):
                self.primary = self._key(f"{table.name}_pkey", constraint.columns)
            elif isinstance(constraint, UniqueConstraint):
                names = "_".join(column.name for column in constraint.columns)
                name = str(constraint.name or f"{table.name}_{names}_key")
                unique.append(self._key(name, constraint.columns))
            else:
                raise NotImplementedError(f"{constraint!r} on {table.name}")
        if any(index.unique for index in table.indexes):
            raise NotImplementedError(f"a unique index on {table.name}")
        if not self.primary.positions:
            raise NotImplementedError(f"{table.name} has no primary key")
        # By what PostgreSQL evaluates first: constraints in the order of their names.
        self.checks.sort(key=lambda check: check[0])
        self.keys = [self.primary, *sorted(unique, key=lambda key: key.name)]
        self.message = _message(self.positions)

    def _key(self, name: str, columns: Iterable[Column[Any]]) -> Key:
        positions = tuple(self.positions[column.name] for column in columns)
        return Key(name, positions, itemgetter(*positions) if positions else lambda values: None)

    def verify(self, values: Values) -> None:
        """Raise IntegrityError for a row that breaks NOT NULL or a CHECK."""
        for position in self.required:
            if values[position] is None:
                raise errors.broken(
                    asyncpg.NotNullViolationError, self.name, self.columns[position].name
                )
        for name, check in self.checks:
            if check((values,), None) is False:
                raise errors.broken(asyncpg.CheckViolationError, self.name, name)


@cache
def schema_of(table: Table) -> Schema:
    """The schema, by the table object."""
    return Schema(table)


class MemoryTable:
    """One table of one database."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.serial = 0
        # One a key: where the newest row with these values is, be it committed or a draft.
        self._entries: list[dict[Any, Slot]] = [{} for _ in schema.keys]
        self._primary = self._entries[0]
        self._is_composite = len(schema.primary.positions) > 1
        self._by_first: dict[Any, list[Slot]] = {}

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._primary.values())

    def having(self, first: Any) -> Iterable[Slot]:
        """The rows whose primary key begins with this value."""
        if self._is_composite:
            return self._by_first.get(first, ())
        slot = self._primary.get(first)
        return () if slot is None else (slot,)

    def next_serial(self) -> int:
        """The next number of an identity column; not given back by a rollback."""
        self.serial += 1
        return self.serial

    def clash(
        self,
        transaction: Transaction,
        values: Values,
        keys: Sequence[tuple[int, Key]],
        own: Slot | None = None,
    ) -> "Clash | None":
        """The first key of these values that is taken, or may be: None if the row can be written.

        `keys`: the table's keys with their numbers, in the order in which they are to be judged;
        `own`: the slot that is to hold the values, in an UPDATE.
        """
        for number, key in keys:
            value = key.of(values)
            slot = self._entries[number].get(value)
            if slot is None or slot is own:
                continue
            if value is None or (value.__class__ is tuple and None in value):
                continue
            if slot.holder is not transaction and slot.draft is not UNCHANGED:
                return Clash(key, slot, True)
            seen = slot.seen_by(transaction)
            if seen is not None and key.of(seen) == value:
                return Clash(key, slot, False)
        return None

    def add(self, transaction: Transaction, values: Values) -> Slot:
        """Write a new row that clashes with nothing."""
        key = self.schema.primary.of(values)
        slot = self._primary.get(key)
        if slot is not None:
            slot.is_reborn = True  # This transaction has deleted it before.
        else:
            slot = Slot(key)
            self._primary[key] = slot
            if self._is_composite:
                self._by_first.setdefault(key[0], []).append(slot)
            transaction.take(self, slot)
        slot.draft = values
        self._index(transaction, slot, values)
        return slot

    def change(self, transaction: Transaction, slot: Slot, values: Values) -> None:
        """Write a new version of a row that the transaction has locked and that clashes with
        nothing.
        """
        slot.draft = values
        self._index(transaction, slot, values)

    def delete(self, slot: Slot) -> None:
        """Delete a row that the transaction has locked."""
        slot.draft = None

    def keep_draft(self, slot: Slot) -> None:
        """See rows.Store."""
        draft, before = slot.draft, slot.values
        if draft is UNCHANGED:
            return
        if before is not None and len(self._entries) > 1:
            for number, key in enumerate(self.schema.keys):
                old = key.of(before)
                if (
                    number
                    and self._entries[number].get(old) is slot
                    and (draft is None or key.of(draft) != old)
                ):
                    del self._entries[number][old]
        if draft is None:
            self._forget(slot)
        elif slot.is_reborn:
            self._replace(slot, draft)
            draft = None
        slot.values = draft

    def drop_draft(self, slot: Slot) -> None:
        """See rows.Store."""
        slot.is_reborn = False
        if slot.values is None:
            self._forget(slot)

    def _index(self, transaction: Transaction, slot: Slot, values: Values) -> None:
        """Enter the unique keys of a draft; a rollback puts back what was there."""
        for number in range(1, len(self._entries)):
            entries, value = self._entries[number], self.schema.keys[number].of(values)
            before = entries.get(value)
            if before is slot or value is None or (value.__class__ is tuple and None in value):
                continue
            entries[value] = slot
            transaction.remember(_Entry(entries, self.schema.keys[number], value, slot, before))

    def _forget(self, slot: Slot) -> None:
        if self._primary.get(slot.key) is slot:
            del self._primary[slot.key]
            if self._is_composite:
                self._by_first[slot.key[0]].remove(slot)

    def _replace(self, slot: Slot, values: Values) -> None:
        """The row that took a deleted one's key within one transaction is a row of its own."""
        fresh = Slot(slot.key)
        fresh.values = values
        self._forget(slot)
        self._primary[slot.key] = fresh
        if self._is_composite:
            self._by_first.setdefault(slot.key[0], []).append(fresh)
        for entries, key in zip(self._entries[1:], self.schema.keys[1:], strict=True):
            if entries.get(key.of(values)) is slot:
                entries[key.of(values)] = fresh


class Clash(NamedTuple):
    """A key that is taken by a row; `is_open`: an open transaction decides whether it stays so."""

    key: Key
    slot: Slot
    is_open: bool


class _Entry(NamedTuple):
    """A unique key that a transaction has entered, and whose it was before."""

    entries: dict[Any, Slot]
    key: Key
    value: Any
    slot: Slot
    before: Slot | None

    def undo(self) -> None:
        if self.before is None:
            del self.entries[self.value]
        else:
            self.entries[self.value] = self.before

    def tidy(self) -> None:
        """A version that the same transaction has replaced had this key."""
        values = self.slot.values
        if self.entries.get(self.value) is self.slot and (
            values is None or self.key.of(values) != self.value
        ):
            del self.entries[self.value]


def _default(column: Column[Any]) -> Default:
    if column.default is not None or column.onupdate is not None or column.computed is not None:
        raise NotImplementedError(f"a default in Python or a computed column: {column}")
    if column.identity is not None:
        return lambda table, at: table.next_serial()
    if column.server_default is None:
        return lambda table, at: None
    given = column.server_default.arg if isinstance(column.server_default, DefaultClause) else None
    if isinstance(given, now):
        return lambda table, at: at
    if isinstance(given, str) and isinstance(column.type, Integer):
        number = int(given)
        return lambda table, at: number
    if isinstance(given, str) and isinstance(column.type, String):
        return lambda table, at: given
    raise NotImplementedError(f"the server default of {column}")


def _message(positions: dict[str, int]) -> tuple[str, int] | None:
    """For a table of messages: 'inbox' or 'outbox', and where the message's type is."""
    if "type" in positions and "message_id" in positions:
        return "inbox", positions["type"]
    if "type" in positions and "id" in positions:
        return "outbox", positions["type"]
    return None

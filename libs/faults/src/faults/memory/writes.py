"""INSERT, UPDATE and DELETE on rows in memory.

Guarantee: a statement starts from the rows of one moment and never meets its own changes; a row
that somebody else holds is waited for and judged anew, a key that somebody else has written is
waited for and judged anew.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import asyncpg
from sqlalchemy import Table, bindparam
from sqlalchemy.dialects.postgresql.dml import OnConflictDoNothing, OnConflictDoUpdate

from faults.memory import errors
from faults.memory.expressions import Context, Parameters, Scope, columns_of, value_for
from faults.memory.logic import Evaluate
from faults.memory.rows import Slot, Values
from faults.memory.selects import Locks, Reading, projection, subquery
from faults.memory.sources import Source, Sources, conjuncts
from faults.memory.tables import MemoryTable, schema_of

Sets = Sequence[tuple[int, Evaluate]]
_UNSUPPORTED = ("_prefixes", "_hints", "_with_options", "_independent_ctes", "_return_defaults")


class Writing:
    """A compiled INSERT, UPDATE or DELETE; `run` answers what RETURNING asks for, stored form."""

    def __init__(self, statement: Any, verb: str) -> None:
        for name in _UNSUPPORTED:
            if getattr(statement, name, None):
                raise NotImplementedError(f"{name.strip('_')} of {verb}")
        self.table: Table = statement.table
        self.columns = list(statement.exported_columns) if statement._returning else []
        self.schema = schema_of(self.table)
        self.what = f"{verb} {self.table.name}"
        self.row_count = 0

    async def run(self, context: Context) -> tuple[int, list[Values]]:
        """How many rows it wrote, and what it returns of them."""
        raise NotImplementedError


class Updating(Writing):
    """UPDATE, with or without FROM; and DELETE, whose rows get no new version."""

    def __init__(self, statement: Any, parameters: Parameters, verb: str) -> None:
        super().__init__(statement, verb)
        scope = Scope(parameters, subquery)
        where = [each for clause in statement._where_criteria for each in conjuncts(clause)]
        values = _named(getattr(statement, "_values", None) or {})
        if getattr(statement, "_ordered_values", None) or getattr(statement, "_multi_values", None):
            raise NotImplementedError("these values of an UPDATE")
        others = dict.fromkeys(
            column.table for each in [*where, *values.values()] for column in columns_of(each)
        )
        others.pop(self.table, None)
        if others and verb == "delete":
            raise NotImplementedError("DELETE USING")
        origins = [*others, self.table]
        self._sources = Sources([Source(origin, (), False) for origin in origins], where, scope)
        self._place = len(others)
        self._locks = Locks([(self._place, self.table)], self._sources, False)
        self._sets = None if verb == "delete" else _sets(values, self.schema, scope)
        changed = {position for position, _ in self._sets or ()}
        if changed & set(self.schema.primary.positions):
            raise NotImplementedError("changing a primary key")
        self._changes_key = any(changed & set(key.positions) for key in self.schema.keys)
        self._project = projection(self.columns, scope) if self.columns else None

    async def run(self, context: Context) -> tuple[int, list[Values]]:
        answer: list[Values] = []
        done: set[Slot | None] = set()
        for found in self._sources.find(context):
            slot = found[1][self._place]
            if slot in done:
                continue  # Joined twice: a row is changed once.
            taken = self._locks.take(found, context)
            if taken is not found[0] and self._sets is not None:
                # PostgreSQL judges what the statement would write before it waits for the row.
                self.schema.verify(changed(found[0][self._place], self._sets, found[0], context))
            if isinstance(taken, Slot):
                taken = await self._locks.wait(found, context)
            if taken is None or slot is None:
                continue
            done.add(slot)
            rows = await self._write(slot, taken, context)
            if self._project is not None:
                answer.append(self._project(rows, context))
        if done:
            context.transaction.written.add(self.what)
        return len(done), answer

    async def _write(self, slot: Slot, rows: Any, context: Context) -> Any:
        table: MemoryTable = context.database.tables[self.table]
        if self._sets is None:
            table.delete(slot)
            return rows
        values = changed(rows[self._place], self._sets, rows, context)
        self.schema.verify(values)
        if self._changes_key:
            await _wait_until_free(table, values, slot, context)
        table.change(context.transaction, slot, values)
        return (*rows[: self._place], values)


class Inserting(Writing):
    """INSERT of values, of a SELECT or of what a CTE wrote; with ON CONFLICT."""

    def __init__(self, statement: Any, parameters: Parameters, given: Sequence[str]) -> None:
        super().__init__(statement, "insert")
        self._first: Inserting | None = None
        self._cte: Any = None
        scope = Scope(parameters, subquery)
        self._source: Reading | None = None
        self._values: list[list[Evaluate]] = []
        if statement.select is not None:
            names = list(statement._select_names)
            self._first, self._cte = _written_by(statement.select, parameters)
            self._source = Reading(statement.select, parameters)
        else:
            lists = _value_lists(statement, self.table, given, parameters)
            names = list(lists[0])
            columns = [self.table.c[name] for name in names]
            self._values = [[value_for(c, each[c.name], scope) for c in columns] for each in lists]
        self._arrange, self._defaults = self._arrangement(names)
        self._conflict = statement._post_values_clause
        if self._conflict is not None and not isinstance(
            self._conflict, (OnConflictDoNothing, OnConflictDoUpdate)
        ):
            raise NotImplementedError(f"{self._conflict!r}")
        self._arbiters = self._arbiters_of(self._conflict)
        # Those that ON CONFLICT names are judged first; sorting keeps the order of the others.
        self._keys = sorted(
            enumerate(self.schema.keys), key=lambda each: each[1].name not in self._arbiters
        )
        returned = Scope(parameters, subquery)
        returned.add(self.table)
        self._update = self._conflict_update(returned)
        self._project = projection(self.columns, returned) if self.columns else None

    async def run(self, context: Context) -> tuple[int, list[Values]]:
        if self._first is not None:
            context.memo[self._cte] = (await self._first.run(context))[1]
        if self._source is not None:
            sources: Sequence[Sequence[Any]] = self._source.rows(context)
        else:
            sources = [[each((), context) for each in row] for row in self._values]
        table: MemoryTable = context.database.tables[self.table]
        transaction, answer, count = context.transaction, [], 0
        fresh: set[Slot] = set()
        for source in sources:
            defaults = [default(table, context.now) for default in self._defaults]
            values = self._arrange((*source, *defaults))
            self.schema.verify(values)
            clash = table.clash(transaction, values, self._keys)
            if clash is not None:
                written = await self._settle(table, values, context, fresh)
                if written is None:
                    continue
                values = written
            else:
                fresh.add(table.add(transaction, values))
                self._note(context, values)
            count += 1
            if self._project is not None:
                answer.append(self._project((values,), context))
        return count, answer

    async def _settle(
        self, table: MemoryTable, values: Values, context: Context, fresh: set[Slot]
    ) -> Values | None:
        """Wait until it is clear whether the key is taken, then do what ON CONFLICT says."""
        transaction = context.transaction
        while (clash := table.clash(transaction, values, self._keys)) is not None:
            if clash.is_open:
                await transaction.wait_for(clash.slot, wants_lock=False)
                continue
            if clash.key.name not in self._arbiters:
                raise errors.broken(asyncpg.UniqueViolationError, self.schema.name, clash.key.name)
            if self._update is None:
                return None
            if clash.slot in fresh:
                raise errors.refused(
                    asyncpg.CardinalityViolationError,
                    "ON CONFLICT DO UPDATE command cannot affect row a second time",
                )
            slot = clash.slot
            if slot.holder is None:
                transaction.take(table, slot)
            elif slot.holder is not transaction:
                await transaction.wait_for(slot, wants_lock=True)
                continue
            written: Values | None = await self._update(table, slot, values, context)
            fresh.add(slot)
            return written
        fresh.add(table.add(transaction, values))
        self._note(context, values)
        return values

    def _note(self, context: Context, values: Values) -> None:
        message = self.schema.message
        what = self.what if message is None else f"{message[0]} {values[message[1]]}"
        context.transaction.written.add(what)

    def _arrangement(
        self, names: Sequence[str]
    ) -> tuple[Callable[[Any], Values], list[Callable[[MemoryTable, Any], Any]]]:
        """From the statement's values, with the defaults behind them, to a row of the table."""
        left = [column.name for column in self.table.columns if column.name not in names]
        order = [*names, *left]
        places = [order.index(column.name) for column in self.table.columns]
        defaults = [self.schema.defaults[self.schema.positions[name]] for name in left]
        if len(places) == 1:
            return tuple, defaults
        return itemgetter(*places), defaults

    def _arbiters_of(self, conflict: Any) -> frozenset[str]:
        """The keys whose being taken the statement expects."""
        if conflict is None:
            return frozenset()
        if conflict.constraint_target or conflict.inferred_target_whereclause is not None:
            raise NotImplementedError("ON CONFLICT on a constraint or with a condition")
        elements = conflict.inferred_target_elements
        if elements is None:
            return frozenset(key.name for key in self.schema.keys)
        names = {each if isinstance(each, str) else each.name for each in elements}
        positions = {self.schema.positions[name] for name in names}
        return frozenset(k.name for k in self.schema.keys if set(k.positions) == positions)

    def _conflict_update(self, scope: Scope) -> Any:
        if not isinstance(self._conflict, OnConflictDoUpdate):
            return None
        values = _named(self._conflict.update_values_to_set)
        where = self._conflict.update_whereclause
        for each in [*values.values(), *([] if where is None else [where])]:
            for column in columns_of(each):
                if column.table is not self.table and column.table.name == "excluded":
                    scope.add(column.table)
        sets = _sets(values, self.schema, scope)
        if {position for position, _ in sets} & {p for k in self.schema.keys for p in k.positions}:
            raise NotImplementedError("ON CONFLICT DO UPDATE of a key")
        condition = None if where is None else value_for(self.table.columns[0], where, scope)

        async def update(
            table: MemoryTable, slot: Slot, excluded: Values, context: Context
        ) -> Values | None:
            before = slot.seen_by(context.transaction)
            rows = (before, excluded)
            if condition is not None and not condition(rows, context):
                return None
            assert before is not None
            values = changed(before, sets, rows, context)
            self.schema.verify(values)
            table.change(context.transaction, slot, values)
            context.transaction.written.add(f"update {self.table.name}")
            return values

        return update


async def _wait_until_free(table: MemoryTable, values: Values, own: Slot, context: Context) -> None:
    keys = list(enumerate(table.schema.keys))
    while (clash := table.clash(context.transaction, values, keys, own)) is not None:
        if not clash.is_open:
            raise errors.broken(asyncpg.UniqueViolationError, table.schema.name, clash.key.name)
        await context.transaction.wait_for(clash.slot, wants_lock=False)


def changed(before: Values, sets: Sets, rows: Any, context: Context) -> Values:
    """The row's new version."""
    values = list(before)
    for position, evaluate in sets:
        values[position] = evaluate(rows, context)
    return tuple(values)


def _named(values: Mapping[Any, Any]) -> dict[str, Any]:
    named = {key if isinstance(key, str) else key.name: value for key, value in values.items()}
    if not all(hasattr(value, "__visit_name__") for value in named.values()):
        raise NotImplementedError("a value that is no expression")
    return named


def _sets(values: Mapping[str, Any], schema: Any, scope: Scope) -> Sets:
    return [
        (schema.positions[name], value_for(schema.table.c[name], value, scope))
        for name, value in values.items()
    ]


def _value_lists(
    statement: Any, table: Table, given: Sequence[str], parameters: Parameters
) -> list[dict[str, Any]]:
    """The rows of VALUES, by column; without VALUES, parameters named as their columns."""
    if statement._multi_values:
        (rows,) = statement._multi_values
        literal = [
            {
                name: v if hasattr(v, "__visit_name__") else bindparam(None, v, unique=True)
                for name, v in row.items()
            }
            for row in rows
        ]
        if any(list(row) != list(literal[0]) for row in literal):
            raise NotImplementedError("VALUES of different columns")
        return [_named(row) for row in literal]
    if statement._values:
        return [_named(statement._values)]
    if not given:
        raise NotImplementedError("INSERT without values")
    return [{name: bindparam(name, type_=table.c[name].type) for name in given}]


def _written_by(select: Any, parameters: Parameters) -> "tuple[Inserting | None, Any]":
    """The INSERT in a CTE that the SELECT reads from, if it does."""
    for origin in select.get_final_froms():
        if origin.__visit_name__ != "cte":
            continue
        if origin.element.__visit_name__ != "insert" or origin.recursive:
            raise NotImplementedError(f"a CTE of {origin.element.__visit_name__}")
        return Inserting(origin.element, parameters, ()), origin
    return None, None

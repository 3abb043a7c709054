"""A PostgreSQL database in memory: the tables of one service, under READ COMMITTED.

Guarantee: for the statements that it takes, it answers, waits and fails as PostgreSQL does; any
other is refused by NotImplementedError. A test suite runs against both.

Not told apart from the real one: texts sort by code point, whatever the real database's collation
is; an answer whose order the statement leaves open comes in the order of inserts or of the keys
that were asked for; a connection pool's size plays no part.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy import MetaData, Table

from faults.engine import Call, GatedEngine, Given
from faults.gate import Gate, OpenGate, ProcessDead
from faults.memory import errors
from faults.memory.answer import Answer
from faults.memory.expressions import Context
from faults.memory.rows import Transaction
from faults.memory.tables import MemoryTable, schema_of
from faults.memory.types import read


class MemoryDatabase:
    """The tables of a MetaData, empty at first. `now`: the server's clock, with a time zone."""

    def __init__(self, metadata: MetaData, now: Callable[[], datetime]) -> None:
        self.tables: Mapping[Table, MemoryTable] = {
            table: MemoryTable(schema_of(table)) for table in metadata.tables.values()
        }
        self.now = now

    def engine(self, gate: Gate) -> GatedEngine:
        """One process incarnation's way in."""
        return GatedEngine.of(self, gate)

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """The committed rows, in the order of their inserts."""
        kept = self.tables[table]
        names, json = list(kept.schema.positions), set(kept.schema.json)
        return [
            {
                name: read(slot.values[place]) if place in json else slot.values[place]
                for place, name in enumerate(names)
            }
            for slot in kept
            if slot.values is not None
        ]

    async def execute(self, statement: Any, parameters: Given = None) -> Answer:
        """Run a statement as a transaction of its own, past every gate."""
        async with GatedEngine.of(self, OpenGate()).begin() as connection:
            answer: Answer = await connection.execute(statement, parameters)
            return answer

    def begin(self, on_end: Callable[[Any], object], *, by_driver: bool) -> Transaction:
        """See engine.Database; here it is the same by whom a transaction is opened."""
        return Transaction(self.now(), on_end)

    async def run(self, transaction: Transaction, call: Call) -> Any:
        """See engine.Database; a failure leaves the transaction good for a rollback only."""
        if transaction.is_over:
            raise ProcessDead
        if transaction.is_failed:
            raise errors.refused(
                asyncpg.InFailedSQLTransactionError,
                "current transaction is aborted, commands ignored until end of transaction block",
            )
        plan = call.plan
        context = Context(self, transaction, transaction.now, plan.parameters.bind(call.given))
        try:
            count, rows = await plan.run(context)
        except BaseException:
            transaction.is_failed = True
            raise
        return rows if call.is_prepared else Answer(rows, count, plan.returns_rows)

    def read(self, call: Call) -> Any:
        """See engine.Database."""
        plan = call.plan
        rows = plan.read(Context(self, None, self.now(), plan.parameters.bind(call.given)))
        return rows if call.is_prepared else Answer(rows, len(rows), plan.returns_rows)

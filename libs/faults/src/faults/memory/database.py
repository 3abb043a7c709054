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

from sqlalchemy import MetaData, Table

from faults.gate import Gate, OpenGate
from faults.memory.engine import Answer, Given, MemoryEngine
from faults.memory.tables import MemoryTable, schema_of
from faults.memory.types import read


class MemoryDatabase:
    """The tables of a MetaData, empty at first. `now`: the server's clock, with a time zone."""

    def __init__(self, metadata: MetaData, now: Callable[[], datetime]) -> None:
        self.tables: Mapping[Table, MemoryTable] = {
            table: MemoryTable(schema_of(table)) for table in metadata.tables.values()
        }
        self.now = now

    def engine(self, gate: Gate) -> MemoryEngine:
        """One process incarnation's way in."""
        return MemoryEngine.of(self, gate)

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
        async with MemoryEngine.of(self, OpenGate()).begin() as connection:
            return await connection.execute(statement, parameters)

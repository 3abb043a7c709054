"""Saga instances in SQL, read and written in bulk.

Guarantee: an instance is only ever replaced by the one computed from it (a revision is compared and
set), in the transaction that also writes the messages; deadlines are kept by the database's clock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batching import BulkInsert, BulkUpdate, Prepared
from messaging import Conflict
from sagas.engine import Instance, Status


def saga_table(metadata: MetaData) -> Table:
    """Declare the table on the orchestrating service's metadata."""
    table = Table(
        "sagas",
        metadata,
        Column("id", UUID(as_uuid=False), primary_key=True),
        Column("saga", Text, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("revision", Integer, nullable=False),
        Column("status", Text, nullable=False),
        Column("state", JSONB, nullable=False),
        Column("deadline_seconds", Float),
        Column("deadline_at", DateTime(timezone=True)),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )
    Index(
        "sagas_deadline_at", table.c.deadline_at, postgresql_where=table.c.deadline_at.is_not(None)
    )
    return table


def _deadline_at(rows: Any) -> Any:
    """From the seconds that the engine gave to a time by the database's clock."""
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, rows.c.deadline_seconds)


class SagaStore:
    """The instances of all sagas of one service."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._statements = _statements(table)

    async def insert(self, connection: AsyncConnection, instances: Sequence[Instance]) -> None:
        """Write new instances; raises IntegrityError where one exists."""
        ordered = sorted(instances, key=lambda each: (each.id, each.saga))
        await self._statements.insert(connection, [_row(instance) for instance in ordered])

    async def lock(
        self, connection: AsyncConnection, ids: Iterable[str]
    ) -> dict[tuple[str, str], Instance]:
        """The instances of these business ids by (saga, id), locked in a fixed order."""
        rows = await self._statements.lock(connection, {"ids": sorted(set(ids))})
        return {(row.saga, row.id): _instance(row) for row in rows}

    async def lock_due(self, connection: AsyncConnection, limit: int) -> list[Instance]:
        """Instances whose deadline has passed, locked; those at work elsewhere are left out."""
        rows = await self._statements.due(connection, {"limit": limit})
        return [_instance(row) for row in rows]

    async def save(self, connection: AsyncConnection, instances: Sequence[Instance]) -> None:
        """Replace each instance's predecessor; raises Conflict if one was replaced meanwhile.

        `instance.revision` is still the predecessor's: saving adds one.
        """
        rows = [
            {**_row(i), "revision": i.revision + 1, "expected_revision": i.revision}
            for i in instances
        ]
        if len(await self._statements.update(connection, rows)) != len(rows):
            raise Conflict("a saga instance")

    async def find(self, connection: AsyncConnection, instance_id: str) -> list[Instance]:
        """All sagas of one business id, oldest first; nothing is locked."""
        statement = self._statements.select.where(self._table.c.id == instance_id).order_by(
            self._table.c.created_at
        )
        return [_instance(row) for row in await connection.execute(statement)]

    async def census(self, engine: AsyncEngine, names: Iterable[str]) -> dict[str, dict[str, int]]:
        """Counts of instances by saga and status, zeros included."""
        counts = {name: dict.fromkeys(map(str, Status), 0) for name in names}
        table = self._table
        statement = select(table.c.saga, table.c.status, func.count()).group_by(
            table.c.saga, table.c.status
        )
        async with engine.connect() as connection:
            for saga, status, count in await connection.execute(statement):
                counts.setdefault(saga, {})[status] = count
        return counts


@dataclass(frozen=True, slots=True)
class _Statements:
    """What the store asks of one table."""

    insert: BulkInsert
    update: BulkUpdate
    select: Select[Any]
    lock: Prepared
    due: Prepared


@cache
def _statements(table: Table) -> _Statements:
    written = ["version", "revision", "status", "state", "deadline_seconds"]
    found: Select[Any] = select(
        table.c.saga, table.c.id, table.c.version, table.c.revision, table.c.status,
        table.c.state, table.c.deadline_seconds,
    )  # fmt: skip
    ids = bindparam("ids", type_=ARRAY(UUID(as_uuid=False)))
    return _Statements(
        insert=BulkInsert(table, ["saga", "id", *written], computed={"deadline_at": _deadline_at}),
        update=BulkUpdate(
            table,
            key=["saga", "id"],
            columns=written,
            guard="revision",
            computed={"deadline_at": _deadline_at, "updated_at": lambda _: func.now()},
        ),
        select=found,
        lock=Prepared(
            found.where(table.c.id == func.any(ids))
            .order_by(table.c.id, table.c.saga)
            .with_for_update()
        ),
        due=Prepared(
            found.where(table.c.deadline_at <= func.now())
            .order_by(table.c.deadline_at)
            .limit(bindparam("limit", type_=Integer))
            .with_for_update(skip_locked=True)
        ),
    )


def _row(instance: Instance) -> dict[str, Any]:
    return {
        "saga": instance.saga,
        "id": instance.id,
        "version": instance.version,
        "revision": instance.revision,
        "status": str(instance.status),
        "deadline_seconds": instance.deadline_seconds,
        "state": {
            "data": instance.data,
            "step": instance.step,
            "undoing": instance.undoing,
            "turn": instance.turn,
            "resends": instance.resends,
            "refusal": instance.refusal,
            "history": instance.history,
        },
    }


def _instance(row: Any) -> Instance:
    state = row.state
    return Instance(
        saga=row.saga,
        id=str(row.id),
        version=row.version,
        data=state["data"],
        revision=row.revision,
        status=Status(row.status),
        step=state["step"],
        undoing=state["undoing"],
        turn=state["turn"],
        resends=state["resends"],
        refusal=state["refusal"],
        deadline_seconds=row.deadline_seconds,
        history=tuple(state["history"]),
    )

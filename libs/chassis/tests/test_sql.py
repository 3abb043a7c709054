"""What a process holds open: a pool that survives a database's restart, silence and standstill."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import MetaData, func, make_url, select
from sqlalchemy.exc import DBAPIError

from batching import Prepared, transaction
from chassis import sql as chassis_sql
from chassis.settings import SqlSettings
from chassis.sql import SqlResources, open_sql_resources
from faults.proxy import Blackhole, Proxy
from messaging import messaging_tables
from messaging.consumer import is_outage
from observability import Tracing

PID = select(func.pg_backend_pid().label("pid"))


@asynccontextmanager
async def opened(servers: Any, *, port: int | None = None) -> AsyncIterator[SqlResources]:
    url = make_url(servers.postgres_url("scratch"))
    if port is not None:
        url = url.set(port=port)
    settings = SqlSettings(
        database_url=SecretStr(url.render_as_string(hide_password=False)),
        redis_url=servers.redis_url,
        aws_endpoint_url=servers.aws_endpoint_url,
    )
    tables = messaging_tables(MetaData())
    async with open_sql_resources("order", settings, tables, Tracing(None)) as resources:
        yield resources


async def test_connections_that_the_server_closed_are_never_handed_out(servers: Any) -> None:
    async with opened(servers) as resources:
        async with resources.reader.connect() as first, resources.reader.connect() as second:
            pids = [await _pid(each) for each in (first, second)]
        async with resources.reader.connect() as one:
            others = [pid for pid in pids if pid != await _pid(one)]
            for pid in others:
                await one.execute(select(func.pg_terminate_backend(pid, 5000)))
            async with resources.reader.connect() as other:
                assert await _pid(other) not in others


@pytest.mark.parametrize("at", ["statement", "prepared statement", "commit"])
async def test_connection_that_has_gone_silent_is_given_up_and_another_one_works(
    servers: Any, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr(chassis_sql, "ANSWER_SECONDS", 0.5)
    proxy = Proxy(make_url(servers.postgres_url("scratch")).port or 0)
    await proxy.start()
    prepared = Prepared(PID)
    async with opened(servers, port=proxy.port) as resources:

        async def go_silent() -> None:
            async with transaction(resources.reader) as connection:
                await prepared(connection)
                proxy.add(Blackhole(connections=proxy.connections))
                if at == "statement":
                    await connection.execute(PID)
                elif at == "prepared statement":
                    await prepared(connection)

        began = time.monotonic()
        with pytest.raises((DBAPIError, TimeoutError)) as failure:
            await go_silent()
        assert is_outage(failure.value)
        assert time.monotonic() - began < 10
        async with transaction(resources.reader) as connection:
            await prepared(connection)
    await proxy.close()


async def test_session_that_stands_still_in_a_transaction_loses_its_locks(
    servers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chassis_sql, "IDLE_IN_TRANSACTION_SECONDS", 0.5)
    lock = select(func.pg_advisory_xact_lock(20_260))
    async with opened(servers) as resources:

        async def take_and_stand_still() -> None:
            async with transaction(resources.reader) as connection:
                await connection.execute(lock)
                is_locked.set()
                await may_go_on.wait()

        is_locked, may_go_on = asyncio.Event(), asyncio.Event()
        frozen = asyncio.create_task(take_and_stand_still())
        await is_locked.wait()
        async with asyncio.timeout(10), transaction(resources.reader) as connection:
            await connection.execute(lock)
        may_go_on.set()
        with pytest.raises(DBAPIError) as failure:
            await frozen
        assert is_outage(failure.value)


async def _pid(connection: Any) -> int:
    return int((await connection.execute(PID)).scalar_one())

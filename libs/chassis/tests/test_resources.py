"""What a process holds open: a pool that survives a database's restart."""

from typing import Any

from pydantic import SecretStr
from sqlalchemy import MetaData, func, select

from chassis.resources import open_resources
from chassis.settings import ServiceSettings
from messaging import messaging_tables
from observability import Tracing


async def test_connections_that_the_server_closed_are_never_handed_out(servers: Any) -> None:
    settings = ServiceSettings(
        database_url=SecretStr(servers.postgres_url("scratch")),
        redis_url=servers.redis_url,
        aws_endpoint_url=servers.aws_endpoint_url,
    )
    tables = messaging_tables(MetaData())
    async with open_resources("order", settings, tables, Tracing(None)) as resources:
        async with resources.reader.connect() as first, resources.reader.connect() as second:
            pids = [
                (await each.execute(select(func.pg_backend_pid()))).scalar_one()
                for each in (first, second)
            ]
        async with resources.reader.connect() as one:
            others = [pid for pid in pids if pid != await _pid(one)]
            for pid in others:
                await one.execute(select(func.pg_terminate_backend(pid, 5000)))
            async with resources.reader.connect() as other:
                assert await _pid(other) not in others


async def _pid(connection: Any) -> int:
    return int((await connection.execute(select(func.pg_backend_pid()))).scalar_one())

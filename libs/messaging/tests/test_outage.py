"""What counts as an outage, asked of the real driver: its errors are not what they are called."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import Column, Integer, MetaData, Table, insert, text
from sqlalchemy.ext.asyncio import create_async_engine

from idempotency import RecordsUnavailable
from messaging.consumer import is_outage

METADATA = MetaData()
THING = Table("thing", METADATA, Column("id", Integer, primary_key=True))


async def error_of(engine: Any, *statements: str) -> BaseException:
    try:
        async with engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(["SET TRANSACTION READ ONLY", "INSERT INTO thing VALUES (1)"], id="read-only"),
        pytest.param(["SELECT pg_terminate_backend(pg_backend_pid())"], id="terminated"),
        pytest.param(["SET LOCAL statement_timeout = 1", "SELECT pg_sleep(5)"], id="cancelled"),
    ],
)
async def test_a_database_that_cannot_work_is_an_outage(
    new_database: Any, statements: list[str]
) -> None:
    assert is_outage(await error_of(await new_database(METADATA), *statements))


async def test_an_exhausted_pool_is_an_outage(servers: Any) -> None:
    engine = create_async_engine(
        servers.postgres_url("scratch"), pool_size=1, max_overflow=0, pool_timeout=0.05
    )
    async with engine.connect():
        assert is_outage(await error_of(engine, "SELECT 1"))
    await engine.dispose()


async def test_a_row_that_breaks_a_constraint_is_the_messages_fault(new_database: Any) -> None:
    engine = await new_database(METADATA)
    async with engine.begin() as connection:
        await connection.execute(insert(THING), {"id": 1})
    assert not is_outage(await error_of(engine, "INSERT INTO thing VALUES (1)"))
    assert not is_outage(await error_of(engine, "SELECT 1/0"))
    assert not is_outage(KeyError("a bug"))


@pytest.mark.parametrize(
    ("code", "is_one"),
    [
        ("ProvisionedThroughputExceededException", True),
        ("ThrottlingException", True),
        ("ExpiredTokenException", True),
        ("InvalidSignatureException", True),
        ("ResourceNotFoundException", True),
        ("ValidationException", False),
        ("ConditionalCheckFailedException", False),
    ],
)
def test_what_aws_refuses_whatever_is_asked_is_an_outage(code, is_one):
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    assert is_outage(ClientError(response, "TransactWriteItems")) is is_one


def test_records_that_dynamodb_does_not_take_are_an_outage():
    assert is_outage(RecordsUnavailable("throttled"))

"""Alembic migrations of a service, run from code.

Guarantee: one migration runs at a time, however many processes start at once (an advisory lock).
Each service keeps its revisions in `<package>/migrations/versions`; there is no ini file.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, MetaData, func, select
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic is imported where it is used: it takes 8 MB, and a process that serves never migrates.

# Any constant does; it only has to be the same in every process that migrates.
_LOCK = 7_215_011


def _config(package: str) -> "Config":
    from alembic.config import Config

    module = importlib.import_module(package)
    if module.__file__ is None:
        raise RuntimeError(f"{package} has no folder to look for migrations in")
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


async def migrate(database_url: str, package: str) -> None:
    """Bring the schema to the newest revision; raises what the database raises."""
    from alembic import command

    def upgrade(connection: Connection) -> None:
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        config = _config(package)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    engine = create_async_engine(database_url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(upgrade)
    finally:
        await engine.dispose()


async def drift(database_url: str, metadata: MetaData) -> list[str]:
    """What autogenerate would still change: empty when migrations and tables agree."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def compare(connection: Connection) -> list[str]:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return [str(difference) for difference in compare_metadata(context, metadata)]

    engine = create_async_engine(database_url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(compare)
    finally:
        await engine.dispose()


def run_migrations(metadata: MetaData) -> None:
    """The whole of a service's `migrations/env.py`."""
    from alembic import context

    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()

"""Prepares the databases of a local stack: every service's schema.

Guarantee: idempotent; it may run at each start. One process for all services, since starting Python
and loading Alembic takes longer than the migrations.
"""

import asyncio
import logging
import os
import sys

from bookstore.local_stack import DATABASES
from chassis.migrations import migrate


async def prepare() -> None:
    """Migrate each service's database, one after another: Alembic keeps its context in globals."""
    for service in DATABASES:
        await migrate(os.environ[f"{service.upper()}_DATABASE_URL"], f"{service}_service")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
    asyncio.run(prepare())

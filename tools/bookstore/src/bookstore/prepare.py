"""Prepares the stores of a stack: every service's schema, and the topology on the bus.

Guarantee: idempotent; it may run at each start. One process for all, since starting Python and
loading Alembic takes longer than the work.
"""

import asyncio
import logging
import os
import sys

from bookstore.local_stack import SERVICES
from chassis.migrations import migrate
from contracts import load_topology
from messaging.topology import apply


async def prepare() -> None:
    """Migrate each service's database and apply the topology, all at once."""

    async def migrations() -> None:
        # One after another: Alembic keeps its context in module globals.
        for service in SERVICES:
            await migrate(os.environ[f"{service.upper()}_DATABASE_URL"], f"{service}_service")

    await asyncio.gather(
        migrations(), apply(load_topology(), endpoint_url=os.environ.get("AWS_ENDPOINT_URL"))
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
    asyncio.run(prepare())

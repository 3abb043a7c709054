"""What the migrations make is what the code expects."""

from chassis.migrations import drift, migrate
from order_service.store import METADATA
from stack import EmbeddedServers


async def test_migrations_and_tables_agree(servers: EmbeddedServers) -> None:
    url = servers.postgres_url("order")
    await migrate(url, "order_service")
    assert await drift(url, METADATA) == []

from chassis.migrations import run_migrations
from order_service.store import METADATA

run_migrations(METADATA)

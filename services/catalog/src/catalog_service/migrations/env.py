from catalog_service.tables import METADATA
from chassis.migrations import run_migrations

run_migrations(METADATA)

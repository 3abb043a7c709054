"""Alembic's entry point, run by `python -m payment_service migrate`.

Guarantee: the chassis' (one migration at a time).
"""

from chassis.migrations import run_migrations
from payment_service.store import METADATA

run_migrations(METADATA)

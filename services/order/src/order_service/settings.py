"""The order service's settings, beyond those that all services share.

Guarantee: frozen once read.
"""

from pydantic import Field

from chassis import SqlSettings


class OrderSettings(SqlSettings):
    """Intervals in seconds."""

    max_wait_seconds: float = Field(
        default=30, ge=0, description="the longest `Prefer: wait` that is honoured"
    )
    deadline_sweep_seconds: float = Field(default=1.0, gt=0)
    reconcile_interval_seconds: float = Field(
        default=60, gt=0, le=300, description="orders are to be reconciled within five minutes"
    )
    reconcile_grace_seconds: float = Field(
        default=120, ge=0, description="younger outcomes may still be on their way"
    )
    max_event_streams: int = Field(default=200, ge=1)

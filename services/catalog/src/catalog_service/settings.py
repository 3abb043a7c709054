"""The catalog service's settings, beyond those that all services share.

Guarantee: frozen once read.
"""

from pydantic import Field, SecretStr

from chassis import SqlSettings


class CatalogSettings(SqlSettings):
    """Times in seconds."""

    redis_url: SecretStr | None = Field(
        default=None, description="redis://host:port/0; without it, books are read uncached"
    )
    book_cache_seconds: int = Field(
        default=5, ge=1, le=300, description="how old a shown stock may be at most"
    )
    # A hold must outlive the longest saga, or a paid order could lose its copies. place_order takes
    # about half an hour at worst (the sum of its deadlines times its resends); a day leaves room
    # for a parked saga that a human looks at, and for queues that stood still overnight.
    hold_seconds: int = Field(default=24 * 3600, ge=3600, description="how long a hold lasts")
    expiry_sweep_seconds: float = Field(default=30.0, gt=0)

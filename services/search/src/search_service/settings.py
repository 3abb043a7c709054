"""The search service's settings, beyond those that all services share.

Guarantee: frozen once read.
"""

from pathlib import Path

from pydantic import Field, HttpUrl, SecretStr

from chassis import ServiceSettings


class SearchSettings(ServiceSettings):
    """Times in seconds."""

    opensearch_url: SecretStr | None = Field(
        default=None,
        description="http(s)://user:password@host:port; without it, the index is embedded",
    )
    index_path: Path = Field(
        default=Path("search-index"),
        description="the embedded index's folder, which web and worker share",
    )
    redis_url: SecretStr = Field(description="redis://host:port/0; what trends and goes together")
    catalog_url: HttpUrl = Field(
        default=HttpUrl("http://127.0.0.1:8002"), description="where books are read for a rebuild"
    )
    recompute_seconds: float = Field(
        default=300.0, ge=1, description="how often recommendations are computed anew"
    )
    # An index takes many changes at about the cost of one, so more may be at work at once.
    max_messages_in_flight: int = Field(default=1000, ge=10, le=10_000)

"""The settings that all services share, read from the environment once, in `main`.

Guarantee: a wrong or missing variable ends the process with one line that names it.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

DATABASE_URL_FORM = "postgresql+asyncpg://user:password@host:port/database"


def _is_database_url(value: SecretStr) -> SecretStr:
    """The text never shows the value, which holds a password."""
    try:
        driver = make_url(value.get_secret_value()).drivername
    except (ArgumentError, ValueError):
        driver = ""
    if driver != "postgresql+asyncpg":
        raise ValueError(f"it has to look like {DATABASE_URL_FORM}")
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)
]


class ServiceSettings(BaseSettings):
    """One frozen object; a service adds its own fields by subclassing."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    aws_endpoint_url: str | None = Field(
        default=None, description="an emulator's address; absent on AWS"
    )
    aws_region: str = "us-east-1"
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8000, ge=0, le=65535)
    max_body_bytes: int = Field(default=2 * 1024 * 1024, ge=1024)
    visibility_seconds: int = Field(
        default=30, ge=2, le=43200, description="how soon a killed worker's messages come back"
    )
    lease_seconds: float = Field(
        default=30, ge=1, description="how long a killed worker's claim on a message holds"
    )
    max_messages_in_flight: int = Field(default=200, ge=10, le=10_000)
    log_level: LogLevel = "INFO"
    log_format: Literal["json", "console"] = "json"
    otel_exporter_otlp_endpoint: str | None = None
    trace_file: Path | None = Field(
        default=None, description="append finished spans to this file, one JSON object a line"
    )


class SqlSettings(ServiceSettings):
    """Those of a service that keeps its state in PostgreSQL."""

    database_url: Annotated[SecretStr, AfterValidator(_is_database_url)] = Field(
        description=DATABASE_URL_FORM
    )
    database_pool_size: int = Field(default=8, ge=1, le=100)

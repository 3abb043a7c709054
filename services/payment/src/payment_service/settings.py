"""The payment service's settings, on top of those that all services share.

Guarantee: the gateway's secrets are SecretStr, so no log line or traceback shows them.
"""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from chassis import SqlSettings


def _is_header_value(value: SecretStr) -> SecretStr:
    """The text never shows the value."""
    text = value.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("it has to be printable ASCII without spaces or line breaks")
    return value


class PaymentSettings(SqlSettings):
    """Read from the environment once, in `main`."""

    stripe_api_key: Annotated[SecretStr, AfterValidator(_is_header_value)]
    stripe_api_base: str | None = Field(
        default=None, description="where a simulator listens; absent for Stripe itself"
    )
    stripe_webhook_secret: SecretStr
    gateway_concurrency: int = Field(default=50, ge=1, le=1000)
    gateway_attempt_seconds: float = Field(
        default=10, gt=0, le=25, description="how long one request to the gateway may take"
    )
    gateway_budget_seconds: float = Field(
        default=18, gt=0, le=25, description="no further request is begun after this long"
    )
    gateway_hard_seconds: float = Field(
        default=30, gt=0, le=30, description="the end of everything asked for one message"
    )
    circuit_failures: int = Field(default=5, ge=1)
    circuit_open_seconds: float = Field(default=5, gt=0)
    reconcile_interval_seconds: float = Field(
        default=60, gt=0, le=300, description="orders are reconciled within five minutes"
    )
    reconcile_grace_seconds: float = Field(
        default=120, ge=0, description="younger rows and intents may still be at work"
    )

"""The notification service's settings, on top of those that all services share.

Guarantee: keys and secrets are SecretStr, so no log line or traceback shows them.
"""

from email.utils import parseaddr
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from chassis import ServiceSettings


def _is_sender(value: str) -> str:
    if "@" not in parseaddr(value)[1] or not value.isprintable():
        raise ValueError("it has to look like Bookstore <orders@bookstore.example>")
    return value


def _is_long_enough(value: SecretStr) -> SecretStr:
    """The text never shows the value."""
    if len(value.get_secret_value()) < 16:
        raise ValueError("it has to have 16 characters at least")
    return value


class NotificationSettings(ServiceSettings):
    """Read from the environment once, in `main`."""

    mail_sender: Annotated[str, AfterValidator(_is_sender)] = "Bookstore <orders@bookstore.example>"
    public_url: str = Field(
        default="http://127.0.0.1:8000",
        pattern='^https?://[^\\s<>"]+$',
        description="where customers' mail programs reach this service, to unsubscribe",
    )
    unsubscribe_key: Annotated[SecretStr, AfterValidator(_is_long_enough)] = Field(
        description="signs unsubscribe links; a new one breaks the links in old mails"
    )
    ses_webhook_secret: Annotated[SecretStr, AfterValidator(_is_long_enough)] | None = Field(
        default=None, description="password of SNS's posts; without it the webhook is closed"
    )
    mails_per_second: int = Field(
        default=14, ge=1, le=10_000, description="SES's limit, for all workers together"
    )
    mail_lease_seconds: float = Field(
        default=60, ge=20, description="how long a killed worker holds up an order's mails"
    )
    contact_grace_seconds: float = Field(
        default=24 * 3600, gt=0, description="how long a mail waits to learn where to go"
    )
    mail_sweep_seconds: float = Field(default=60, gt=0)
    mailbox_url: str | None = Field(
        default=None, description="the AWS emulator's address, to show its mails on /mailbox"
    )

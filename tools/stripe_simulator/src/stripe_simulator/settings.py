"""What the simulator is told from outside: one frozen object, read from the environment once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_PORT = 8009
DEFAULT_WEBHOOK_SECRET = "whsec_simulator"  # noqa: S105 - signs nothing outside this machine
DEFAULT_WEBHOOK_EVENTS = frozenset(
    {
        "payment_intent.amount_capturable_updated",
        "payment_intent.succeeded",
        "payment_intent.canceled",
        "payment_intent.payment_failed",
        "charge.refunded",
        "refund.created",
        "refund.updated",
        "refund.failed",
    }
)
DAY_SECONDS = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Settings:
    """How one simulator behaves; durations are of its own clock unless they say real."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    # None accepts any test key; a live key is refused in every case.
    api_key: str | None = None
    webhook_url: str | None = None
    webhook_secret: str = DEFAULT_WEBHOOK_SECRET
    webhook_events: frozenset[str] = DEFAULT_WEBHOOK_EVENTS
    # Real seconds before the first redelivery; doubles with each attempt.
    webhook_retry_seconds: float = 1.0
    webhook_attempts: int = 12
    data_file: Path | None = None
    # Stripe prunes idempotency keys once they are at least 24 hours old.
    key_lifetime_seconds: float = DAY_SECONDS
    # Stripe's default for online card payments.
    authorization_lifetime_seconds: float = 7 * DAY_SECONDS
    # When a pending refund succeeds, and when a refund that is going to fail does so.
    refund_settles_seconds: float = 2.0
    # Stripe lists 30 days of events; a laptop keeps this many.
    event_history: int = 30_000

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Settings from STRIPE_* variables; an empty variable counts as unset.

        Raises ValueError naming the variable when a number does not parse.
        """
        defaults = cls()
        events = environment.get("STRIPE_WEBHOOK_EVENTS", "")
        data_file = environment.get("STRIPE_SIMULATOR_DATA")
        return cls(
            host=environment.get("STRIPE_SIMULATOR_HOST") or defaults.host,
            port=int(_number(environment, "STRIPE_SIMULATOR_PORT", defaults.port)),
            api_key=environment.get("STRIPE_API_KEY") or None,
            webhook_url=environment.get("STRIPE_WEBHOOK_URL") or None,
            webhook_secret=environment.get("STRIPE_WEBHOOK_SECRET") or defaults.webhook_secret,
            webhook_events=event_types(events) if events.strip() else defaults.webhook_events,
            webhook_retry_seconds=_number(
                environment, "STRIPE_WEBHOOK_RETRY_SECONDS", defaults.webhook_retry_seconds
            ),
            data_file=Path(data_file) if data_file else None,
            refund_settles_seconds=_number(
                environment, "STRIPE_SIMULATOR_REFUND_SECONDS", defaults.refund_settles_seconds
            ),
        )


def event_types(listed: str) -> frozenset[str]:
    """Event types from a comma-separated list; `*` means all of them."""
    return frozenset(name.strip() for name in listed.split(",") if name.strip())


def _number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, not {text!r}") from None

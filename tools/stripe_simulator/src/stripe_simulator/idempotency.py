"""Idempotency keys as Stripe documents them.

    (unknown) --begin--> running --finish--> saved --24 h--> (unknown)
                            +-----abandon----> (unknown)

Guarantee: while a key is known its first saved answer, a 500 included, is what every repetition
gets; a repetition with other parameters or during the first run is refused and executes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from stripe_simulator.errors import StripeError
from stripe_simulator.forms import parse_form

MAX_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Saved:
    """The first answer under a key. `form` is the request's body as it was sent."""

    key: str
    path: str
    form: bytes
    status: int
    response: bytes
    request_id: str
    at: float


class Keys:
    def __init__(self, lifetime_seconds: float) -> None:
        self._lifetime = lifetime_seconds
        # In order of saving, so the oldest are pruned from the front.
        self._saved: dict[str, Saved] = {}
        self._running: set[str] = set()

    def __len__(self) -> int:
        return len(self._saved)

    def begin(self, key: str, path: str, form: bytes, now: float) -> Saved | None:
        """The saved answer, or None after which the caller must `finish` or `abandon`.

        Raises StripeError: another request runs under the key, or it was used for another request.
        """
        if len(key) > MAX_KEY_LENGTH:
            raise _misused(f"Idempotency keys can be at most {MAX_KEY_LENGTH} characters long.")
        self._prune(now)
        if key in self._running:
            raise StripeError(
                409,
                "invalid_request_error",
                "There is currently another in-progress request using this Idempotent Key (that"
                " probably means you submitted twice, and the other request is still going"
                f" through): {key}. Please try again later.",
                code="idempotency_key_in_use",
            )
        saved = self._saved.get(key)
        if saved is None:
            self._running.add(key)
            return None
        remedy = f" Try using a key other than '{key}' if you meant to execute a different request."
        if saved.path != path:
            raise _misused(
                "Keys for idempotent requests can only be used for the same endpoint they were"
                f" first used for ('{path}' vs '{saved.path}').{remedy}"
            )
        # Parameters in another order are the same parameters.
        if saved.form != form and parse_form(saved.form) != parse_form(form):
            raise _misused(
                "Keys for idempotent requests can only be used with the same parameters they were"
                f" first used with.{remedy}"
            )
        return saved

    def finish(self, saved: Saved) -> None:
        self._running.discard(saved.key)
        self._saved[saved.key] = saved

    def abandon(self, key: str) -> None:
        self._running.discard(key)

    def forget(self, key: str | None = None) -> int:
        """Forget one key or all of them, as if a day had passed; how many were known."""
        if key is not None:
            return 0 if self._saved.pop(key, None) is None else 1
        known = len(self._saved)
        self._saved.clear()
        return known

    def _prune(self, now: float) -> None:
        while self._saved:
            oldest = next(iter(self._saved.values()))
            if oldest.at + self._lifetime > now:
                return
            del self._saved[oldest.key]


def _misused(message: str) -> StripeError:
    return StripeError(400, "idempotency_error", message)

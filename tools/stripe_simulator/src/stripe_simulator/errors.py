"""Errors in Stripe's format: the one type that every refusal in here is raised as."""

from __future__ import annotations

from typing import Any

import orjson

from stripe_simulator.encoding import compact_json

DOCUMENTATION = "https://docs.stripe.com/error-codes/"


class StripeError(Exception):
    """A refusal with its HTTP status and Stripe's error object.

    `saved` tells whether an idempotency key keeps this answer: Stripe saves a result only once
    the endpoint has begun to execute, so invalid parameters, conflicts and rate limits are not.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        saved: bool = False,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.saved = saved
        self.error: dict[str, Any] = {"message": message, "type": kind}
        if code is not None:
            self.error["code"] = code
            self.error["doc_url"] = DOCUMENTATION + code.replace("_", "-")
        if param is not None:
            self.error["param"] = param
        self.error.update(details)

    def body(self) -> bytes:
        return compact_json({"error": self.error})


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """Parameters that Stripe refuses before it executes anything."""
    return StripeError(400, "invalid_request_error", message, code=code, param=param)


def missing(kind: str, identifier: str, param: str, *, status: int = 404) -> StripeError:
    """An id nobody knows: 404 for the one in the path, 400 for one in the parameters."""
    message = f"No such {kind}: '{identifier[:100]}'"
    return StripeError(
        status,
        "invalid_request_error",
        message,
        code="resource_missing",
        param=param,
        saved=True,
    )


def unexpected_state(message: str, intent_body: bytes) -> StripeError:
    """The intent's status does not allow the call; Stripe encloses the intent."""
    return StripeError(
        400,
        "invalid_request_error",
        message,
        code="payment_intent_unexpected_state",
        saved=True,
        payment_intent=orjson.Fragment(intent_body),
    )


def refused(message: str, code: str | None = None, param: str | None = None) -> StripeError:
    """A request that was well-formed and executed, but that the object's state refuses."""
    return StripeError(400, "invalid_request_error", message, code=code, param=param, saved=True)


def bad_api_key(message: str) -> StripeError:
    return StripeError(401, "invalid_request_error", message)


def rate_limited() -> StripeError:
    return StripeError(
        429,
        "invalid_request_error",
        "Request rate limit exceeded. Learn more about rate limits in Stripe's documentation.",
        code="rate_limit",
    )


def api_error(status: int) -> StripeError:
    """Stripe's own trouble. Unlike a rate limit it is saved under the idempotency key."""
    return StripeError(
        status,
        "api_error",
        "Sorry! There was an error while talking to one of our backends.",
        saved=True,
    )


def unsafe_card_number() -> StripeError:
    return StripeError(
        402,
        "invalid_request_error",
        "Sending credit card numbers directly to the Stripe API is generally unsafe."
        " Use a test payment method such as pm_card_visa instead.",
    )

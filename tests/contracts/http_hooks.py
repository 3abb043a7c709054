"""What schemathesis cannot read off an OpenAPI document: signatures, things that exist, and rules
that no schema can say.

Guarantee: each refusal of a valid request that is let pass stands below, with its operation, its
code, what it says and why no schema can say so; any other is a finding.
"""

import hashlib
import hmac
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import (
    AcceptedNegativeData,
    RejectedPositiveData,
    negative_data_rejection,
    positive_data_acceptance,
    response_schema_conformance,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal of requests that are valid by their schemas.

    `says` is a pattern for the problem's detail, or for what it says of each place in the request.
    """

    operation: str
    code: str
    says: str
    why: str


ANY = "any operation"
CURSOR = "only what a page ended with is a cursor"
SUM = "over all lines together, which a schema cannot name"
EXPLAINED = (
    Refusal("GET /orders", "invalid_cursor", ".*", CURSOR),
    Refusal("GET /books", "invalid_request", "is no next_cursor of a page", CURSOR),
    Refusal("GET /search", "invalid_request", "is no next_cursor of this query", CURSOR),
    Refusal("POST /orders", "total_zero", ".*", SUM),
    Refusal("POST /orders", "total_too_large", ".*", SUM),
    Refusal("POST /orders", "mixed_currencies", ".*", SUM),
    Refusal("POST /orders", "duplicate_book", ".*", SUM),
    Refusal("POST /orders", "idempotency_key_reused", ".*", "what was asked for before decides"),
    Refusal(
        "POST /orders", "invalid_request", ".*looks like a card number.*",
        "card data are refused wherever they are put",
    ),
    Refusal(
        "PUT /books/{book_id}", "invalid_request", ".*no ISBN-13: .*check digit.*",
        "a check digit is arithmetic",
    ),
    Refusal(
        "PUT /books/{book_id}", "invalid_request", "must equal the one in the path",
        "compares the body with the path",
    ),
    Refusal(
        "PUT /books/{book_id}", "invalid_request", ".*control character .* is not allowed",
        "what a terminal or a log would obey",
    ),
    Refusal(
        "PUT /books/{book_id}", "invalid_request", "String should have at least 1 character",
        "texts are counted without the spaces at their ends",
    ),
    Refusal(
        ANY, "invalid_request", "Input should be a valid integer",
        "1.0 is an integer to JSON Schema alone",
    ),
    Refusal("POST /webhooks/stripe", "invalid_event", ".*no event of the gateway's.*",
            "ids and types of events are plain text"),
    Refusal("GET /unsubscribe", "invalid_token", ".*", "tokens are signed"),
    Refusal("POST /unsubscribe", "invalid_token", ".*", "tokens are signed"),
    Refusal("POST /webhooks/ses", "invalid_notification", ".*",
            "the notification is JSON within a string"),
)  # fmt: skip
# Ids of things that exist, by the name of the path's parameter: the test has made them.
KNOWN: dict[str, list[str]] = json.loads(os.environ.get("KNOWN_IDS", "{}"))
WEBHOOK_SECRET = os.environ.get("STRIPE_WEBHOOK_SECRET", "")


@schemathesis.check
def valid_requests_are_accepted(ctx: Any, response: Any, case: Any) -> None:
    """As schemathesis's own check, but for what is explained above."""
    try:
        positive_data_acceptance(ctx, response, case)
    except RejectedPositiveData:
        if not _is_explained(case.operation.label, response.json()):
            raise


def _is_explained(operation: str, problem: Mapping[str, Any]) -> bool:
    """Whether each thing that the problem says is explained above."""
    # The last one of a long list names no place: it says how many more there are.
    places = [each["message"] for each in problem.get("errors", ()) if each["pointer"]]
    said = places or [problem["detail"]]
    patterns = [
        each.says
        for each in EXPLAINED
        if each.operation in (operation, ANY) and each.code == problem["code"]
    ]
    return all(any(re.fullmatch(says, text) for says in patterns) for text in said)


@schemathesis.check
def invalid_requests_are_refused(ctx: Any, response: Any, case: Any) -> None:
    """As schemathesis's own check, but a batch answers for each book by itself."""
    try:
        negative_data_rejection(ctx, response, case)
    except AcceptedNegativeData:
        results = response.json().get("results", ()) if response.status_code == 200 else ()
        if not any(each["outcome"] == "rejected" for each in results):
            raise


@schemathesis.check
def answers_fit_their_schemas(ctx: Any, response: Any, case: Any) -> None:
    """As schemathesis's own check, but for streams: OpenAPI 3.1 says what the whole of one is, and
    schemathesis holds each event against that.
    """
    if response.headers.get("content-type", [""])[0].startswith("text/event-stream"):
        return
    response_schema_conformance(ctx, response, case)


@schemathesis.hook
def map_path_parameters(_: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Half of the well-formed ids are of something that exists."""
    for name, value in (path_parameters or {}).items():
        known = KNOWN.get(name)
        digest = hashlib.sha256(str(value).encode()).digest()
        if known and isinstance(value, str) and len(value) == 36 and digest[0] % 2:
            assert path_parameters is not None
            path_parameters[name] = known[digest[1] % len(known)]
    return path_parameters


@schemathesis.hook
def before_call(_: Any, case: Any, __: dict[str, Any]) -> None:
    """A valid event of the gateway has a signature that fits it."""
    if case.operation.label == "POST /webhooks/stripe" and case.meta.generation.mode.is_positive:
        at = int(time.time())
        signed = f"{at}.{json.dumps(case.body, allow_nan=False)}".encode()
        signature = hmac.new(WEBHOOK_SECRET.encode(), signed, hashlib.sha256).hexdigest()
        case.headers["Stripe-Signature"] = f"t={at},v1={signature}"

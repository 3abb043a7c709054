"""Idempotency in DynamoDB: a ledger of processed messages, an inbox, and HTTP's Idempotency-Key.

Guarantee: of all who claim a key at the same time one gets it, and a holder that dies gives it up.
"""

from idempotency.http_keys import (
    Claimed,
    HttpIdempotency,
    InProgress,
    KeyReused,
    Replay,
    StoredResponse,
    fingerprint,
)
from idempotency.inbox import Inbox
from idempotency.ledger import Claim, ClaimState, Ledger
from idempotency.records import RecordsUnavailable

__all__ = [
    "Claim",
    "ClaimState",
    "Claimed",
    "HttpIdempotency",
    "InProgress",
    "Inbox",
    "KeyReused",
    "Ledger",
    "RecordsUnavailable",
    "Replay",
    "StoredResponse",
    "fingerprint",
]

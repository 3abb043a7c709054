"""Idempotency in DynamoDB: a ledger of processed messages, and HTTP's Idempotency-Key.

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
from idempotency.ledger import Claim, ClaimState, Ledger

__all__ = [
    "Claim",
    "ClaimState",
    "Claimed",
    "HttpIdempotency",
    "InProgress",
    "KeyReused",
    "Ledger",
    "Replay",
    "StoredResponse",
    "fingerprint",
]

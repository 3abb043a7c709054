"""A local Stripe: the part of its wire protocol a bookstore uses, and its failures on request.

Guarantee: whatever the official SDK is told over HTTP agrees with the append-only ledger of money
moves, which `/_simulator/ledger` shows and which no fault, retry or restart rewrites.
"""

from stripe_simulator.app import Simulator, create_app
from stripe_simulator.settings import DEFAULT_WEBHOOK_EVENTS, Settings

__all__ = ["DEFAULT_WEBHOOK_EVENTS", "Settings", "Simulator", "create_app"]

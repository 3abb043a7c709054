"""Messages between services: envelope, outbox, relay, consumer, inbox, dead letters.

Guarantee: every committed message is delivered at least once and takes effect once.
"""

from messaging.consumer import Consumer, is_outage
from messaging.dispatch import dispatcher
from messaging.envelope import Envelope, derived_id, utc_now
from messaging.errors import ContractViolation, DeadLetter, MessageTooLarge, RetryLater
from messaging.outbox import Outbox, Transaction, interruptible_sleep
from messaging.reactions import Reaction, reactor
from messaging.relay import Relay
from messaging.republish import RepublishSweeper
from messaging.tables import MessagingTables, messaging_tables
from messaging.transactions import (
    Attempt,
    Conflict,
    Route,
    Transactions,
    UnitOfWork,
    handled_census,
)
from messaging.work import Sender, Work

__all__ = [
    "Attempt",
    "Conflict",
    "Consumer",
    "ContractViolation",
    "DeadLetter",
    "Envelope",
    "MessageTooLarge",
    "MessagingTables",
    "Outbox",
    "Reaction",
    "Relay",
    "RepublishSweeper",
    "RetryLater",
    "Route",
    "Sender",
    "Transaction",
    "Transactions",
    "UnitOfWork",
    "Work",
    "derived_id",
    "dispatcher",
    "handled_census",
    "interruptible_sleep",
    "is_outage",
    "messaging_tables",
    "reactor",
    "utc_now",
]

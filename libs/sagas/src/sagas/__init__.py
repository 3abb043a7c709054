"""Sagas as data, advanced by a pure engine, kept in SQL.

Guarantee: every instance ends (completed, compensated, or parked and counted), whatever is lost,
repeated or late.
"""

from sagas.definition import InvalidSaga, Refusal, Request, Saga, Step
from sagas.engine import Advance, DeadlinePassed, Instance, Reply, Status, advance, begin
from sagas.orchestrator import DeadlineSweeper, Orchestrator
from sagas.store import SagaStore, saga_table

__all__ = [
    "Advance",
    "DeadlinePassed",
    "DeadlineSweeper",
    "Instance",
    "InvalidSaga",
    "Orchestrator",
    "Refusal",
    "Reply",
    "Request",
    "Saga",
    "SagaStore",
    "Status",
    "Step",
    "advance",
    "begin",
    "saga_table",
]

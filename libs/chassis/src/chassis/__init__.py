"""What every service stands on: settings, resources, web app, health, roles, graceful shutdown.

Guarantee: importing it connects to nothing and reads no environment; that happens in `main`.
"""

from chassis.connections import HttpConnections
from chassis.lean import without
from chassis.problems import (
    BODY_PROBLEMS,
    INVALID,
    UNAVAILABLE,
    Problem,
    problem_responses,
)
from chassis.queue_worker import QueueWorker
from chassis.resources import NotReady, Resources, Worker
from chassis.server import main
from chassis.service import CannotStart, Parts, Service
from chassis.settings import ServiceSettings, SqlSettings
from chassis.sql import SqlResources, SqlService
from chassis.views import UUID_PATTERN, Count, Counts, View

__all__ = [
    "BODY_PROBLEMS",
    "INVALID",
    "UNAVAILABLE",
    "UUID_PATTERN",
    "CannotStart",
    "Count",
    "Counts",
    "HttpConnections",
    "NotReady",
    "Parts",
    "Problem",
    "QueueWorker",
    "Resources",
    "Service",
    "ServiceSettings",
    "SqlResources",
    "SqlService",
    "SqlSettings",
    "View",
    "Worker",
    "main",
    "problem_responses",
    "without",
]

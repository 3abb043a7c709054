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
from chassis.resources import Resources
from chassis.server import Parts, Service, Worker, main
from chassis.settings import ServiceSettings
from chassis.views import UUID_PATTERN, Count, Counts, View

__all__ = [
    "BODY_PROBLEMS",
    "INVALID",
    "UNAVAILABLE",
    "UUID_PATTERN",
    "Count",
    "Counts",
    "HttpConnections",
    "Parts",
    "Problem",
    "QueueWorker",
    "Resources",
    "Service",
    "ServiceSettings",
    "View",
    "Worker",
    "main",
    "problem_responses",
    "without",
]

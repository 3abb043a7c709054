"""What every service stands on: settings, resources, web app, health, roles, graceful shutdown.

Guarantee: importing it connects to nothing and reads no environment; that happens in `main`.
"""

from chassis.lean import without
from chassis.problems import Problem, ProblemDocument, problem_responses
from chassis.queue_worker import QueueWorker
from chassis.resources import Resources
from chassis.server import Parts, Service, Worker, main
from chassis.settings import ServiceSettings

__all__ = [
    "Parts",
    "Problem",
    "ProblemDocument",
    "QueueWorker",
    "Resources",
    "Service",
    "ServiceSettings",
    "Worker",
    "main",
    "problem_responses",
    "without",
]

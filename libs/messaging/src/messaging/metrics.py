"""What messaging counts, for Prometheus.

Guarantee: label values come from the contracts only, so the number of series is bounded.
"""

from functools import cache
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

PUBLISHED = Counter("messages_published_total", "Messages that the bus took", ["type"])
HANDLED = Counter("messages_handled_total", "Messages by what became of them", ["type", "outcome"])
HANDLING_SECONDS = Histogram(
    "message_handling_seconds",
    "From receiving a message to its commit",
    ["type"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
AGE_SECONDS = Histogram(
    "message_age_seconds",
    "From a message's time to its receipt",
    ["type"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)
IN_FLIGHT = Gauge("messages_in_flight", "Messages received and not yet settled")
BATCH_SIZE = Histogram(
    "transaction_batch_messages", "Messages a transaction", buckets=(1, 2, 5, 10, 20, 50, 100)
)


@cache
def labelled(metric: Counter | Histogram, *labels: str) -> Any:
    """The series of these labels, without the look-up that each use would pay."""
    return metric.labels(*labels)

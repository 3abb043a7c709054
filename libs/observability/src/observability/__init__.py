"""Logs, traces and metrics, set up the same way in every process.

Guarantee: nothing here changes what a service does; without an exporter it costs next to nothing.
"""

from observability.logs import configure_logging, correlated
from observability.tracing import Tracing, configure_tracing

__all__ = ["Tracing", "configure_logging", "configure_tracing", "correlated"]

"""Where the services of the running stack answer.

Guarantee: an explicit address wins over the environment, that over the running stack's own state
file, that over the default port; that no stack runs is no error.
"""

import os
from collections.abc import Mapping

from bookstore.local_stack import data_folder
from stack import StackError, read_state

DEFAULT_URLS: Mapping[str, str] = {
    "order": "http://127.0.0.1:8001",
    "catalog": "http://127.0.0.1:8002",
    "payment": "http://127.0.0.1:8003",
    "search": "http://127.0.0.1:8004",
    "notification": "http://127.0.0.1:8005",
    "stripe": "http://127.0.0.1:8009",
}


def service_url(
    service: str, explicit: str | None = None, environment: Mapping[str, str] = os.environ
) -> str:
    """The base URL of a service, or of 'stripe', without a slash at its end."""
    url = (
        explicit
        or environment.get(f"{service.upper()}_URL")
        or _of_running_stack(service, environment)
        or DEFAULT_URLS[service]
    )
    return url.rstrip("/")


def _of_running_stack(service: str, environment: Mapping[str, str]) -> str | None:
    try:
        url: str | None = read_state(data_folder(environment))["endpoints"].get(service)
    except (StackError, OSError, ValueError, KeyError):
        return None
    return url

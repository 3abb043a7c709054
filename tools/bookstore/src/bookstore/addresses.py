"""Where the services of the running stack answer.

Guarantee: an explicit address wins over the environment, that over the running stack's own state
file, that over the default port; that no stack runs is no error.
"""

import os
from collections.abc import Mapping

from bookstore.local_stack import DEFAULT_PORTS, HOST, SERVICES, data_folder
from stack import StackError, read_state

DEFAULT_URLS: Mapping[str, str] = {
    name: f"http://{HOST}:{DEFAULT_PORTS[name][1]}" for name in (*SERVICES, "stripe")
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

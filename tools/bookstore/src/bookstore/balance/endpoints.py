"""Where a bookstore answers.

Guarantee: ORDER_URL, CATALOG_URL and so on win over a running stack's own file,
each by itself, so that one suite serves the local stack and compose.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from bookstore.addresses import service_url
from bookstore.local_stack import SERVICES

_NAMES = (*SERVICES, "stripe")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Base URLs without a slash at their end; `stripe` is the simulator. `aws` is there where an
    emulator stands for AWS.
    """

    order: str
    catalog: str
    payment: str
    search: str
    notification: str
    fulfillment: str
    stripe: str
    aws: str | None = None

    @classmethod
    def found(cls, environment: Mapping[str, str] = os.environ) -> "Endpoints":
        """By the environment, else of the running stack, else the default ports."""
        return cls(**{name: service_url(name, environment=environment) for name in _NAMES})

    @classmethod
    def of(cls, urls: Mapping[str, str]) -> "Endpoints":
        """From a stack's `endpoints`; other names in there are left alone."""
        return cls(**{name: urls[name] for name in _NAMES}, aws=urls.get("aws"))

    @property
    def services(self) -> Mapping[str, str]:
        """The services' URLs by name, without the gateway."""
        return {name: getattr(self, name) for name in _NAMES if name != "stripe"}

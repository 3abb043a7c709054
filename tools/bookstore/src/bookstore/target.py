"""Which bookstore a command or a test run is about.

Guarantee: the environment alone decides, and it decides the same for demo and tests:

    BOOKSTORE_STACK=embedded    processes of this machine, started for it (the default)
    BOOKSTORE_STACK=compose     containers of this machine
    BOOKSTORE_STACK=remote      wherever ORDER_URL, CATALOG_URL, PAYMENT_URL, SEARCH_URL,
                                NOTIFICATION_URL, FULFILLMENT_URL and STRIPE_URL say
"""

import os
from collections.abc import Mapping
from enum import StrEnum

from bookstore.local_stack import SERVICES
from stack import StackError

VARIABLE = "BOOKSTORE_STACK"
NAMES = (*SERVICES, "stripe")


class Target(StrEnum):
    """What runs the services."""

    EMBEDDED = "embedded"
    COMPOSE = "compose"
    REMOTE = "remote"


def target(environment: Mapping[str, str] = os.environ) -> Target:
    """The chosen one; raises StackError for a name that is none."""
    chosen = environment.get(VARIABLE) or Target.EMBEDDED
    try:
        return Target(chosen)
    except ValueError:
        known = ", ".join(Target)
        raise StackError(f"{VARIABLE} is {chosen!r}, and there are {known}") from None


def overridden(
    found: Mapping[str, str], environment: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What was found, but with base URLs that the environment names; StackError if one lacks."""
    urls = dict(found)
    for name in NAMES:
        variable = f"{name.upper()}_URL"
        if environment.get(variable):
            urls[name] = environment[variable].rstrip("/")
        elif name not in urls:
            raise StackError(f"{variable} has to say where {name} answers")
    return urls

"""Object ids shaped like Stripe's: a prefix and 24 characters nobody can guess."""

from __future__ import annotations

import os


def new_id(prefix: str) -> str:
    return prefix + os.urandom(12).hex()

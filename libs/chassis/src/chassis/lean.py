"""Keeps optional imports of third parties out of a service's memory.

Guarantee: what is hidden is back when the block ends, as it was before.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Make these modules look as if they were not installed.

    Libraries load whatever they can find (aiobotocore: httpx; stripe: httpx and requests; redis:
    OpenTelemetry's SDK), and each costs megabytes in every process that never uses it.
    """
    hidden = {name: sys.modules.pop(name) for name in modules if name in sys.modules}
    for name in modules:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
        sys.modules.update(hidden)

"""The gateway's SDK.

Guarantee: it is loaded once, without the HTTP clients that it would find and we do not use.
"""

from chassis import without

with without("httpx", "requests"):
    import stripe

__all__ = ["stripe"]

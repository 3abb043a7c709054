"""The gateway's SDK, and the connections that it asks the gateway over.

Guarantee: it is loaded once, without the HTTP clients that it would find and we do not use.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from chassis import HttpConnections, without

with without("aiohttp", "httpx", "requests"):
    import stripe

__all__ = ["KeptAliveClient", "stripe"]


class KeptAliveClient(stripe.HTTPClient):
    """The SDK's HTTP client over few kept-alive connections to one gateway."""

    name = "kept-alive"

    def __init__(self, connections: HttpConnections) -> None:
        super().__init__()
        self._connections = connections

    async def request_async(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        post_data: str | None = None,
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One request; raises APIConnectionError where no answer came."""
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        try:
            answer = await self._connections.request(
                method.upper(),
                target,
                {"host": self._connections.host, **headers},
                (post_data or "").encode(),
            )
        except (OSError, TimeoutError) as error:
            reason = f"no answer: {type(error).__name__}"
            raise stripe.APIConnectionError(reason) from error  # type: ignore[no-untyped-call]
        return answer.body, answer.status, answer.headers

    async def close_async(self) -> None:
        """Close the connections that are idle."""
        self._connections.close()

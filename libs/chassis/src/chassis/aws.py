"""The AWS clients of a process, opened with one configuration and counted.

Guarantee: every call has a time limit and at most three tries; above this layer work is repeated,
not calls.
"""

from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from prometheus_client import Counter

CALLS = Counter("aws_calls_total", "Requests to AWS, retries included", ["operation"])


class AwsClients:
    """Opens clients that live as long as the exit stack.

    `endpoint_url`: an emulator's address; None on AWS, where botocore knows the addresses.
    """

    def __init__(self, stack: AsyncExitStack, *, region: str, endpoint_url: str | None) -> None:
        self._stack = stack
        self._endpoint_url = endpoint_url
        self._session = get_session()
        self._config = AioConfig(
            region_name=region,
            connect_timeout=3,
            read_timeout=30,  # longer than SQS's long poll of 20 s
            max_pool_connections=32,
            retries={"mode": "standard", "total_max_attempts": 3},
            parameter_validation=False,
        )

    async def client(self, service: str) -> Any:
        """A client such as 'sqs'."""
        client = await self._stack.enter_async_context(
            self._session.create_client(
                service, endpoint_url=self._endpoint_url, config=self._config
            )
        )
        client.meta.events.register("before-send", _count)
        return client


def _count(request: Any, event_name: str, **_: Any) -> None:
    """`before-send.sqs.ReceiveMessage` is emitted for every try."""
    CALLS.labels(event_name.rpartition(".")[2]).inc()

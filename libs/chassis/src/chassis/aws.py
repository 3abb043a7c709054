"""The AWS clients of a process, opened with one configuration and counted.

Guarantee: every call has a time limit and at most three tries; above this layer work is repeated,
not calls.
"""

from contextlib import AsyncExitStack
from typing import Any

from prometheus_client import Counter

from chassis.lean import without

CALLS = Counter("aws_calls_total", "Requests to AWS, retries included", ["operation"])


async def open_clients(
    stack: AsyncExitStack, *services: str, region: str, endpoint_url: str | None
) -> dict[str, Any]:
    """Clients of these services ('sqs', ...), by name, that live as long as the exit stack.

    `endpoint_url`: an emulator's address; None on AWS, where botocore knows the addresses. The
    loader's cache is emptied: it keeps descriptions of all services, which nobody needs any more.
    """
    with without("httpx"):
        from aiobotocore.config import AioConfig
        from aiobotocore.session import get_session

    session = get_session()
    config = AioConfig(
        region_name=region,
        connect_timeout=3,
        read_timeout=30,  # longer than SQS's long poll of 20 s
        max_pool_connections=32,
        retries={"mode": "standard", "total_max_attempts": 3},
        parameter_validation=False,
    )
    clients = {}
    for service in services:
        client = await stack.enter_async_context(
            session.create_client(service, endpoint_url=endpoint_url, config=config)
        )
        client.meta.events.register("before-send", _count)
        clients[service] = client
    session.get_component("data_loader")._cache.clear()
    return clients


def _count(request: Any, event_name: str, **_: Any) -> None:
    """`before-send.sqs.ReceiveMessage` is emitted for every try."""
    CALLS.labels(event_name.rpartition(".")[2]).inc()

"""The AWS clients of a process, opened with one configuration and counted.

Guarantee: every call has a time limit and at most three tries; above this layer work is repeated,
not calls.
"""

from contextlib import AsyncExitStack
from typing import Any

from chassis.connections import HttpConnections
from chassis.hot_calls import HotCalls
from chassis.lean import without
from chassis.metrics import AWS_CALLS

CONNECT_SECONDS = 3
READ_SECONDS = 30  # longer than SQS's long poll of 20 s
MAX_CONNECTIONS = 32


async def open_clients(
    stack: AsyncExitStack,
    *services: str,
    region: str,
    endpoint_url: str | None,
    short_way: bool = True,
) -> dict[str, Any]:
    """Clients of these services ('sqs', ...), by name, that live as long as the exit stack.

    `endpoint_url`: an emulator's address; None on AWS, where botocore knows the addresses.
    `short_way`: hot calls go around botocore's pipeline (and so around its instrumentation).
    """
    with without("httpx"):
        from aiobotocore.config import AioConfig
        from aiobotocore.session import get_session

    session = get_session()
    config = AioConfig(
        region_name=region,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=MAX_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": 3},
        parameter_validation=False,
    )
    clients: dict[str, Any] = {}
    for service in services:
        client = await stack.enter_async_context(
            session.create_client(service, endpoint_url=endpoint_url, config=config)
        )
        client.meta.events.register("before-send", _count)
        clients[service] = client
    # The loader keeps descriptions of all services, which nobody needs any more.
    session.get_component("data_loader")._cache.clear()
    credentials = await session.get_credentials()
    if not short_way or credentials is None:
        return clients
    hot: dict[str, Any] = {}
    for name, client in clients.items():
        connections = HttpConnections(
            client.meta.endpoint_url,
            limit=MAX_CONNECTIONS,
            connect_seconds=CONNECT_SECONDS,
            answer_seconds=READ_SECONDS,
        )
        stack.callback(connections.close)
        hot[name] = HotCalls(client, credentials, connections)
    return hot


def _count(request: Any, event_name: str, **_: Any) -> None:
    """`before-send.sqs.ReceiveMessage` is emitted for every try."""
    AWS_CALLS.labels(event_name.rpartition(".")[2]).inc()

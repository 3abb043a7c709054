"""Fulfillment at work: its Node process, as production runs it, on the emulator.

Guarantee: nothing of the service is known here but its program, its settings, its queue and its
HTTP API; the process is gone at the end of its scene, however that ends.
"""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import httpx
import orjson
from aiobotocore.session import AioSession

from bookstore.local_stack import HOST, ON_NODE, REGION
from contracts import load_topology
from stack import NEVER, HttpReady, PortAllocator, Process, Supervisor, find_node

from .asks import ORDER_ID
from .scene import Detail
from .server_scene import Servers, ServerScene

T = TypeVar("T")

NAME = "fulfillment"
# A parcel stays in the house for as long as any scene lasts, unless the scene is in a hurry.
PATIENT = {"PACKING_SECONDS": "3600", "TRANSIT_SECONDS": "3600"}
_CREDENTIALS = ("test", "test")


class FulfillmentScene(ServerScene):
    """One process of the service, and its API; it speaks of an order of its own."""

    def __init__(self, sqs: Any, http: httpx.AsyncClient, examples: Mapping[str, Detail]) -> None:
        super().__init__(sqs, self._queue_urls, self._handled_ever, examples)
        self.order_id = str(uuid.uuid4())
        self._http = http

    def fill_in(self, detail: Detail) -> Detail:
        """See ServerScene; the example's order stands for that of the scene."""
        text = orjson.dumps(super().fill_in(detail)).decode()
        filled: Detail = orjson.loads(text.replace(ORDER_ID, self.order_id))
        return filled

    async def shipment(self, order_id: str | None = None) -> Mapping[str, Any] | None:
        """What the API shows of an order's shipment, of the scene's own unless told otherwise;
        None where there is none.
        """
        answer = await self._http.get(f"/shipments/{order_id or self.order_id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found: Mapping[str, Any] = answer.raise_for_status().json()
        return found

    async def _handled_ever(self) -> Mapping[str, int]:
        answer = (await self._http.get("/ops/messages")).raise_for_status()
        handled: Mapping[str, int] = answer.json()["handled"]
        return handled

    async def _queue_urls(self) -> tuple[str, str]:
        service = load_topology().services[NAME]
        queue, dead_letters = [
            (await self._sqs.get_queue_url(QueueName=each.name))["QueueUrl"]
            for each in (service.queue, service.dead_letters)
        ]
        return queue, dead_letters


async def play(
    script: Callable[[FulfillmentScene], Awaitable[T]],
    examples: Mapping[str, Detail],
    servers: Servers,
    settings: Mapping[str, str] = PATIENT,
) -> T:
    """Run a script on a scene of its own; raises StartError where the process does not come up."""
    port = PortAllocator().pick()
    async with AsyncExitStack() as opened:
        sqs = await opened.enter_async_context(client_of("sqs", servers))
        process = _process(port, servers, settings)
        await opened.enter_async_context(Supervisor([process], servers.folder))
        http = await opened.enter_async_context(
            httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=10)
        )
        scene = FulfillmentScene(sqs, http, examples)
        await scene.start()
        return await script(scene)


def client_of(name: str, servers: Servers) -> Any:
    """A client of the emulator, to be entered."""
    session = AioSession()
    session.set_credentials(*_CREDENTIALS)
    return session.create_client(name, endpoint_url=servers.aws_endpoint_url, region_name=REGION)


def _process(port: int, servers: Servers, settings: Mapping[str, str]) -> Process:
    key_id, secret = _CREDENTIALS
    return Process(
        name=NAME,
        # Both roles in one process, so that its API can be asked what its worker has done.
        argv=(str(find_node()), str(ON_NODE[NAME]), "all"),
        env={
            "AWS_ENDPOINT_URL": servers.aws_endpoint_url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
            "HTTP_HOST": HOST,
            "HTTP_PORT": str(port),
            **settings,
        },
        readiness=HttpReady(f"http://{HOST}:{port}/health/ready"),
        restart=NEVER,  # A process that ends by itself is a failure, and not to be hidden.
        port=port,
    )

"""The web application of a process: the service's routers, health, metrics and operators' views.

Guarantee: `/health/ready` is green only while what the service stands on answers; `/health/live` as
long as the event loop does. `/openapi.json` is the service's contract, word for word; `/docs` shows
it, without a script from anywhere else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from botocore.exceptions import BotoCoreError, ClientError
from fastapi import APIRouter, FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from chassis.edge import Edge
from chassis.methods import Methods
from chassis.problems import UNAVAILABLE, Problem, install_problem_handlers
from chassis.resources import NotReady, Resources
from chassis.views import Health, MessageCensus
from contracts.openapi import load_openapi

READY_TIMEOUT_SECONDS = 2.0


def build_app(
    title: str,
    resources: Resources,
    routers: Sequence[APIRouter],
    media_types: Mapping[str, Sequence[str]] = MappingProxyType({}),
    check: Callable[[], Awaitable[None]] | None = None,
) -> FastAPI:
    """Put the routers behind the edge and beside health, metrics and operators' views.

    `media_types`: what the bodies of a path may be, where that is not JSON alone. `check`: whether
    the process can do its work (default: whether its resources answer).
    """
    app = FastAPI(
        title=title,
        version="1.0.0",
        redirect_slashes=False,
        openapi_url="/openapi.json" if routers else None,  # A worker has no API to describe.
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    all_routers = [*routers, _operations(resources, check or resources.check)]
    methods = Methods(all_routers)
    install_problem_handlers(app, methods)
    if routers:
        from fastapi_swagger import patch_fastapi  # Only who has an API shows it.

        app.openapi = partial(load_openapi, resources.service)  # type: ignore[method-assign]
        # With the files of the package, where FastAPI's own page loads them from a CDN.
        patch_fastapi(app, redirect_from_root_to_docs=False)
    methods.include_into(app)
    app.add_middleware(
        Edge, max_body_bytes=resources.settings.max_body_bytes, media_types=media_types
    )
    resources.tracing.instrument_app(app)
    return app


def _operations(resources: Resources, check: Callable[[], Awaitable[None]]) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/health/live", operation_id="get_liveness")
    async def get_liveness() -> Health:
        """The process runs."""
        return Health(status="live")

    @router.get("/health/ready", operation_id="get_readiness", responses=UNAVAILABLE)
    async def get_readiness() -> Health:
        """The process can do its work."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_SECONDS):
                await check()
        except TimeoutError:
            raise Problem(503, "not_ready", "What the service stands on is slow.") from None
        except NotReady as error:
            raise Problem(503, "not_ready", f"{error}.") from None
        return Health(status="ready")

    @router.get("/metrics", operation_id="get_metrics", include_in_schema=False)
    async def get_metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/ops/messages", operation_id="get_message_census", responses=UNAVAILABLE)
    async def get_message_census() -> MessageCensus:
        """Messages sent, pending, parked, handled and dead-lettered, for the balance sheet."""
        return MessageCensus.model_validate(
            {
                "service": resources.service,
                **await resources.census(),
                "dead_lettered": await _dead_lettered(resources),
            }
        )

    return router


async def _dead_lettered(resources: Resources) -> int:
    try:
        _, url = await resources.queue_urls()
        answer = await resources.sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
        )
    except (ClientError, BotoCoreError, OSError) as error:
        raise Problem(
            503, "queue_unreachable", f"The queue cannot be asked: {type(error).__name__}."
        ) from None
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])

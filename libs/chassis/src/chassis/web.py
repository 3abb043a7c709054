"""The web application of a process: the service's routers, health, metrics and operators' views.

Guarantee: `/health/ready` is green only while the database answers; `/health/live` as long as the
event loop does.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from fastapi import APIRouter, FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from chassis.edge import Edge
from chassis.problems import Problem, install_problem_handlers
from chassis.resources import Resources
from messaging import handled_census

READY_TIMEOUT_SECONDS = 2.0


def build_app(title: str, resources: Resources, routers: Sequence[APIRouter]) -> FastAPI:
    """Put the routers behind the edge and beside health, metrics and operators' views."""
    app = FastAPI(title=title, version="1.0.0", redirect_slashes=False)
    install_problem_handlers(app)
    for router in routers:
        app.include_router(router)
    app.include_router(_operations(resources))
    app.add_middleware(Edge, max_body_bytes=resources.settings.max_body_bytes)
    resources.tracing.instrument_app(app)
    return app


def _operations(resources: Resources) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/health/live", operation_id="get_liveness")
    async def get_liveness() -> dict[str, str]:
        """The process runs."""
        return {"status": "live"}

    @router.get("/health/ready", operation_id="get_readiness")
    async def get_readiness() -> dict[str, str]:
        """The process can do its work."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_SECONDS):
                async with resources.engine.connect() as connection:
                    await connection.execute(text("SELECT 1"))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            raise Problem(
                503, "not_ready", f"The database does not answer: {type(error).__name__}."
            ) from None
        return {"status": "ready"}

    @router.get("/metrics", operation_id="get_metrics", include_in_schema=False)
    async def get_metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/ops/messages", operation_id="get_message_census")
    async def get_message_census() -> dict[str, Any]:
        """Messages sent, pending, parked, handled and dead-lettered, for the balance sheet."""
        return {
            "service": resources.service,
            **await resources.outbox.census(),
            "handled": await handled_census(resources.engine, resources.tables),
            "dead_lettered": await _dead_lettered(resources),
        }

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

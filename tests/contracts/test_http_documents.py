"""Each service's own OpenAPI document promises exactly what its contract promises."""

import importlib
from typing import Any

import pytest
from fastapi import FastAPI

from chassis import Service
from chassis.web import build_app
from contracts import load_topology
from contracts.openapi import differences, load_openapi
from observability import configure_tracing

SERVICES = sorted(load_topology().services)
# Of what each service needs to be composed; nothing here is asked for anything.
NOWHERE = {
    "DATABASE_URL": "postgresql+asyncpg://nobody@127.0.0.1:9/none",
    "REDIS_URL": "redis://127.0.0.1:9",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "STRIPE_API_KEY": "sk_test_nobody",
    "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
    "UNSUBSCRIBE_KEY": "nobody unsubscribes",
}


async def composed(name: str) -> FastAPI:
    service: Service = importlib.import_module(f"{name}_service.app").SERVICE
    tracing = configure_tracing(name, otlp_endpoint=None, trace_file=None)
    async with service.open(service.settings(), tracing, "web") as resources:
        parts = await service.compose(resources)
        app = build_app(service.title, resources, parts.routers())
        for close in parts.closers:
            await close()
    return app


@pytest.mark.parametrize("name", SERVICES)
async def test_implementation_promises_what_the_contract_promises(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in NOWHERE.items():
        monkeypatch.setenv(variable, value)
    app = await composed(name)
    generated: dict[str, Any] = FastAPI.openapi(app)
    found = differences(load_openapi(name), generated)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("name", SERVICES)
async def test_service_publishes_its_contract(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in NOWHERE.items():
        monkeypatch.setenv(variable, value)
    app = await composed(name)
    assert app.openapi() == load_openapi(name)

"""What the services' code promises: each one's own OpenAPI document, and what messages it handles.

One guarantee: a service is composed as its process composes it, on addresses at which nobody
listens, and asked; nothing of it runs. `python -m contract_gates.implementations SERVICE...` prints
the answers as JSON, so that neither environment nor imports of one run touch another.
"""

import asyncio
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI

from chassis import Parts, QueueWorker, Service
from chassis.resources import Resources
from chassis.web import build_app
from contract_gates.sources import Folders
from contracts import MESSAGES, MessageType
from messaging import Envelope
from messaging.errors import ContractViolation, UnknownMessage
from observability import configure_tracing

# Of what each service needs to be composed; nothing here is asked for anything.
NOWHERE: Mapping[str, str] = {
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


@dataclass(frozen=True, slots=True)
class Implementation:
    """What a service's code promises; or in `fault` why it could not be asked."""

    openapi: dict[str, Any] = field(default_factory=dict)
    handles: list[str] = field(default_factory=list)
    fault: str | None = None


@asynccontextmanager
async def composed(name: str, role: str) -> AsyncIterator[tuple[Service, Resources, Parts]]:
    """A service's parts on resources that nobody answers; the environment has to be NOWHERE's."""
    service: Service = importlib.import_module(f"{name}_service.app").SERVICE
    tracing = configure_tracing(name, otlp_endpoint=None, trace_file=None)
    async with service.open(service.settings(), tracing, role) as resources:
        parts = await service.compose(resources)
        try:
            yield service, resources, parts
        finally:
            for close in parts.closers:
                await close()


async def web_app(name: str) -> FastAPI:
    """The service's web application; `FastAPI.openapi(app)` is the document that the code makes."""
    async with composed(name, "web") as (service, resources, parts):
        return build_app(service.title, resources, parts.routers())


async def handled(name: str) -> list[str]:
    """The names of the messages that the service's code handles, in alphabetical order.

    Each message of the contracts is put before the service with a payload that breaks every
    contract: what handles the message refuses the payload before a handler sees it.
    """
    async with composed(name, "worker") as (_, _, parts):
        found = [
            message.name
            for worker in parts.workers
            if isinstance(worker, QueueWorker)
            for message in MESSAGES.values()
            if await _takes(worker, message)
        ]
    return sorted(found)


async def _takes(worker: QueueWorker, message: MessageType) -> bool:
    nothing: Any = None
    envelope = Envelope(
        id="0197a3c2-9000-7b00-8a00-0123456789ab",
        source=f"bookstore.{message.owner}",
        type=message.name,
        subject="nobody",
        time=datetime.now(UTC),
        dataschema=message.dataschema,
        correlation_id="0197a3c2-9000-7b00-8a00-0123456789ab",
        data=nothing,
    )
    try:
        await worker.handle(envelope)
    except ContractViolation:
        return True
    except UnknownMessage:
        return False
    raise AssertionError(f"a payload that breaks {message.name} was handled")


async def ask(name: str) -> Implementation:
    """What the service's code promises, or why it cannot be composed."""
    try:
        app = await web_app(name)
        return Implementation(openapi=FastAPI.openapi(app), handles=await handled(name))
    except Exception as error:  # Whatever it is, it is the service's, and told on one line.
        return Implementation(fault=f"{type(error).__name__}: {error}".splitlines()[0])


def ask_elsewhere(names: Sequence[str], folders: Folders) -> dict[str, Implementation]:
    """Ask each service in a process with an environment of its own, on these derived files."""
    code = [*(folders.services / name / "src" for name in names), folders.package.parent]
    paths = [*(str(path.resolve()) for path in code), os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory() as folder:  # For what a service keeps in files of its own.
        done = subprocess.run(
            [sys.executable, "-m", "contract_gates.implementations", *names],
            env={**os.environ, **NOWHERE, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        fault = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return {name: Implementation(fault=fault) for name in names}
    answers = json.loads(done.stdout.splitlines()[-1])
    return {name: Implementation(**answer) for name, answer in answers.items()}


async def _print_answers(names: list[str]) -> None:
    sys.stdout.write(json.dumps({name: asdict(await ask(name)) for name in names}) + "\n")


if __name__ == "__main__":
    asyncio.run(_print_answers(sys.argv[1:]))

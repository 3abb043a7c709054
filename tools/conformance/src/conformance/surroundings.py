"""What a participant stands on: the AWS emulator, and the servers that its manifest asks for.

Guarantee: real servers of this run alone, on free ports of 127.0.0.1, gone with their data when the
block ends. The participant reaches each of them through a proxy, which can lose it.
"""

import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from conformance.bus import REGION
from conformance.manifest import Manifest
from faults.proxy import Proxy
from stack import (
    EmulatorServer,
    HttpReady,
    PortAllocator,
    PostgresServer,
    Process,
    Supervisor,
    ValkeyServer,
    find_python,
)

HOST = "127.0.0.1"
SERVERS = ("aws", "postgres", "redis", "stripe")
# Not secrets: they open nothing but this run's servers.
STRIPE_KEY = "sk_test_conformance"
STRIPE_SECRET = "whsec_conformance"  # noqa: S105


@dataclass(frozen=True)
class Surroundings:
    """`placeholders` are for the manifest's texts; `aws_url` is the emulator itself, for the kit;
    `ways` are the participant's to its servers, by name: 'aws', and what its manifest needs.
    """

    folder: Path
    placeholders: Mapping[str, str]
    environment: Mapping[str, str]
    aws_url: str
    ways: Mapping[str, Proxy]


@asynccontextmanager
async def surroundings(
    manifest: Manifest, ports: PortAllocator, own_url: str
) -> AsyncIterator[Surroundings]:
    """Start them all; `own_url` is where the participant will answer."""
    folder = _temporary_folder(manifest.name)
    port = {name: ports.pick() for name in (*SERVERS, "stand_in")}
    database = manifest.name.replace("-", "_")
    postgres = PostgresServer(folder, port["postgres"], databases=[database], durable=False)
    valkey = ValkeyServer(folder, port["redis"], persistent=False)
    emulator = EmulatorServer(folder, port["aws"], find_python(), persistent=False)
    try:
        async with AsyncExitStack() as stack:
            ways = {name: Proxy(port[name], name=name) for name in ("aws", *manifest.needs)}
            for way in ways.values():
                await way.start(ports.pick())
                stack.push_async_callback(way.close)
            processes = [_emulator_behind(emulator, ways["aws"].port)]
            placeholders = {"aws": _url(ways["aws"].port), "data": str(folder)}
            if "postgres" in ways:
                processes.append(postgres.process())
                url = replace(postgres, port=ways["postgres"].port).url(database, "")
                placeholders["postgres"] = url.lstrip(":/")
            if "redis" in ways:
                processes.append(valkey.process())
                placeholders["redis"] = replace(valkey, port=ways["redis"].port).url
            if "stripe" in ways:
                processes.append(_simulator(folder, port["stripe"], own_url))
                placeholders |= {
                    "stripe": _url(ways["stripe"].port),
                    "stripe_key": STRIPE_KEY,
                    "stripe_secret": STRIPE_SECRET,
                }
            if manifest.stand_in:
                await stack.enter_async_context(_stand_in(manifest.stand_in, port["stand_in"]))
                placeholders["stand_in"] = _url(port["stand_in"])
            await stack.enter_async_context(Supervisor(processes, folder))
            environment = _aws_variables(ways["aws"].port)
            yield Surroundings(folder, placeholders, environment, emulator.url, ways)
    finally:
        postgres.remove()
        shutil.rmtree(folder, ignore_errors=True)


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"


def _temporary_folder(name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"conformance-{name}-"))
    folder.chmod(0o711)  # PostgreSQL's user passes through, when the kit runs as root.
    return folder


def _emulator_behind(emulator: EmulatorServer, port: int) -> Process:
    """The queue addresses that it tells have to lead through the proxy, too."""
    process = emulator.process()
    return replace(process, env={**process.env, "GATEWAY_PORT": str(port)})


def _aws_variables(port: int) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": _url(port),
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


def _simulator(folder: Path, port: int, own_url: str) -> Process:
    return Process(
        name="stripe",
        argv=(sys.executable, "-m", "stripe_simulator"),
        env={
            "STRIPE_SIMULATOR_HOST": HOST,
            "STRIPE_SIMULATOR_PORT": str(port),
            "STRIPE_SIMULATOR_DATA": str(folder / "stripe.jsonl"),
            "STRIPE_API_KEY": STRIPE_KEY,
            "STRIPE_WEBHOOK_SECRET": STRIPE_SECRET,
            "STRIPE_WEBHOOK_URL": f"{own_url}/webhooks/stripe",
        },
        readiness=HttpReady(f"{_url(port)}/health/ready"),
        port=port,
    )


@asynccontextmanager
async def _stand_in(answers: Mapping[str, Any], port: int) -> AsyncIterator[None]:
    """Answers for services that are not there: `GET /path` by a fixed JSON document, else 404."""

    async def answer(request: web.Request) -> web.Response:
        known = f"{request.method} {request.path}"
        if known not in answers:
            return web.json_response({"detail": f"no answer to {known}"}, status=404)
        return web.json_response(answers[known])

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield
    finally:
        await runner.cleanup()

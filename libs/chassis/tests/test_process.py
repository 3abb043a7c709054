"""A service as a process: settings, imports, and a graceful end."""

import asyncio
import os
import signal
import sys
from typing import Any

import httpx
import pytest
from sqlalchemy import MetaData

from chassis import Parts, SqlResources, SqlService, SqlSettings, main
from messaging import messaging_tables

SERVICES = ["order_service", "catalog_service", "payment_service"]

# A service of one module: an endpoint and a worker that take their time, to be stopped meanwhile.
TOY = """
import asyncio, sys
from fastapi import APIRouter
from sqlalchemy import MetaData
from chassis import Parts, SqlService, SqlSettings, main
from messaging import messaging_tables

class Worker:
    def __init__(self):
        self.stopping = asyncio.Event()
    async def run(self):
        await self.stopping.wait()
        await asyncio.sleep(0.3)
        print("worker finished", flush=True)
    def stop(self):
        self.stopping.set()

async def compose(resources):
    router = APIRouter()
    @router.get("/slow")
    async def slow():
        print("request taken", flush=True)
        await asyncio.sleep(0.5)
        return {"done": True}
    async def close():
        print("closed", flush=True)
    return Parts(routers=lambda: [router], workers=[Worker()], closers=[close])

metadata = MetaData()
tables = messaging_tables(metadata)
SERVICE = SqlService(
    name="order", title="Toy", package="toy", settings=SqlSettings,
    metadata=metadata, tables=tables, compose=compose,
)
main(SERVICE, sys.argv[1:])
"""


async def run_in_empty_environment(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments,
        env={}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), timeout=30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("service", SERVICES)
async def test_an_app_can_be_imported_with_an_empty_environment(service: str) -> None:
    code, out, err = await run_in_empty_environment(
        "-c", f"from {service}.app import SERVICE; print(SERVICE.name)"
    )
    assert (code, err) == (0, "")
    assert out.strip() == service.removesuffix("_service")


URL = "postgresql+asyncpg://u:secret@127.0.0.1:1/d"


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({}, "DATABASE_URL"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u:secret@h/d"}, "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql+asyncpg://u:secret@h:port/d"}, "DATABASE_URL"),
        ({"DATABASE_URL": URL, "HTTP_PORT": "99999"}, "HTTP_PORT"),
        ({"DATABASE_URL": URL, "VISIBILITY_SECONDS": "soon"}, "VISIBILITY_SECONDS"),
        ({"DATABASE_URL": URL, "LOG_LEVEL": "chatty"}, "LOG_LEVEL"),
        ({"DATABASE_URL": URL, "LOG_FORMAT": "xml"}, "LOG_FORMAT"),
    ],
)
def test_a_wrong_setting_ends_the_process_with_one_line_that_names_it(
    environment: dict[str, str],
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in {"DATABASE_URL", "HTTP_PORT", "VISIBILITY_SECONDS", "LOG_LEVEL", "LOG_FORMAT"}:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main(never_composed(), ["worker"])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"toy: {variable}: ")
    assert "secret" not in line


def test_a_wrong_role_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(never_composed(), ["king"])
    assert ended.value.code == 2
    assert "choose from" in capsys.readouterr().err


def never_composed() -> SqlService:
    """A service that must not come as far as opening anything."""

    async def compose(_: SqlResources) -> Parts:
        raise AssertionError("the settings were wrong, yet it started")

    metadata = MetaData()
    tables = messaging_tables(metadata)
    return SqlService(
        name="order",
        title="Toy",
        package="toy",
        settings=SqlSettings,
        metadata=metadata,
        tables=tables,
        compose=compose,
    )


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_asked_to_stop_a_process_finishes_what_it_has_in_hand(
    servers: Any, aws: Any, unused_port: int, signum: signal.Signals
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TOY, "all",
        env={
            "DATABASE_URL": servers.postgres_url("scratch"),
            "AWS_ENDPOINT_URL": aws.endpoint_url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "HTTP_PORT": str(unused_port),
            "LOG_LEVEL": "error",
        },
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_port}") as client:
            await until_ready(client)
            slow = asyncio.create_task(client.get("/slow", timeout=10))
            assert await process.stdout.readline() == b"request taken\n"
            process.send_signal(signum)
            answer = await slow
            assert answer.json() == {"done": True}
        lines = (await asyncio.wait_for(process.stdout.read(), timeout=15)).decode().splitlines()
        assert await process.wait() == 0
        wanted = [line for line in lines if not line.startswith("{")]
        assert wanted == ["worker finished", "closed"]
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()


async def until_ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                if (await client.get("/health/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

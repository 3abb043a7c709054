"""Nothing outlives a supervisor that is killed with SIGKILL, and Ctrl-C ends it cleanly."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from stack import PostgresServer, is_running
from stack.stop_signals import ECHO_SECONDS

Until = Callable[[Callable[[], object]], Awaitable[None]]

STACK = """
import asyncio, json, sys
from pathlib import Path
from stack import *

CHILD = "import subprocess, time; subprocess.Popen(['sleep', '300']); time.sleep(300)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(300)"

async def main():
    data_dir, kind = Path(sys.argv[1]), sys.argv[2]
    if kind == "servers":
        ports = PortAllocator()
        postgres = PostgresServer(data_dir, ports.pick(), databases=["shop"], durable=False)
        servers = [
            postgres,
            ValkeyServer(data_dir, ports.pick()),
            EmulatorServer(data_dir, ports.pick(), find_python()),
        ]
        processes = [server.process() for server in servers]
        processes.append(Process("python", (sys.executable, "-c", CHILD)))
        endpoints = {"shop": postgres.url("shop", "postgresql")}
    else:
        async def deaf():
            return bool(supervisor.log_tail("python", 1))

        argv = (sys.executable, "-c", STUBBORN)
        processes = [
            Process("database", (sys.executable, "-c", CHILD)),
            Process(
                "python", argv, stop_grace_seconds=60, readiness=deaf, depends_on=("database",)
            ),
        ]
        endpoints = {}

    async def ready():
        print("ready", flush=True)

    supervisor = Supervisor(processes, data_dir, endpoints=endpoints)
    await serve(supervisor, on_ready=ready)

asyncio.run(main())
"""


def start_stack(data_dir: Path, kind: str) -> subprocess.Popen[str]:
    stack = subprocess.Popen(
        [sys.executable, "-c", STACK, str(data_dir), kind], stdout=subprocess.PIPE, text=True
    )
    assert stack.stdout is not None
    assert stack.stdout.readline() == "ready\n"
    return stack


@pytest.fixture
def stacks() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for stack in started:
        stack.kill()
        stack.wait()


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_every_descendant_dies_with_a_killed_supervisor(
    data_dir: Path, stacks: list[subprocess.Popen[str]], until: Until
) -> None:
    stack = start_stack(data_dir, "servers")
    stacks.append(stack)
    url = json.loads((data_dir / "stack.json").read_text())["endpoints"]["shop"]
    connection = await asyncpg.connect(url)
    busy = asyncio.create_task(connection.execute("SELECT pg_sleep(300)"))

    def descendants_by_name() -> dict[str, psutil.Process]:
        children = psutil.Process(stack.pid).children(recursive=True)
        return {process.name(): process for process in children}

    await until(lambda: {"postgres", "valkey-server", "sleep"} <= descendants_by_name().keys())
    descendants = psutil.Process(stack.pid).children(recursive=True)
    stack.send_signal(signal.SIGKILL)
    stack.wait()
    await until(lambda: not any(map(alive, descendants)))
    with pytest.raises((asyncpg.PostgresError, OSError, asyncpg.InterfaceError)):
        await busy
    assert not is_running(data_dir)

    # What was left behind (pid files, sockets, a stale state file) hinders nobody.
    again = start_stack(data_dir, "servers")
    stacks.append(again)
    again.send_signal(signal.SIGTERM)
    assert again.wait(timeout=20) == 0
    PostgresServer(data_dir, 0).remove()


async def test_one_press_stops_gracefully_though_it_comes_twice_and_a_later_one_kills(
    data_dir: Path, stacks: list[subprocess.Popen[str]], until: Until
) -> None:
    stack = start_stack(data_dir, "stubborn")
    stacks.append(stack)
    descendants = psutil.Process(stack.pid).children(recursive=True)
    stack.send_signal(signal.SIGINT)
    stack.send_signal(signal.SIGTERM)  # A parent such as make passes on what it got itself.
    await until(lambda: "stopping" in (data_dir / "stack.json").read_text())
    with pytest.raises(subprocess.TimeoutExpired):
        stack.wait(timeout=ECHO_SECONDS + 0.1)
    stack.send_signal(signal.SIGINT)
    assert stack.wait(timeout=10) == 0
    await until(lambda: not any(map(alive, descendants)))
    assert not is_running(data_dir)
    assert "starting again" not in (data_dir / "logs" / "stack.log").read_text()

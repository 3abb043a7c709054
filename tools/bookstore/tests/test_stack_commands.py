"""The stack's commands as a user meets them: real processes, their output and exit codes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bookstore.local_stack import DATA_VARIABLE, DATABASES, SERVICES, local_stack
from stack import PortAllocator, PostgresServer, is_running

BOOKSTORE = str(Path(sys.executable).with_name("bookstore"))
PORT_VARIABLES = (
    *(f"{name.upper()}_PORT" for name in SERVICES),
    *("STRIPE_SIMULATOR_PORT", "POSTGRES_PORT", "REDIS_PORT", "AWS_EMULATOR_PORT"),
)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder that PostgreSQL's ordinary user can enter, when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="bookstore-cli-"))
    folder.chmod(0o711)
    yield folder
    PostgresServer(folder, 1, databases=DATABASES).remove()
    shutil.rmtree(folder, ignore_errors=True)


def environment(data_dir: Path) -> dict[str, str]:
    """Free ports and a folder of its own, so that a stack of the developer's is left alone."""
    ports = PortAllocator()
    chosen = {variable: str(ports.pick()) for variable in PORT_VARIABLES}
    return {**os.environ, **chosen, DATA_VARIABLE: str(data_dir), "COLUMNS": "200"}


def test_an_interrupted_demo_says_so_at_once_and_leaves_no_process(data_dir: Path) -> None:
    demo = subprocess.Popen(
        [BOOKSTORE, "demo"],
        env=environment(data_dir),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert demo.stdout is not None
        assert demo.stderr is not None
        assert " ready after " in demo.stdout.readline()
        children = psutil.Process(demo.pid).children(recursive=True)
        assert children
        demo.send_signal(signal.SIGINT)
        demo.send_signal(signal.SIGTERM)  # As when make passes its own on.
        later = [line for line in demo.stdout if " ready after " not in line]
        assert [line.split(" (")[0].strip() for line in later] == [
            "stopping the stack ...",
            "stopped",
        ]
        assert demo.wait(timeout=30) == 130
        assert demo.stderr.read() == ""
        _, left = psutil.wait_procs(children, timeout=10)
        assert left == []
        assert not is_running(data_dir)
    finally:
        demo.kill()
        demo.wait()


@pytest.mark.parametrize(
    "command",
    [["status"], ["restart", "payment-worker"], ["logs"], ["dead-letters"]],
    ids=lambda command: command[0],
)
def test_a_command_without_a_stack_says_how_to_start_one(
    data_dir: Path, command: list[str]
) -> None:
    done = subprocess.run(
        [BOOKSTORE, *command], env=environment(data_dir), capture_output=True, text=True, timeout=60
    )
    said = f"bookstore: no stack runs in {data_dir}: start one with `make up`\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_a_default_port_in_use_is_replaced_with_a_notice(data_dir: Path) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            holder.bind(("127.0.0.1", 8001))
            holder.listen()
        except OSError:
            pass  # Somebody else has it, which is as good.
        stack = local_stack(data_dir, {})
    notice = next(each for each in stack.notices if each.startswith("port 8001 (order-web) "))
    assert f"using {stack.endpoints['order'].rpartition(':')[2]} instead" in notice
    assert "ORDER_PORT=" in notice

"""The control socket, the lock and the state file, as another terminal sees them."""

import asyncio
import contextlib
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stack import (
    AlreadyRunningError,
    NotRunningError,
    Process,
    StackError,
    Supervisor,
    is_running,
    read_state,
)
from stack.control import call, stop_and_wait, stream

TALK = "import sys, time\nfor n in range(3): print('line', n)\ntime.sleep(60)"


@contextlib.asynccontextmanager
async def running(data_dir: Path) -> AsyncIterator[Supervisor]:
    stack = [Process("worker", (sys.executable, "-S", "-c", TALK), port=4242)]
    async with Supervisor(
        stack, data_dir, endpoints={"api": "http://x"}, lock_hint="use `make down`"
    ) as supervisor:
        yield supervisor


async def test_status_restart_and_kill_from_another_terminal(data_dir: Path) -> None:
    async with running(data_dir):
        before = (await call(data_dir, "status"))["processes"]["worker"]
        assert (before["state"], before["port"], before["restarts"]) == ("ready", 4242, 0)
        after = await call(data_dir, "restart", name="worker")
        assert after["pid"] != before["pid"]
        killed = await call(data_dir, "kill", name="worker", signal="kill")
        assert killed == {"pid": after["pid"]}


async def test_halt_and_resume_from_another_terminal(data_dir: Path) -> None:
    async with running(data_dir):
        assert (await call(data_dir, "halt", name="worker"))["state"] == "stopped"
        assert (await call(data_dir, "resume", name="worker"))["state"] == "ready"


async def test_bad_requests_are_refused_in_words(data_dir: Path) -> None:
    async with running(data_dir):
        with pytest.raises(StackError, match="no process 'x': there are worker"):
            await call(data_dir, "restart", name="x")
        with pytest.raises(StackError, match="no signal 'SIGNOPE'"):
            await call(data_dir, "kill", name="worker", signal="SIGNOPE")
        with pytest.raises(StackError, match="unknown command 'dance'"):
            await call(data_dir, "dance")
        reader, writer = await asyncio.open_unix_connection(read_state(data_dir)["control"])
        writer.write(b"\xff not json\n")
        assert b'"bad_request"' in await reader.readline()
        writer.close()


async def test_logs_can_be_read_and_followed(data_dir: Path) -> None:
    async with running(data_dir):
        lines = []
        async with contextlib.aclosing(stream(data_dir, "logs", name="worker", follow=True)) as log:
            async for entry in log:
                lines.append(entry["line"])
                if len(lines) == 3:
                    restarting = asyncio.create_task(call(data_dir, "restart", name="worker"))
                if len(lines) == 6:
                    break
        await restarting
        assert lines == ["line 0", "line 1", "line 2"] * 2


async def test_a_second_stack_is_told_who_runs_the_first(data_dir: Path) -> None:
    async with running(data_dir):
        with pytest.raises(AlreadyRunningError) as raised:
            async with running(data_dir):
                pass
        message = str(raised.value)
        assert "a stack already runs (pid " in message
        assert message.endswith("ports: worker 4242): use `make down`")
        assert is_running(data_dir)
    assert not is_running(data_dir)
    async with running(data_dir):  # The lock file that is left says nothing.
        pass


async def test_stop_ends_the_stack(data_dir: Path) -> None:
    async with running(data_dir) as supervisor:
        stopping = asyncio.create_task(stop_and_wait(data_dir))
        await supervisor.wait()
        await supervisor.stop()
        await stopping
    with pytest.raises(NotRunningError, match="no stack runs in"):
        await call(data_dir, "status")


async def test_a_long_data_path_gets_a_short_private_socket(data_dir: Path) -> None:
    deep = data_dir / ("d" * 60) / ("e" * 60)
    async with running(deep):
        socket = Path(read_state(deep)["control"])
        assert deep not in socket.parents
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert (await call(deep, "status"))["ready"]
    assert not socket.parent.exists()


async def test_the_state_file_is_the_owners_alone(data_dir: Path) -> None:
    async with running(data_dir):
        assert stat.S_IMODE((data_dir / "stack.json").stat().st_mode) == 0o600
        assert read_state(data_dir)["endpoints"] == {"api": "http://x"}

"""Talks to a running supervisor from another terminal: JSON lines over a unix socket.

Guarantee: each request line gets at least one answer line, `{"ok": true, "result": ...}` or
`{"ok": false, "code": ..., "error": ...}`; only the user who runs the stack can connect.

Requests: `{"command": "status" | "stop" | "restart" | "halt" | "resume" | "kill" | "logs", ...}`
with `name`, `signal`, `lines`, `follow` where they apply. `logs` with `follow` answers until the
caller hangs up.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any, Protocol

from stack.errors import NotRunningError, StackError
from stack.run_lock import is_running, read_state

SOCKET_FILE = "control.sock"
# sizeof(sun_path) is 108 on Linux and 104 on macOS, the terminating zero included.
MAX_SOCKET_PATH_BYTES = 103
MAX_LINE_BYTES = 1 << 20


class Controlled(Protocol):
    """What the socket exposes; the supervisor is one, tests use another."""

    def status(self) -> dict[str, Any]: ...
    def request_stop(self) -> None: ...
    async def restart(self, name: str) -> None: ...
    async def halt(self, name: str) -> None: ...
    async def resume(self, name: str) -> None: ...
    def kill(self, name: str, number: signal.Signals) -> int: ...
    def log_tail(self, name: str | None, lines: int) -> list[tuple[str, str]]: ...
    def follow_logs(self, name: str | None) -> AsyncIterator[tuple[str, str]]: ...


class ControlServer:
    """Listens from `start` to `close`."""

    def __init__(self, data_dir: Path, controlled: Controlled) -> None:
        self._data_dir = data_dir
        self._controlled = controlled
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._private_dir: Path | None = None
        self.path = data_dir / SOCKET_FILE

    async def start(self) -> None:
        if len(os.fsencode(self.path.absolute())) > MAX_SOCKET_PATH_BYTES:
            self._private_dir = Path(tempfile.mkdtemp(prefix="stack-", dir="/tmp"))
            self.path = self._private_dir / SOCKET_FILE
        self.path = self.path.absolute()
        self.path.unlink(missing_ok=True)
        previous_umask = os.umask(0o077)
        try:
            self._server = await asyncio.start_unix_server(
                self._accept, self.path, limit=MAX_LINE_BYTES
            )
        finally:
            os.umask(previous_umask)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._clients:
            task.cancel()
        if self._clients:
            await asyncio.wait(self._clients)
        self.path.unlink(missing_ok=True)
        if self._private_dir is not None:
            shutil.rmtree(self._private_dir, ignore_errors=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            while line := await reader.readline():
                async for answer in self._answer(line):
                    writer.write(json.dumps(answer).encode() + b"\n")
                    await writer.drain()
        except (ConnectionError, ValueError):
            pass  # The caller hung up, or sent a line beyond the limit.
        except asyncio.CancelledError:
            pass  # The server closes; asyncio would log a cancelled client as an error.
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, line: bytes) -> AsyncIterator[dict[str, Any]]:
        try:
            request = json.loads(line)
            if request["command"] == "logs":
                async for name, text in self._logs(request):
                    yield {"ok": True, "result": {"name": name, "line": text}}
                yield {"ok": True, "result": None}
            else:
                yield {"ok": True, "result": await self._do(request)}
        except StackError as error:
            yield {"ok": False, "code": error.code, "error": str(error)}
        except (ValueError, KeyError, TypeError) as error:
            yield {"ok": False, "code": "bad_request", "error": f"bad request: {error}"}

    async def _do(self, request: dict[str, Any]) -> Any:
        match request["command"]:
            case "status":
                return self._controlled.status()
            case "stop":
                self._controlled.request_stop()
                return None
            case "restart" | "halt" | "resume" as change:
                await getattr(self._controlled, change)(request["name"])
                return self._controlled.status()["processes"][request["name"]]
            case "kill":
                number = signal_named(request.get("signal", "SIGKILL"))
                return {"pid": self._controlled.kill(request["name"], number)}
            case other:
                raise StackError(
                    f"unknown command {other!r}: status, stop, restart, halt, resume, kill, logs"
                )

    async def _logs(self, request: dict[str, Any]) -> AsyncIterator[tuple[str, str]]:
        name = request.get("name")
        # Subscribe before reading the tail, so that no line falls between the two.
        following = self._controlled.follow_logs(name) if request.get("follow") else None
        for entry in self._controlled.log_tail(name, int(request.get("lines", 100))):
            yield entry
        if following is not None:
            async for entry in following:
                yield entry


def signal_named(name: str | int) -> signal.Signals:
    """SIGKILL from "SIGKILL", "KILL", "kill", "9" or 9; StackError for anything else."""
    text = str(name).upper()
    try:
        if text.isdigit():
            return signal.Signals(int(text))
        return signal.Signals[text if text.startswith("SIG") else f"SIG{text}"]
    except (KeyError, ValueError):
        raise StackError(f"no signal {name!r}: try SIGTERM or SIGKILL") from None


async def stream(data_dir: Path, command: str, **arguments: Any) -> AsyncGenerator[Any, None]:
    """Send one command and yield its results as they come; StackError if it is refused."""
    path = read_state(data_dir)["control"]
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE_BYTES)
    except OSError as error:
        raise NotRunningError(f"the stack in {data_dir} does not answer: {error}") from error
    try:
        writer.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
        while line := await reader.readline():
            answer = json.loads(line)
            if not answer["ok"]:
                refusal = StackError(answer["error"])
                refusal.code = answer["code"]
                raise refusal
            yield answer["result"]
            if command != "logs" or answer["result"] is None:
                return
    finally:
        writer.close()


async def call(data_dir: Path, command: str, **arguments: Any) -> Any:
    """Send one command and return its result."""
    async with contextlib.aclosing(stream(data_dir, command, **arguments)) as results:
        async for result in results:
            return result
    raise NotRunningError(f"the stack in {data_dir} ended before it answered")


async def stop_and_wait(data_dir: Path, timeout_seconds: float = 60.0) -> None:
    """Stop the stack and return when its supervisor is gone."""
    await call(data_dir, "stop")
    deadline = time.monotonic() + timeout_seconds
    while is_running(data_dir):
        if time.monotonic() > deadline:
            raise StackError(f"the stack in {data_dir} still runs after {timeout_seconds:g} s")
        await asyncio.sleep(0.05)

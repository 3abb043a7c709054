"""The processes of a running stack, for whoever breaks one on purpose: the demo and the tests.

Guarantee: `kill` is a crash (SIGKILL), and what brings the process back afterwards is the stack's
own supervision; `wait_ready` returns only for a process that came after the killed one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from stack import StackError
from stack.control import call

READY_SECONDS = 60.0
POLL_SECONDS = 0.1


class Processes(Protocol):
    """By name, as in 'payment-worker'."""

    async def kill(self, name: str) -> str:
        """Kill it where it stands; says which it was, in words."""
        ...

    async def wait_ready(self, name: str) -> None:
        """Until another has come in the killed one's place and is ready; raises StackError."""
        ...

    async def halt(self, name: str) -> None:
        """Stop it in order, until `resume`."""
        ...

    async def resume(self, name: str) -> None:
        """Start what was halted, and wait until it is ready."""
        ...


class SupervisedProcesses:
    """Those of the embedded stack, by its supervisor's control socket."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._killed: dict[str, int] = {}

    async def kill(self, name: str) -> str:
        killed = await call(self._data_dir, "kill", name=name, signal="SIGKILL")
        self._killed[name] = killed["pid"]
        return f"pid {killed['pid']}"

    async def wait_ready(self, name: str) -> None:
        async def is_ready() -> bool:
            found = (await call(self._data_dir, "status"))["processes"][name]
            return bool(found["ready"]) and found["pid"] not in (None, self._killed.get(name))

        await until(is_ready, f"{name} is not ready again")

    async def halt(self, name: str) -> None:
        await call(self._data_dir, "halt", name=name)

    async def resume(self, name: str) -> None:
        await call(self._data_dir, "resume", name=name)


async def until(
    condition: Callable[[], Awaitable[bool]],
    otherwise: str,
    timeout_seconds: float = READY_SECONDS,
) -> None:
    """Wait for a condition; StackError that begins with `otherwise` when the time is up."""
    give_up_at = time.monotonic() + timeout_seconds
    while not await condition():
        if time.monotonic() >= give_up_at:
            raise StackError(f"{otherwise} after {timeout_seconds:g} s")
        await asyncio.sleep(POLL_SECONDS)

"""A simulator in its own process for tests: started on a free port, stopped at the end.

Guarantee: no process outlives the `async with`, however the test ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

STOP_SECONDS = 10


class RunningSimulator:
    """One simulator process: its address and its administrative door."""

    def __init__(
        self, url: str, process: asyncio.subprocess.Process, session: aiohttp.ClientSession
    ) -> None:
        self.url = url
        self.process = process
        self._session = session

    async def admin(
        self, method: str, path: str, document: Any = None, *, expect: int = 200
    ) -> Any:
        """Call /_simulator/<path>; raises AssertionError on another status than expected."""
        async with self._session.request(
            method, f"{self.url}/_simulator/{path}", json=document
        ) as response:
            answer = await response.json()
            if response.status != expect:
                raise AssertionError(f"{method} {path}: {response.status} {answer}")
            return answer

    async def fault(self, match: dict[str, Any], action: dict[str, Any]) -> str:
        """Add a fault; its id."""
        added = await self.admin("POST", "faults", {"match": match, "action": action})
        return str(added["id"])

    async def advance(self, seconds: float) -> None:
        """Move its clock; what falls due meanwhile has happened when this returns."""
        await self.admin("POST", "clock", {"advance_seconds": seconds})

    async def totals(self, currency: str = "usd") -> dict[str, int]:
        """Non-zero amounts of the ledger in minor units, by kind of move."""
        ledger = await self.admin("GET", "ledger")
        return {
            name.removesuffix("_minor"): amount
            for name, amount in ledger["totals"].get(currency, {}).items()
            if name.endswith("_minor") and name != "net_minor" and amount
        }

    async def kill(self) -> None:
        """SIGKILL, as a crash."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def running_simulator(
    *arguments: str, environment: dict[str, str] | None = None
) -> AsyncIterator[RunningSimulator]:
    """`python -m stripe_simulator --port 0 <arguments>`, ready to take calls."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stripe_simulator",
        "--port",
        "0",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    try:
        assert process.stdout is not None
        # The socket listens before the address is printed, so connecting never fails.
        url = (await process.stdout.readline()).decode().split()[-1]
        async with aiohttp.ClientSession() as session:
            yield RunningSimulator(url, process, session)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()

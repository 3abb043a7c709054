"""A fresh stack for a benchmark, and the benchmark's hands on it.

Guarantee: it lives in a temporary folder on free ports beside whatever else runs, durable as in
production, and is gone afterwards.
"""

import asyncio
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from bookstore.bench import workload
from bookstore.bench.figures import Key, Sample, difference, rates, spent, total
from bookstore.bench.load_generator import LoadPlan, LoadResult
from bookstore.bench.probes import CPU, MACHINE, SETTLE_SECONDS, Probes, open_probes
from bookstore.local_stack import DATABASES, SERVICES, LocalStack, local_stack
from stack import PostgresServer, StackError, Supervisor

# Those of production, where a laptop's stack has shorter ones to recover faster in a demo.
ENVIRONMENT = {"LOG_LEVEL": "WARNING", "VISIBILITY_SECONDS": "30", "LEASE_SECONDS": "30"}
REST_SECONDS = 10.0
DRAIN_SECONDS = 120.0
BATCH_BOOKS = 250


class BenchError(StackError):
    """The run cannot be counted; the message says why."""


@dataclass(frozen=True)
class Timings:
    """Seconds until the stack was ready: with an empty folder, and again with a filled one."""

    cold_seconds: float
    warm_seconds: float


@dataclass(frozen=True)
class Measured:
    """One load, and everything that the stack spent because of it.

    `others_percent`: the share of the machine's processors that went to anybody else meanwhile.
    """

    load: LoadResult
    orders: int
    costs: Mapping[Key, float]
    others_percent: float


class BenchStack:
    """The running stack under measurement."""

    def __init__(self, stack: LocalStack, probes: Probes, http: aiohttp.ClientSession) -> None:
        self.endpoints = stack.endpoints
        self.superuser_url = superuser_url(stack)
        self.probes = probes
        self.http = http
        self.idle: dict[Key, float] = {}

    async def list_books(self, seed: int) -> list[dict[str, Any]]:
        """Put the books into the catalog, through its API."""
        books = workload.books(seed)
        for start in range(0, len(books), BATCH_BOOKS):
            lot = books[start : start + BATCH_BOOKS]
            url = f"{self.endpoints['catalog']}/books/batch"
            async with self.http.post(url, json={"books": lot}) as answer:
                document = await answer.json()
                if answer.status != 200:
                    raise BenchError(f"the catalog refused the books: {document}")
                for entry in document["results"]:
                    if entry["outcome"] == "rejected":
                        raise BenchError(f"the catalog rejected a book: {entry['error']}")
        return books

    async def rest(self) -> dict[str, int]:
        """Measure what the idle stack spends a second; its memory then."""
        await asyncio.sleep(SETTLE_SECONDS)
        before = await self.probes.sample()
        await asyncio.sleep(REST_SECONDS)
        self.idle = rates(before, await self.probes.sample())
        return self.probes.resident_bytes()

    async def measure(self, plan: LoadPlan) -> Measured:
        """Put the load on, wait until all of its work is done, count what it cost.

        Raises BenchError when an order is not confirmed: figures of refusals mean nothing.
        """
        before, own = await self.probes.sample(), own_cpu_seconds()
        result = await generate(plan)
        loaded = await self.probes.sample()
        ours = own_cpu_seconds() - own + result.cpu_seconds
        expected = {"201"} if plan.arrivals_seconds is None else {"202"}
        if set(result.answers) != expected:
            raise BenchError(f"expected {expected} for each order, got {result.answers}")
        await self._drained(plan.bodies[0]["customer_id"])
        costs = await self.settled(before)
        return Measured(result, len(plan.bodies), costs, others_percent(before, loaded, ours))

    async def settled(self, before: Sample) -> dict[Key, float]:
        """What was spent since `before`, once PostgreSQL has published its counters."""
        await asyncio.sleep(SETTLE_SECONDS)
        after = await self.probes.sample()
        return spent(before, after, idle=self.idle, quiet_seconds=SETTLE_SECONDS)

    async def confirmation_ms(self, customer_id: str) -> list[float]:
        """From stored to confirmed, of each order of a customer, by the database's clock."""
        times: list[float] = []
        parameters = {"customer_id": customer_id, "limit": "200"}
        while True:
            page = await self._orders(parameters)
            for order in page["orders"]:
                if order["status"] != "confirmed":
                    raise BenchError(f"order {order['order_id']} is {order['status']}")
                began, ended = (
                    datetime.fromisoformat(order[name]) for name in ("created_at", "updated_at")
                )
                times.append((ended - began).total_seconds() * 1000)
            if "next_cursor" not in page:
                return times
            parameters["cursor"] = page["next_cursor"]

    async def _drained(self, customer_id: str) -> None:
        deadline = time.monotonic() + DRAIN_SECONDS
        pending = {"customer_id": customer_id, "status": "pending", "limit": "1"}
        while (await self._orders(pending))["orders"]:
            if time.monotonic() > deadline:
                raise BenchError(f"orders are still pending after {DRAIN_SECONDS:g} s")
            await asyncio.sleep(0.25)

    async def _orders(self, parameters: Mapping[str, str]) -> Any:
        async with self.http.get(f"{self.endpoints['order']}/orders", params=parameters) as answer:
            answer.raise_for_status()
            return await answer.json()


async def generate(plan: LoadPlan) -> LoadResult:
    """Run the load generator in its own process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bookstore.bench.load_generator",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await process.communicate(orjson.dumps(asdict(plan)) + b"\n")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise BenchError(f"the load generator ended with code {process.returncode}")
    return LoadResult(**orjson.loads(output))


@asynccontextmanager
async def fresh_folder() -> AsyncIterator[Path]:
    """A folder for a stack's data, removed afterwards with the cluster that may lie elsewhere."""
    folder = Path(tempfile.mkdtemp(prefix="bookstore-bench-"))
    try:
        yield folder
    finally:
        PostgresServer(folder, 1, databases=DATABASES).remove()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def running(
    folder: Path, *, listeners: bool = False
) -> AsyncIterator[tuple[BenchStack, float]]:
    """A stack on the folder, and after how many seconds it was ready.

    `listeners`: with search, notification and fulfillment, which no order waits for.
    """
    began = time.monotonic()
    names = SERVICES if listeners else DATABASES
    stack = local_stack(folder, ENVIRONMENT, pick_ports=True, services=names)
    supervisor = stack.supervisor()
    async with supervisor:
        seconds = time.monotonic() - began
        async with (
            open_probes(
                _pids(supervisor, stack),
                _metrics_urls(stack, names),
                DATABASES,
                superuser_url(stack),
            ) as probes,
            aiohttp.ClientSession() as http,
        ):
            yield BenchStack(stack, probes, http), seconds


def superuser_url(stack: LocalStack) -> str:
    """PostgreSQL's administrator, for statistics and a peer's database."""
    port = urlsplit(stack.endpoints["ORDER_DATABASE_URL"]).port
    assert port is not None
    return PostgresServer(stack.data_dir, port).superuser_url("postgresql")


def _pids(supervisor: Supervisor, stack: LocalStack) -> dict[str, int]:
    pids = {process.name: supervisor.pid(process.name) for process in stack.processes}
    return {name: pid for name, pid in pids.items() if pid is not None}


def _metrics_urls(stack: LocalStack, names: Sequence[str]) -> dict[str, str]:
    web = {f"{name}-web": stack.endpoints[name] for name in names}
    return web | {f"{name}-worker": stack.endpoints[f"{name}-worker"] for name in names}


def others_percent(before: Sample, after: Sample, ours_seconds: float) -> float:
    """Of all processor time between two samples, what neither the stack nor we used."""
    added = difference(before, after)
    capacity = (os.cpu_count() or 1) * (after.at_seconds - before.at_seconds)
    others = total(added, MACHINE) - total(added, CPU) - ours_seconds
    return max(0.0, 100 * others / capacity)


def own_cpu_seconds() -> float:
    """Of this process, which supervises the stack and reads the counters."""
    times = os.times()
    return times.user + times.system


def keys(count: int, seed: int, phase: str) -> Sequence[str]:
    """A careful client's Idempotency-Keys."""
    return [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{phase} {seed} {n}")) for n in range(count)]

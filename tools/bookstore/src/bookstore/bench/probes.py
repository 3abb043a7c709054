"""Reads what each process and each dependency has spent so far.

Guarantee: processor time is that of whole process trees, children that have ended included, so
that no PostgreSQL session gets away uncounted.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import psutil
from prometheus_client.parser import text_string_to_metric_families

from bookstore.bench.figures import Key, Sample

# Without work a PostgreSQL session publishes its statistics after ten seconds (pgstat.c,
# PGSTAT_IDLE_INTERVAL), so counters of commits are complete only after this much quiet.
SETTLE_SECONDS = 10.5

CPU, AWS, SENT, HANDLED, GATEWAY = "cpu", "aws calls", "sent", "handled", "gateway calls"
MACHINE = "machine"
COMMITS, ROLLBACKS, WRITES = "commits", "rollbacks", "writes"
_COUNTERS = {
    "aws_calls_total": (AWS, "operation"),
    "messages_published_total": (SENT, "type"),
    "messages_handled_total": (HANDLED, "type"),
    "payment_gateway_request_seconds_count": (GATEWAY, "method"),
}
_TRANSACTIONS = (
    "SELECT datname, xact_commit, xact_rollback FROM pg_stat_database WHERE datname = ANY($1)"
)
# Transactions that wrote anything take a number each, over all databases.
_LAST_WRITE = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"


@dataclass(frozen=True)
class Probes:
    """Where to read: pids by process name, metrics addresses by process name, the databases."""

    pids: Mapping[str, int]
    metrics_urls: Mapping[str, str]
    databases: tuple[str, ...]
    session: aiohttp.ClientSession
    superuser: Any

    async def sample(self) -> Sample:
        """All counters now; reading them costs the stack about a millisecond a service."""
        counters: dict[Key, float] = {}
        scraped = await asyncio.gather(
            *(self._scrape(name, url) for name, url in self.metrics_urls.items())
        )
        for part in scraped:
            counters.update(part)
        for row in await self.superuser.fetch(_TRANSACTIONS, list(self.databases)):
            counters[Key(COMMITS, row["datname"])] = row["xact_commit"]
            counters[Key(ROLLBACKS, row["datname"])] = row["xact_rollback"]
        counters[Key(WRITES, "postgres")] = await self.superuser.fetchval(_LAST_WRITE)
        for name, pid in self.pids.items():
            counters[Key(CPU, name)] = tree_cpu_seconds(pid)
        counters[Key(MACHINE, "everything")] = machine_cpu_seconds()
        return Sample(time.monotonic(), counters)

    async def _scrape(self, process: str, url: str) -> dict[Key, float]:
        async with self.session.get(f"{url}/metrics") as answer:
            answer.raise_for_status()
            return parse_metrics(process, await answer.text())

    def resident_bytes(self) -> dict[str, int]:
        """Memory of each process tree, shared pages counted once."""
        return {name: tree_memory_bytes(pid) for name, pid in self.pids.items()}


@asynccontextmanager
async def open_probes(
    pids: Mapping[str, int],
    metrics_urls: Mapping[str, str],
    databases: tuple[str, ...],
    superuser_url: str,
) -> AsyncIterator[Probes]:
    """Connect to what is read over the network."""
    async with aiohttp.ClientSession() as session:
        connection = await asyncpg.connect(superuser_url)
        try:
            yield Probes(pids, metrics_urls, databases, session, connection)
        finally:
            await connection.close()


def parse_metrics(process: str, text: str) -> dict[Key, float]:
    """The counters that the report needs, from Prometheus's text format."""
    found: dict[Key, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in _COUNTERS:
                kind, label = _COUNTERS[sample.name]
                key = Key(kind, process, sample.labels[label])
                found[key] = found.get(key, 0.0) + sample.value
    return found


def tree_cpu_seconds(pid: int) -> float:
    """User and system time of a process, its descendants, and those of them that have ended."""
    root = psutil.Process(pid)
    seconds = 0.0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def machine_cpu_seconds() -> float:
    """Processor time of everything on the machine, ours and others'."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def tree_memory_bytes(pid: int) -> int:
    """Resident memory of a lone process; of a tree, each page divided among those that share it."""
    root = psutil.Process(pid)
    children = root.children(recursive=True)
    if not children:
        return int(root.memory_info().rss)
    size = 0
    for process in [root, *children]:
        with contextlib.suppress(psutil.NoSuchProcess):
            size += _proportional_bytes(process)
    return size


def _proportional_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.AccessDenied, AttributeError):  # Another user's process; not on Linux.
        return int(process.memory_info().rss)

"""Compares a saga of ours with the same work on DBOS Transact, on the same PostgreSQL.

Guarantee: both are measured in turns within one run, so that a change of the machine's mood hits
both, and by the same rule: all processor time of all processes that the work needs.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import orjson

from bookstore.bench import workload
from bookstore.bench.bench_stack import BenchError, BenchStack, fresh_folder, running
from bookstore.bench.figures import Key, Spread, percentile
from bookstore.bench.machine import describe
from bookstore.bench.marks import MIN_PEER_RATIO, Mark
from bookstore.bench.probes import CPU
from bookstore.bench.scenario import WARM_UP_ORDERS, Options, Say, measure_closed

ENVIRONMENT = Path(".venv-peers")
SCRIPT = Path(__file__).parent / "dbos_peer" / "saga.py"
# The best of 2, 4, 6, 8, 16 and 32, and better than coroutines (docs/performance.md).
THREADS = 4
SETTINGS = {"clients": THREADS, "pool_size": 20, "listen_notify": True, "warm_up": 200}
DIFFERENT_ORDERS = 500
START_SECONDS = 120.0
MAX_LINE_BYTES = 1 << 26


@dataclass(frozen=True)
class Round:
    """One measured turn: CPU per saga in all, PostgreSQL's part of it, and its speed."""

    who: str
    sagas: int
    sagas_per_second: float
    cpu_ms: float
    postgres_cpu_ms: float
    latency_ms: Spread


@dataclass(frozen=True)
class Comparison:
    """All turns, and DBOS's CPU a saga divided by ours (medians)."""

    machine: Mapping[str, Any]
    peer_versions: Mapping[str, str]
    peer_settings: Mapping[str, Any]
    rounds: Sequence[Round]
    cpu_ratio: float

    def marks(self) -> list[Mark]:
        return [
            Mark("CPU of DBOS to ours", self.cpu_ratio, MIN_PEER_RATIO, " times", at_most=False)
        ]


@dataclass(frozen=True)
class Peer:
    """The peer's process."""

    process: asyncio.subprocess.Process
    versions: Mapping[str, str]

    async def run(self, count: int) -> dict[str, Any]:
        """`count` sagas; what the process measured of them."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go %d\n" % count)
        answer = await _answer(self.process)
        if answer["confirmed"] != count:
            raise BenchError(f"DBOS confirmed {answer['confirmed']} of {count} orders")
        return answer


async def compare(sagas: int, rounds: int, clients: int, seed: int, say: Say) -> Comparison:
    """Ours and DBOS in turns, `rounds` times each; raises BenchError, StackError."""
    if not (ENVIRONMENT / "bin" / "python").exists():
        raise BenchError("the peers' environment is missing: use `make bench-peers`")
    machine = describe()
    options = Options(orders=sagas, clients=clients, seed=seed)
    async with fresh_folder() as folder, running(folder) as (stack, _):
        books = await stack.list_books(seed)
        say("warming up")
        await measure_closed(stack, books, options, "warm-up", count=WARM_UP_ORDERS)
        say("resting")
        await stack.rest()
        urls = await _create_databases(stack.superuser_url)
        turns: list[Round] = []
        versions: Mapping[str, str] = {}
        for number in range(1, rounds + 1):
            say(f"round {number}: DBOS, {sagas} sagas")
            turn, versions = await _measure_peer(stack, urls, books, sagas, seed)
            turns.append(turn)
            say(f"round {number}: ours, {sagas} orders")
            turns.append(await _measure_ours(stack, books, options, number))
    return Comparison(machine, versions, {**SETTINGS}, turns, _ratio(turns))


def _ratio(turns: Sequence[Round]) -> float:
    medians = {
        who: percentile([turn.cpu_ms for turn in turns if turn.who == who], 50)
        for who in ("DBOS", "ours")
    }
    return medians["DBOS"] / medians["ours"]


async def _measure_ours(
    stack: BenchStack, books: list[dict[str, Any]], options: Options, number: int
) -> Round:
    phase = await measure_closed(stack, books, options, f"ours-{number}")
    return Round(
        who="ours",
        sagas=phase.orders,
        sagas_per_second=phase.orders_per_second,
        cpu_ms=phase.cpu_ms_total,
        postgres_cpu_ms=phase.cpu_ms["postgres"],
        latency_ms=phase.answer_ms,
    )


async def _measure_peer(
    stack: BenchStack,
    urls: Mapping[str, str],
    books: list[dict[str, Any]],
    sagas: int,
    seed: int,
) -> tuple[Round, Mapping[str, str]]:
    """The peer's process lives for its turn only, so that it costs ours nothing."""
    async with _running_peer(urls, books, seed) as peer:
        before = await stack.probes.sample()
        figures = await peer.run(sagas)
        costs = await stack.settled(before)
    # Our idle processes are not DBOS's to pay for: only PostgreSQL counts, less its idle rate.
    postgres = costs[Key(CPU, "postgres")]
    turn = Round(
        who="DBOS",
        sagas=sagas,
        sagas_per_second=sagas / figures["seconds"],
        cpu_ms=1000 * (figures["cpu_seconds"] + postgres) / sagas,
        postgres_cpu_ms=1000 * postgres / sagas,
        latency_ms=Spread.of(figures["latencies_ms"]),
    )
    return turn, peer.versions


@asynccontextmanager
async def _running_peer(
    urls: Mapping[str, str], books: list[dict[str, Any]], seed: int
) -> AsyncIterator[Peer]:
    process = await asyncio.create_subprocess_exec(
        str(ENVIRONMENT / "bin" / "python"),
        "-P",
        str(SCRIPT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES,
    )
    assert process.stdin is not None
    orders = workload.orders(seed, DIFFERENT_ORDERS, "peer", books)
    plan = {
        **SETTINGS,
        **urls,
        "stock": workload.STOCK,
        "books": [book["book_id"] for book in books],
        "orders": [
            {line["book_id"]: line["quantity"] for line in order["lines"]} for order in orders
        ],
    }
    try:
        process.stdin.write(orjson.dumps(plan) + b"\n")
        async with asyncio.timeout(START_SECONDS):
            versions = await _answer(process)
        yield Peer(process, versions)
        process.stdin.close()
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _answer(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise BenchError(f"the peer's process ended with code {await process.wait()}")
    document: dict[str, Any] = orjson.loads(line)
    return document


async def _create_databases(superuser_url: str) -> dict[str, str]:
    """One for the peer's state, one for its books and orders, as DBOS recommends."""
    connection = await asyncpg.connect(superuser_url)
    try:
        for name in ("peer", "peer_system"):
            await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    parts = urlsplit(superuser_url)
    return {
        "url": parts._replace(path="/peer").geturl(),
        "system_url": parts._replace(path="/peer_system").geturl(),
    }

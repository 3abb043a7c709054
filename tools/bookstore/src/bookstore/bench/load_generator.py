"""The load generator, a process of its own: `python -m bookstore.bench.load_generator`.

Guarantee: no coordinated omission. In the open loop each request has its moment before the run
begins, and its latency counts from that moment however late the generator or the stack is.

It reads a LoadPlan as one line of JSON from standard input and answers with a LoadResult.
"""

import asyncio
import collections
import dataclasses
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import uvloop

OPEN_LOOP_CONNECTIONS = 128


@dataclasses.dataclass(frozen=True)
class LoadPlan:
    """Requests to send, and how.

    Closed loop: `clients` send one after another and wait up to `wait_seconds` for each outcome.
    Open loop, if there are `arrivals_seconds`: one request at each, without waiting for outcomes.
    """

    url: str
    bodies: list[dict[str, Any]]
    keys: list[str] | None = None
    clients: int = 0
    wait_seconds: int = 30
    arrivals_seconds: list[float] | None = None


@dataclasses.dataclass(frozen=True)
class LoadResult:
    """What came back. `seconds` is from the first request to the last answer."""

    seconds: float
    cpu_seconds: float
    answers: dict[str, int]
    latencies_ms: list[float]


def main() -> None:
    """Run the plan on standard input."""
    plan = LoadPlan(**orjson.loads(sys.stdin.buffer.readline()))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(plan))
    sys.stdout.buffer.write(orjson.dumps(dataclasses.asdict(result)) + b"\n")


async def run(plan: LoadPlan) -> LoadResult:
    """Send everything; an exception of one request is counted as its answer."""
    connections = plan.clients if plan.arrivals_seconds is None else OPEN_LOOP_CONNECTIONS
    headers = {"Content-Type": "application/json"}
    if plan.arrivals_seconds is None:
        headers["Prefer"] = f"wait={plan.wait_seconds}"
    bodies = [orjson.dumps(body) for body in plan.bodies]
    answers: collections.Counter[str] = collections.Counter()
    latencies_ms: list[float] = []
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=plan.wait_seconds + 30),
        skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
        auto_decompress=False,
        headers=headers,
    ) as session:

        async def send(number: int, intended: float) -> None:
            own = {"Idempotency-Key": plan.keys[number]} if plan.keys else None
            try:
                async with session.post(plan.url, data=bodies[number], headers=own) as response:
                    await response.read()
                    answer = str(response.status)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                answer = type(error).__name__
            answers[answer] += 1
            latencies_ms.append((time.perf_counter() - intended) * 1000)

        cpu = _cpu_seconds()
        began = time.perf_counter()
        if plan.arrivals_seconds is None:
            await _closed_loop(plan.clients, len(bodies), send)
        else:
            await _open_loop(plan.arrivals_seconds, began, send)
        seconds = time.perf_counter() - began
        return LoadResult(seconds, _cpu_seconds() - cpu, dict(answers), latencies_ms)


Send = Callable[[int, float], Awaitable[None]]


async def _closed_loop(clients: int, count: int, send: Send) -> None:
    numbers = iter(range(count))

    async def client() -> None:
        for number in numbers:
            await send(number, time.perf_counter())

    await asyncio.gather(*(client() for _ in range(clients)))


async def _open_loop(arrivals_seconds: list[float], began: float, send: Send) -> None:
    sending: list[asyncio.Future[None]] = []
    for number, arrival in enumerate(arrivals_seconds):
        intended = began + arrival
        # The event loop's timers have a resolution of a millisecond, which the latency includes.
        if (pause := intended - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        sending.append(asyncio.ensure_future(send(number, intended)))
    await asyncio.gather(*sending)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()

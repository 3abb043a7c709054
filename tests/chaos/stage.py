"""The stack that is hit: real processes, a proxy on each way between them, doors for faults.

Guarantee: the services run unchanged, in their own launcher (`faults.barriers`) and with addresses
that lead through proxies; everything listens on 127.0.0.1 and is gone when the context ends.
"""

import asyncio
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from bookstore.local_stack import DATABASES, HOST, SERVICES, LocalStack, local_stack
from faults.barriers import clock_file
from faults.proxy import Proxy
from stack import (
    HttpReady,
    PortAllocator,
    PostgresServer,
    Process,
    RestartPolicy,
    StackError,
    Supervisor,
)

# Killed and frozen processes lose what they held soon, so that others take it over within a run.
VISIBILITY_SECONDS = 4
LEASE_SECONDS = 4
HTTP_KEY_LEASE_SECONDS = 15
SETTINGS = {
    "VISIBILITY_SECONDS": str(VISIBILITY_SECONDS),
    "LEASE_SECONDS": str(LEASE_SECONDS),
    "DATABASE_POOL_SIZE": "5",
    # The order service's reconciliation would repair what is to be seen here.
    "RECONCILE_INTERVAL_SECONDS": "300",
    "LOG_LEVEL": "WARNING",
}
# A lost webhook of a refund is made up for by this sweep alone; it repairs nothing that is young.
PAYMENT_SETTINGS = {"RECONCILE_INTERVAL_SECONDS": "60"}
WORKERS = (
    *(
        f"{name}-worker{n}"
        for name in (*DATABASES, "notification", "fulfillment")
        for n in ("", "-2")
    ),
    "search-worker",  # The embedded index has one writer.
)
ORDER_WEBS = ("order-web", "order-web-2")
WEBS = (
    *ORDER_WEBS,
    "catalog-web",
    "payment-web",
    "search-web",
    "notification-web",
    "fulfillment-web",
)
INSTANCES = (*WEBS, *WORKERS)
# Which variable of a process leads to which server.
_WAYS = {
    "postgres": "DATABASE_URL",
    "aws": "AWS_ENDPOINT_URL",
    "gateway": "STRIPE_API_BASE",
    "redis": "REDIS_URL",
}
# Chaos crashes one process again and again, and it has to come back each time.
ALWAYS = RestartPolicy(max_delay_seconds=0.5, max_quick_crashes=1_000_000)
BACK_SECONDS = 90.0
POLL_SECONDS = 0.05
# Puts a proxy of a name before a port; answers with the port to be used instead.
Proxied = Callable[[str, int], Awaitable[int]]


def links() -> list[str]:
    """The names of all ways, 'from>to', as they are drawn from."""
    ways = [f"{name}>aws" for name in INSTANCES]
    ways += [f"{name}>postgres" for name in INSTANCES if name.startswith(DATABASES)]
    ways += [f"{name}>gateway" for name in INSTANCES if name.startswith("payment")]
    ways += [f"{name}>redis" for name in INSTANCES if name.startswith(("catalog", "search"))]
    return [*ways, *(f"clients>{name}" for name in ORDER_WEBS)]


@dataclass
class Stage:
    """What faults act on, and where the load and the checks reach the bookstore."""

    folder: Path
    control: Path
    stack: LocalStack
    supervisor: Supervisor
    proxies: Mapping[str, Proxy]
    http: httpx.AsyncClient
    began: float = field(default_factory=time.monotonic)
    locks: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    @property
    def seconds(self) -> float:
        """Since the stage was set."""
        return time.monotonic() - self.began

    @property
    def order_urls(self) -> tuple[str, ...]:
        """Where clients place orders; each leads through a proxy."""
        return tuple(f"http://{HOST}:{self.proxies[f'clients>{n}'].port}" for n in ORDER_WEBS)

    def on(self, target: str) -> list[Proxy]:
        """The proxies of 'order-web>postgres', or of '*>postgres'."""
        if target.startswith("*"):
            return [p for name, p in self.proxies.items() if name.endswith(target[1:])]
        return [self.proxies[target]]

    async def signal(self, name: str, number: signal.Signals) -> int:
        """Send a signal to a process, once it runs; its pid."""
        deadline = time.monotonic() + BACK_SECONDS
        while True:
            try:
                return self.supervisor.kill(name, number)
            except StackError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(POLL_SECONDS)

    async def back(self, name: str, after_pid: int) -> float:
        """Wait until another process has come in its place and is ready; after how many seconds."""
        began = time.monotonic()
        while not self.supervisor.is_ready(name) or self.supervisor.pid(name) == after_pid:
            if time.monotonic() - began > BACK_SECONDS:
                raise StackError(f"{name} is not ready again after {BACK_SECONDS:g} s")
            await asyncio.sleep(POLL_SECONDS)
        return time.monotonic() - began

    async def heal(self) -> None:
        """Undo what a fault that was cut off has left; StackError for who does not come back."""
        for proxy in self.proxies.values():
            proxy.clear()
        for name in INSTANCES:
            clock_file(self.control, name).unlink(missing_ok=True)
            try:
                self.supervisor.kill(name, signal.SIGCONT)
            except StackError:
                continue  # It is being started, so it does not stand still.
        await self.http.delete(f"{self.stack.endpoints['stripe']}/_simulator/faults")
        for name in (*INSTANCES, "postgres", "emulator", "valkey"):
            try:
                await asyncio.wait_for(self.supervisor.wait_ready(name), BACK_SECONDS)
            except TimeoutError:
                raise StackError(f"{name} is not ready again after all faults are over") from None


@asynccontextmanager
async def set_stage(folder: Path, *, keep: bool) -> AsyncIterator[Stage]:
    """Start everything; at the end stop it, and remove its data unless they are to be kept."""
    folder.mkdir(parents=True)
    folder.chmod(0o711)  # PostgreSQL's user passes through, when this runs as root.
    control = folder / "control"
    control.mkdir()
    stack = local_stack(folder, pick_ports=True, service_environment=SETTINGS)
    async with AsyncExitStack() as exits:
        http = await exits.enter_async_context(
            httpx.AsyncClient(timeout=httpx.Timeout(10, connect=3), trust_env=False)
        )
        proxies: dict[str, Proxy] = {}

        async def proxied(name: str, port: int) -> int:
            proxy = Proxy(port, name=name)
            await proxy.start()
            exits.push_async_callback(proxy.close)
            proxies[name] = proxy
            return proxy.port

        processes = await _instances(stack, control, proxied)
        stack = replace(stack, processes=processes)
        supervisor = stack.supervisor()
        exits.callback(_remove, folder, keep=keep)
        exits.push_async_callback(supervisor.stop)
        await supervisor.start()
        yield Stage(folder, control, stack, supervisor, proxies, http)


async def _instances(stack: LocalStack, control: Path, proxied: Proxied) -> list[Process]:
    """Servers as they are; each service process once or twice, in the launcher, behind proxies."""
    found: list[Process] = []
    for process in stack.processes:
        service = process.name.partition("-")[0]
        if service not in SERVICES:
            found.append(replace(process, restart=ALWAYS) if process.port else process)
            continue
        for name in (process.name, f"{process.name}-2"):
            if name not in INSTANCES:
                continue
            env = dict(process.env) | (PAYMENT_SETTINGS if service == "payment" else {})
            for server, variable in _WAYS.items():
                if variable in env:
                    port = urlsplit(env[variable]).port
                    assert port is not None
                    own = await proxied(f"{name}>{server}", port)
                    env[variable] = env[variable].replace(f":{port}", f":{own}")
            port = (
                process.port if name == process.name else another_port([*stack.processes, *found])
            )
            assert port is not None
            env["HTTP_PORT"] = str(port)
            if name in ORDER_WEBS:
                await proxied(f"clients>{name}", port)
            found.append(
                replace(
                    process,
                    name=name,
                    argv=_with_barriers(process.argv, control, name),
                    env=env,
                    port=port,
                    readiness=HttpReady(f"http://{HOST}:{port}/health/ready"),
                    ready_timeout_seconds=60.0,
                    restart=ALWAYS,
                )
            )
    return found


def _with_barriers(argv: Sequence[str], control: Path, name: str) -> tuple[str, ...]:
    """The same program, to be held up at named places; one that is no Python has none."""
    program, *rest = argv
    if rest[0] != "-m":
        return tuple(argv)
    return (program, "-m", "faults.barriers", str(control), name, *rest[1:])


def another_port(processes: Iterable[Process]) -> int:
    """A free port that none of them has; theirs are free as well while they are down."""
    taken = {process.port for process in processes}
    allocator = PortAllocator()
    while (port := allocator.pick()) in taken:
        pass
    return port


def _remove(folder: Path, *, keep: bool) -> None:
    """Logs and report stay in any case."""
    if keep:
        return
    PostgresServer(folder, 1, databases=DATABASES).remove()
    for name in ("emulator", "valkey", "old", "control"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "stripe.jsonl").unlink(missing_ok=True)

"""The last release beside this one: workers of both take messages from the same queues.

Guarantee: the old workers run the code of the commit that `contracts/RELEASE` names, and each of
them has handled messages by the end; whichever of the two gets a message, orders come out right.

As `make contracts-diff` says where a service receives something new, whoever sends that starts once
the old workers are gone: services that the last release lacks wait until then.
"""

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from bookstore.balance import Endpoints, balance_sheet
from bookstore.local_stack import DATABASES, HOST, SERVICES, LocalStack, local_stack
from bookstore.processes import SupervisedProcesses
from contract_gates.diff.release import last_release
from drive.old_code import old_code
from drive.platform import FAST, ROOT, Platform
from stack import HttpReady, PortAllocator, PostgresServer, Process, Supervisor

# Search has one writer of its index here, so its only worker is the old one.
BESIDE = ("order", "catalog", "payment", "notification")
INSTEAD = "search"
WAIT = 30
ORDERS = 10
ROUNDS = 6
HANDLED = re.compile(r'^messages_handled_total\{[^}]*outcome="handled"[^}]*\} (\S+)', re.MULTILINE)


@dataclass(frozen=True)
class TwoReleases:
    """A platform of this release; the workers of the last one, and where they answer, by service;
    the services that the last one lacks.
    """

    platform: Platform
    old: Supervisor
    old_workers: dict[str, str]
    newcomers: tuple[str, ...]

    async def handled_by_old(self, service: str) -> int:
        """How many messages the service's old worker has handled."""
        answer = await self.platform.http.get(f"{self.old_workers[service]}/metrics")
        found = HANDLED.findall(answer.text)
        return sum(int(float(each)) for each in found)

    async def finish_rollout(self) -> None:
        """The old workers go, then the newcomers come."""
        await self.old.stop()
        for service in self.newcomers:
            await self.platform.needs_processes().resume(f"{service}-worker")


@asynccontextmanager
async def two_releases(folder: Path, path: str) -> AsyncIterator[TwoReleases]:
    """Both releases on one stack; all of it is stopped and removed at the end."""
    stack = local_stack(folder, pick_ports=True, service_environment=FAST)
    stack = replace(
        stack,
        processes=[
            _with_old_code(each, path) if each.name == f"{INSTEAD}-worker" else each
            for each in stack.processes
        ],
    )
    async with AsyncExitStack() as exits:
        exits.callback(PostgresServer(folder, 1, databases=DATABASES).remove)
        supervisor = stack.supervisor()
        exits.push_async_callback(supervisor.stop)
        await supervisor.start()
        newcomers = tuple(name for name in SERVICES if f"/services/{name}/" not in path)
        for service in newcomers:
            await supervisor.halt(f"{service}-worker")
        beside = [_beside(stack, service, path) for service in BESIDE]
        old = Supervisor(beside, folder / "old-run")
        exits.push_async_callback(old.stop)
        await old.start()
        http = await exits.enter_async_context(httpx.AsyncClient(timeout=60, trust_env=False))
        workers = {
            service: f"http://{HOST}:{process.port}"
            for service, process in zip(BESIDE, beside, strict=True)
        }
        workers[INSTEAD] = stack.endpoints[f"{INSTEAD}-worker"]
        platform = Platform(stack.endpoints, http, SupervisedProcesses(folder))
        yield TwoReleases(platform, old, workers, newcomers)


def _with_old_code(process: Process, path: str) -> Process:
    return replace(process, env={**process.env, "PYTHONPATH": path})


def _beside(stack: LocalStack, service: str, path: str) -> Process:
    """A second worker of the service, of the last release."""
    (present,) = (each for each in stack.processes if each.name == f"{service}-worker")
    port = PortAllocator().pick()
    return replace(
        _with_old_code(present, path),
        name=f"old-{service}-worker",
        argv=(sys.executable, "-m", f"{service}_service", "worker"),
        env={**present.env, "PYTHONPATH": path, "HTTP_PORT": str(port)},
        readiness=HttpReady(f"http://{HOST}:{port}/health/ready"),
        depends_on=(),
        port=port,
    )


@pytest.fixture
async def both() -> AsyncIterator[TwoReleases]:
    release = last_release(ROOT)
    folder = Path(tempfile.mkdtemp(prefix="bookstore-two-releases-"))
    folder.chmod(0o711)  # PostgreSQL's user passes through, when the tests run as root.
    try:
        try:
            _, path = await old_code(folder / "old", release.ref)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip(f"release {release.name} ({release.ref}) is not in this clone: git fetch")
        async with two_releases(folder, path) as both:
            yield both
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def one_round(platform: Platform) -> dict[str, str]:
    """Orders through all the outcomes at once; the status that each must have, by its id."""
    plenty = await platform.list_book("Plenty", stock=10 * ORDERS)
    scarce = await platform.list_book("Scarce", stock=1)
    declined = {"card": "pm_card_visa_chargeDeclined"}
    placed = await asyncio.gather(
        *(platform.order(plenty, wait=WAIT) for _ in range(ORDERS)),
        *(platform.order(plenty, wait=WAIT, **declined) for _ in range(ORDERS // 2)),
        *(platform.order(scarce, quantity=2, wait=WAIT) for _ in range(ORDERS // 2)),
    )
    codes = [answer.status_code for answer in placed]
    assert codes == [201] * ORDERS + [402] * (ORDERS // 2) + [409] * (ORDERS // 2)
    ids = [answer.headers["location"].rpartition("/")[2] for answer in placed]
    expected = dict.fromkeys(ids[:ORDERS], "confirmed") | dict.fromkeys(ids[ORDERS:], "rejected")
    cancelled = ids[: ORDERS // 2]
    answers = await asyncio.gather(*(_cancel(platform, order_id) for order_id in cancelled))
    assert {answer.status_code for answer in answers} == {200}
    return expected | dict.fromkeys(cancelled, "cancelled")


async def _cancel(platform: Platform, order_id: str) -> httpx.Response:
    url = f"{platform.endpoints['order']}/orders/{order_id}/cancellation"
    return await platform.http.post(url, headers={"Prefer": f"wait={WAIT}"})


@pytest.mark.timeout(180)
async def test_workers_of_the_last_release_and_of_this_one_bring_orders_to_their_end_together(
    both: TwoReleases,
) -> None:
    expected: dict[str, str] = {}
    idle: list[str] = list(both.old_workers)
    for _ in range(ROUNDS):  # Chance decides which of two workers gets a message.
        expected |= await one_round(both.platform)
        idle = [service for service in idle if not await both.handled_by_old(service)]
        if not idle:
            break
    assert not idle, "old workers that never handled a message"
    await both.finish_rollout()
    checks = await balance_sheet(
        Endpoints.of(both.platform.endpoints), acknowledged=list(expected), settle_seconds=60
    )
    assert [f"{c.claim}: {c.counted}, not {c.must_be}" for c in checks if not c.holds] == []
    found: dict[str, Any] = {
        order_id: (await both.platform.get_order(order_id))["status"] for order_id in expected
    }
    assert found == expected

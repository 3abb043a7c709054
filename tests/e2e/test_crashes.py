"""Killing a process in the middle of orders leaves every invariant true.

The moment of the kill is random; its seed is printed, and BOOKSTORE_SEED repeats it.
"""

import asyncio

import pytest

from drive.load import Load
from drive.platform import Platform


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "victim", ["order-worker", "catalog-worker", "payment-worker", "order-web"]
)
async def test_killed_process_leaves_every_invariant_true(platform: Platform, victim: str) -> None:
    processes = platform.needs_processes()
    load = Load(platform, victim)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load.run())
        await load.reached(load.moment())
        await processes.kill(victim)
    await processes.wait_ready(victim)
    await load.check()

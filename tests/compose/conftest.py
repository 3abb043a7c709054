"""Faults against real containers; `make compose-test` runs them.

Guarantee: the project is the test run's own, and each test leaves it whole for the next.
"""

from collections.abc import AsyncIterator

import pytest

from bookstore.compose import ComposeStack
from drive.platform import Platform

# As many as a scale-out wants; one of each is the rule.
ONE_OF_EACH = ("order-worker", "catalog-worker", "payment-worker")


@pytest.fixture
async def compose(platform: Platform) -> AsyncIterator[ComposeStack]:
    """The platform's containers; whatever a test did to them is undone."""
    if not isinstance(platform.processes, ComposeStack):
        pytest.skip("needs BOOKSTORE_STACK=compose")
    yield platform.processes
    for container in await platform.processes.containers():
        if container["State"]["Paused"]:
            await platform.processes.docker("unpause", container["Id"])
    scale = [f"--scale={name}=1" for name in ONE_OF_EACH]
    await platform.processes.run("up", "--wait", "--no-build", *scale)

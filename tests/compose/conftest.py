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
def compose(platform: Platform) -> ComposeStack:
    """The platform's containers."""
    if not isinstance(platform.processes, ComposeStack):
        pytest.skip("needs BOOKSTORE_STACK=compose")
    return platform.processes


@pytest.fixture
async def mended(compose: ComposeStack) -> AsyncIterator[None]:
    """Whatever a test did to the containers is undone after it."""
    yield
    for container in await compose.containers():
        if container["State"]["Paused"]:
            await compose.docker("unpause", container["Id"])
    scale = [f"--scale={name}=1" for name in ONE_OF_EACH]
    await compose.run("up", "--wait", "--no-build", *scale)

"""The whole platform, once for the session: the one that BOOKSTORE_STACK names.

Guarantee: what the session starts has its own data and ports, so that it runs beside a stack of the
developer's; all of it is stopped and removed at the end.
"""

from collections.abc import AsyncIterator

import pytest

from drive.platform import Platform, running_platform


@pytest.fixture(scope="session")
async def platform() -> AsyncIterator[Platform]:
    async with running_platform() as platform:
        yield platform

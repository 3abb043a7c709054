"""Data directories that PostgreSQL's ordinary user can enter, and a bounded wait."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def data_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="stack-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def wait_until(condition: Callable[[], object], timeout_seconds: float = 20) -> None:
    """For what the operating system tells nobody, such as the end of a stranger's process."""
    async with asyncio.timeout(timeout_seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    return wait_until

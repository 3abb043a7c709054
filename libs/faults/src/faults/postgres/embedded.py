"""A PostgreSQL server for this process and those that it starts, in a process that looks after it.

Guarantee: after the block the server and its data are gone, also where this process is killed.
"""

import asyncio
import contextlib
import multiprocessing
from collections.abc import Iterator
from typing import Any

from stack import EmbeddedServers

DATABASE = "world"


@contextlib.contextmanager
def embedded_postgres() -> Iterator[str]:
    """The URL of an empty database."""
    # A process of its own: in this one the clocks will tell virtual time.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    keeper = context.Process(target=_keep, args=(theirs,))
    keeper.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        ours.close()
        keeper.join()


def _keep(pipe: Any) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(pipe))


async def _serve(pipe: Any) -> None:
    async with EmbeddedServers(databases=[DATABASE], valkey=False, emulator=False) as servers:
        ended = asyncio.Event()
        # The other end is closed, or its process is dead.
        asyncio.get_running_loop().add_reader(pipe.fileno(), ended.set)
        pipe.send(servers.postgres_url(DATABASE))
        await ended.wait()

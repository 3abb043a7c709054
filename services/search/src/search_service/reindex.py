"""`python -m search_service reindex`: has the index rebuilt, and shows how far it is.

Guarantee: asks a worker and looks on; whoever stops looking stops nothing.
"""

import asyncio
import sys

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from chassis import Resources
from search_service.rebuild import Rebuilds

POLL_SECONDS = 0.2
UNTAKEN_SECONDS = 15.0


async def reindex(resources: Resources) -> int:
    """Ask for a rebuild and wait for its end; 0 once it is in place, 1 if no worker takes it."""
    rebuilds = Rebuilds(resources.dynamodb, table=resources.table("ledger"))
    before = await rebuilds.progress()
    # Nothing is known of how many there are if the last index was filled while there were none.
    expected = (before.books or None) if before is not None and before.state == "done" else None
    request_id = await rebuilds.request()
    loop = asyncio.get_running_loop()
    began = loop.time()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("books"),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task("waiting for a worker", total=expected)
        while True:
            found = await rebuilds.progress()
            if found is None or found.request_id != request_id:
                print("another rebuild was asked for meanwhile: look at that", file=sys.stderr)  # noqa: T201
                return 1
            if found.state == "done":
                bar.update(task, description="rebuilt", total=found.books, completed=found.books)
                return 0
            if found.state == "running":
                total = max(expected, found.books) if expected else None
                bar.update(task, description="rebuilding", completed=found.books, total=total)
            elif loop.time() - began > UNTAKEN_SECONDS:
                print(  # noqa: T201
                    "no worker has taken it up: start search-worker, which will then do it",
                    file=sys.stderr,
                )
                return 1
            await asyncio.sleep(POLL_SECONDS)

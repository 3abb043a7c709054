"""A loop by the machine's clock that is run from within another one, which stands still meanwhile.

Guarantee: no time passes in the outer loop, and none of its tasks runs, until what was asked for is
done or its time is up.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from faults.loop import machine_seconds

T = TypeVar("T")


class MachineLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, for sockets, while `time` tells a run's virtual time."""

    def __init__(self) -> None:
        super().__init__()
        # Whoever is interested in how a task ended asks the task.
        self.set_exception_handler(lambda _loop, _context: None)

    def time(self) -> float:
        """The machine's clock."""
        return machine_seconds()

    def complete(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it to its end; its answer."""
        with _outer_loop_left():
            return self.run_until_complete(work)

    def advance(self, tasks: Iterable["asyncio.Task[Any]"], seconds: float | None = None) -> None:
        """Go on until one of the tasks is done, or so much of the machine's time has passed."""
        with _outer_loop_left():
            self.run_until_complete(
                asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            )


@contextlib.contextmanager
def _outer_loop_left() -> Iterator[None]:
    """asyncio refuses loops and tasks within others: leave them, and enter them again."""
    outer = asyncio._get_running_loop()
    task = asyncio.current_task(outer) if outer is not None else None
    if outer is not None and task is not None:
        asyncio.tasks._leave_task(outer, task)
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(outer)
        if outer is not None and task is not None:
            asyncio.tasks._enter_task(outer, task)

"""Statements on their way, and those among them that wait for a row that somebody else has locked.

Guarantee: how fast the machine is decides nothing. A statement counts as waiting only when the
server says whom it waits for, and whatever a transaction's end sets free is heard of before
anything else happens.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from faults.gate import ProcessDead
from faults.loop import machine_seconds
from faults.postgres.machine import MachineLoop

T = TypeVar("T")

# After which the server is asked whether a statement waits; what takes longer costs that question.
QUICK_SECONDS = 0.003
# Beyond PostgreSQL's deadlock_timeout (1 s), after which it fails one of those in a circle.
LIMIT_SECONDS = 30.0


class _Wait:
    def __init__(self, task: asyncio.Task[Any], pid: int) -> None:
        self.task = task
        self.pid = pid
        # Done when the task's end is heard of in virtual time.
        self.heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Waits:
    """All statements of one database that were not answered at once, in the order of asking.

    `blockers(pids)` asks the server for whom each of these backends waits.
    """

    def __init__(
        self,
        loop: MachineLoop,
        blockers: Callable[[Sequence[int]], Mapping[int, Sequence[int]]],
    ) -> None:
        self._loop = loop
        self._blockers = blockers
        self._waits: dict[Any, _Wait] = {}

    async def run(self, transaction: Any, pid: int, work: Coroutine[Any, Any, T]) -> T:
        """Run a transaction's statement on the backend `pid`, be it at once or after a wait.

        Raises ProcessDead if the transaction is aborted meanwhile.
        """
        task = self._loop.create_task(work)
        self._loop.advance([task], QUICK_SECONDS)
        if task.done():
            return task.result()
        wait = self._waits[transaction] = _Wait(task, pid)
        try:
            self.settle()
            await wait.heard
        finally:
            self._waits.pop(transaction, None)
            self._give_up(task)
        return task.result()

    def abort(self, transaction: Any) -> None:
        """Give up what the transaction waits for, if it does."""
        wait = self._waits.pop(transaction, None)
        if wait is not None:
            if not wait.heard.done():
                wait.heard.set_exception(ProcessDead())
            self._give_up(wait.task)

    def settle(self) -> None:
        """Return once each statement is either done, and that is heard of, or has to wait."""
        give_up_at = machine_seconds() + LIMIT_SECONDS
        while moving := self._moving():
            self._loop.advance(moving, QUICK_SECONDS)
            if machine_seconds() > give_up_at:
                raise TimeoutError(f"statements without an answer after {LIMIT_SECONDS:.0f} s")
        for wait in self._waits.values():
            if wait.task.done() and not wait.heard.done():
                wait.heard.set_result(None)

    def _moving(self) -> list["asyncio.Task[Any]"]:
        waits = {wait.pid: wait for wait in self._waits.values() if not wait.task.done()}
        if not waits:
            return []
        blockers = self._blockers(list(waits))
        return [
            wait.task
            for pid, wait in waits.items()
            if not wait.task.done() and not _is_stuck(pid, blockers)
        ]

    def _give_up(self, task: asyncio.Task[Any]) -> None:
        if task.done():
            return
        task.cancel()
        self._loop.advance([task])
        self.settle()  # Others may have stood behind it.


def _is_stuck(
    pid: int, blockers: Mapping[int, Sequence[int]], seen: frozenset[int] = frozenset()
) -> bool:
    """Whether somebody who could go on has what it waits for; in a circle, the server fails one."""
    return any(
        other not in blockers or _is_stuck(other, blockers, seen | {pid})
        for other in blockers[pid]
        if other not in seen | {pid}
    )

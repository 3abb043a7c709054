"""The stack that the demo runs on: one that BOOKSTORE_STACK names, the one that runs in the data
folder, or one of its own.

Guarantee: a stack that the demo started is gone when the block ends, whatever ended it; one that
ran before is left as it was.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bookstore.balance import Endpoints
from bookstore.compose import ComposeStack
from bookstore.demo.screen import Screen
from bookstore.local_stack import local_stack
from bookstore.processes import Processes, SupervisedProcesses
from bookstore.target import Target, overridden, target
from stack import NotRunningError, StackError, Supervisor, is_running, read_state

JOIN_SECONDS = 90.0
POLL_SECONDS = 0.1
# Shorter than in any stack that is to last, so that nobody waits long for what a killed worker had
# in its hands. The lease ends first, so that a message that comes back finds nobody at it.
IMPATIENCE = {"VISIBILITY_SECONDS": "3", "LEASE_SECONDS": "2", "RECOMPUTE_SECONDS": "3"}


@dataclass(frozen=True, slots=True)
class Session:
    """Where the stack answers, where its logs are, and how to kill one of its processes.

    `processes` is None where they are out of reach.
    """

    endpoints: Endpoints
    logs: str
    processes: Processes | None


@contextlib.asynccontextmanager
async def open_stack(
    data_dir: Path, screen: Screen, started: list[Supervisor]
) -> AsyncIterator[Session]:
    """Join or start; raises StackError. A stack of its own is in `started` before it starts."""
    match target():
        case Target.COMPOSE:
            compose = ComposeStack(Path.cwd())
            endpoints = Endpoints.of(overridden(await compose.endpoints()))
            screen.step("the stack of Docker Compose that runs here is used")
            yield Session(endpoints, "`docker compose logs`", compose)
            return
        case Target.REMOTE:
            endpoints = Endpoints.of(overridden({}))
            screen.step(f"the stack at {endpoints.order} is used")
            yield Session(endpoints, "where that stack keeps them", None)
            return
    logs, processes = str(data_dir / "logs"), SupervisedProcesses(data_dir)
    if is_running(data_dir):
        with screen.waiting("waiting for the stack that runs here"):
            state = await _ready_state(data_dir)
        screen.step(f"a stack runs here already (pid {state['pid']}), so that one is used")
        yield Session(Endpoints.of(state["endpoints"]), logs, processes)
        return
    stack = local_stack(data_dir, service_environment=IMPATIENCE)
    for notice in stack.notices:
        screen.note(notice)
    with screen.starting([process.name for process in stack.processes]) as starting:
        supervisor = stack.supervisor(on_event=starting.on_event)
        started.append(supervisor)
        await supervisor.start()
    try:
        screen.step(
            f"stack ready in {starting.seconds:.1f} s: {len(stack.processes) - 1} processes, "
            f"logs in {data_dir / 'logs'}"
        )
        yield Session(Endpoints.of(stack.endpoints), logs, processes)
    finally:
        with screen.waiting("stopping the stack"):
            await supervisor.stop()


async def _ready_state(data_dir: Path) -> dict[str, Any]:
    """The state of a stack that may just be starting."""
    try:
        async with asyncio.timeout(JOIN_SECONDS):
            while True:
                with contextlib.suppress(NotRunningError):
                    state = read_state(data_dir)
                    if state["ready"]:
                        return state
                if not is_running(data_dir):
                    raise StackError("the stack that ran here has just ended: try again")
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise StackError(
            f"the stack that runs here is not ready after {JOIN_SECONDS:g} s: see `make status`"
        ) from None

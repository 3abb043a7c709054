"""Keeps one process alive: starts it, tells when it is ready, starts it again when it ends.

Guarantee: `ready` is set only while the present child has passed its probe; it is cleared before
anything else happens to a child that ended, so nobody is sent to a dead one.

    WAITING -> STARTING -> READY --(ends)--> BACKOFF -> STARTING ...
                  |          |                  |
                  |          `-> STOPPING       `--(too many quick crashes)--> FAILED
                  `--(first start fails)--> FAILED        any --(stop)--> STOPPED
                  `--(Completed: exit 0)--> COMPLETED     FAILED --(restart)--> STARTING
                                                          STOPPED --(resume)--> WAITING
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from stack.child import Child, Watchdog, spawn
from stack.errors import StackError, StartError
from stack.logs import ProcessLog
from stack.probes import wait_until_ready
from stack.process import Completed, Process

ERROR_TAIL_LINES = 8
# After a child ended its output is at most a pipe's buffer; somebody else may hold the pipe open.
DRAIN_SECONDS = 1.0


class State(StrEnum):
    """Where a process stands; the module's docstring draws the transitions."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    COMPLETED = "completed"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Event:
    """A change of state; `message` is for people, and empty where the state says it all."""

    process: str
    state: State
    message: str
    at: float = field(default_factory=time.time)


@dataclass
class _Attempt:
    """How one life of the child went."""

    ready: bool = False
    failure: str = ""
    exit_code: int | None = None
    pending: str = "it has not answered yet"


class Runner:
    """One declared process and its present child, if any."""

    def __init__(
        self,
        process: Process,
        depends_on: Sequence["Runner"],
        log: ProcessLog,
        watchdog: Watchdog,
        on_event: Callable[[Event], None],
    ) -> None:
        self.process = process
        self.depends_on = depends_on
        self.log = log
        self.state = State.WAITING
        self.ready = asyncio.Event()
        self.restarts = 0
        self.ready_seconds: float | None = None
        self.started_at: float | None = None
        self._watchdog = watchdog
        self._on_event = on_event
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()
        self._stopping = False
        self._restarting = False
        self._error: StackError | None = None

    @property
    def pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    def launch(self) -> None:
        """Begin; `wait_ready` tells how it went."""
        self._task = asyncio.create_task(self._run(), name=f"run-{self.process.name}")

    async def wait_ready(self) -> None:
        """Return once ready; raise what made a start fail for good (StackError)."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self.ready.is_set() or self.state in (State.FAILED, State.STOPPED)
            )
        if not self.ready.is_set():
            raise self._error or StackError(f"{self.process.name} was stopped")

    async def restart(self) -> None:
        """End the child as its declaration says, start a new one, return when that is ready."""
        if self._task is None or self._task.done() or self._stopping:
            raise StackError(f"{self.process.name} is stopped; start it first")
        if self._child is not None:
            self._restarting = True
            self.ready.clear()
            await self._terminate(self._child)
        elif self.state in (State.FAILED, State.BACKOFF, State.COMPLETED):
            self.ready.clear()
            await self._set(State.STARTING)
            self._wake.set()
        # Otherwise its first or next start is under way already.
        await self.wait_ready()

    def kill(self, number: signal.Signals) -> int:
        """Send a signal to the child; returns its pid. Raises StackError if there is none."""
        if self._child is None:
            raise StackError(f"{self.process.name} has no running process ({self.state})")
        self._child.send_signal(number)
        return self._child.pid

    async def stop(self) -> None:
        """End the child for good: its stop signal, its grace, then SIGKILL."""
        self._stopping = True
        self._wake.set()
        if self._child is not None:
            self.ready.clear()
            await self._set(State.STOPPING)
            await self._terminate(self._child)
        elif self._task is not None:
            self._task.cancel()  # It waits for a dependency, a back-off or its preparation.
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._set(State.STOPPED)

    async def resume(self) -> None:
        """Begin again after `stop`; returns when it is ready, at once if it was never stopped."""
        if self.state is State.STOPPED:
            self._stopping = False
            await self._set(State.WAITING)
            self.launch()
        await self.wait_ready()

    def kill_now(self) -> None:
        """SIGKILL the whole group and start nothing again; a `stop` under way then ends at once."""
        self._stopping = True
        self._wake.set()
        if self._child is not None:
            self._child.kill_group()

    async def _run(self) -> None:
        for dependency in self.depends_on:
            await dependency.ready.wait()
        policy = self.process.restart
        quick_crashes = 0
        was_ready = False
        while not self._stopping:
            self._restarting = False
            self._wake.clear()
            began = time.monotonic()
            attempt = await self._live_once(began)
            was_ready = was_ready or attempt.ready
            if self._stopping:
                return
            if self._restarting:
                quick_crashes = 0
                self.restarts += 1
                continue
            if isinstance(self.process.readiness, Completed) and attempt.exit_code == 0:
                await self._set(State.COMPLETED, "completed")
                self._mark_ready(began)
                await self._notify()
                await self._wake.wait()
                continue
            lived_seconds = time.monotonic() - began
            quick_crashes = quick_crashes + 1 if lived_seconds < policy.quick_crash_seconds else 1
            give_up = quick_crashes >= policy.max_quick_crashes
            if not was_ready or not policy.enabled or give_up:
                if was_ready and policy.enabled:
                    attempt.failure += f"; gave up after {quick_crashes} quick crashes"
                await self._fail(attempt.failure)
                quick_crashes = 0
                await self._wake.wait()
                continue
            delay = policy.delay_seconds(quick_crashes)
            await self._set(State.BACKOFF, f"{attempt.failure}; starting again in {delay:.3g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay)
            self.restarts += 1

    async def _live_once(self, began: float) -> _Attempt:
        """One child from its preparation to its end; returns after its group is gone."""
        attempt = _Attempt()
        await self._set(State.STARTING)
        try:
            if self.process.prepare is not None:
                await self.process.prepare()
            if self._stopping:
                return attempt
            child = spawn(self.process, self._watchdog)
        except (StackError, OSError) as error:
            attempt.failure = f"could not be started: {error}"
            return attempt
        self._child = child
        self.started_at = time.time()
        output = asyncio.create_task(child.read_output(self.log.feed))
        exited = asyncio.create_task(child.wait())
        becoming = asyncio.create_task(self._become_ready(attempt, began))
        try:
            await asyncio.wait([exited, becoming], return_when=asyncio.FIRST_COMPLETED)
            if not exited.done() and attempt.failure:
                await self._terminate(child)
            attempt.exit_code = await exited
        finally:
            self.ready.clear()
            becoming.cancel()
            exited.cancel()
            child.release()
            await asyncio.wait([output], timeout=DRAIN_SECONDS)
            output.cancel()
            self._child = None
            self.log.flush()
        if not attempt.failure:
            attempt.failure = describe_exit(attempt.exit_code, ready=attempt.ready)
        return attempt

    async def _become_ready(self, attempt: _Attempt, began: float) -> None:
        """Poll, provision, set the flag; what goes wrong is left in `attempt.failure`."""
        limit = self.process.ready_timeout_seconds

        def report(reason: str) -> None:
            attempt.pending = reason

        try:
            async with asyncio.timeout(limit):
                if self.process.readiness is not None:
                    await wait_until_ready(self.process.readiness, report)
                if self.process.provision is not None:
                    attempt.pending = "it is still being provisioned"
                    await self.process.provision()
        except TimeoutError:
            attempt.failure = f"was not ready within {limit:g} s: {attempt.pending}"
            return
        except Exception as error:  # A hook's failure is the process's: report it, keep the rest.
            attempt.failure = f"could not be made ready: {error or type(error).__name__}"
            return
        if self._stopping or self._restarting:
            return
        attempt.ready = True
        self._mark_ready(began)
        await self._set(State.READY, f"ready after {self.ready_seconds:.2f} s")

    def _mark_ready(self, began: float) -> None:
        self.ready_seconds = time.monotonic() - began
        self._error = None
        self.ready.set()

    async def _terminate(self, child: Child) -> None:
        child.send_signal(self.process.stop_signal)
        try:
            await asyncio.wait_for(child.wait(), self.process.stop_grace_seconds)
        except TimeoutError:
            grace = self.process.stop_grace_seconds
            self._event(f"did not stop within {grace:g} s; killing it")
            child.kill_group()
            await child.wait()

    async def _fail(self, reason: str) -> None:
        tail = list(self.log.tail)[-ERROR_TAIL_LINES:]
        self._error = StartError(self.process.name, reason, tail, str(self.log.path))
        await self._set(State.FAILED, reason)

    async def _set(self, state: State, message: str = "") -> None:
        self.state = state
        self._event(message)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _event(self, message: str) -> None:
        self._on_event(Event(self.process.name, self.state, message))


def describe_exit(code: int | None, *, ready: bool) -> str:
    """An exit code in words."""
    if code is None:
        return "ended"
    when = "" if ready else " before it was ready"
    if code >= 0:
        return f"exited with code {code}{when}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name}{when}"

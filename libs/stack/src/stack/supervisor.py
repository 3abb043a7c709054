"""Runs a stack of declared processes: order, readiness, restarts, logs, one clean end.

Guarantee: when `start` returns every process is ready; when `stop` returns none is left; and if the
supervisor itself is killed, its children and theirs are too (`stack.child`).
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from stack.child import Watchdog
from stack.control import ControlServer
from stack.errors import StackError, StoppedError, UnknownProcessError
from stack.logs import Console, ProcessLog
from stack.process import Process
from stack.run_lock import RunLock, remove_state, write_state
from stack.runner import Event, Runner
from stack.stop_signals import stop_signals

OWN_NAME = "stack"
LOG_DIR = "logs"
FOLLOW_BACKLOG_LINES = 10_000


class LineSink(Protocol):
    """Takes each line of each process; `stack.logs.Console` is one."""

    def write(self, name: str, line: str) -> None: ...


class Supervisor:
    """All processes of one data directory.

    `endpoints` are URLs for clients to read from `stack.json`. `sink` gets every line (None: files
    only), `on_event` every change of state. Use it as `async with`, or through `serve`.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        data_dir: Path,
        *,
        endpoints: Mapping[str, str] | None = None,
        sink: LineSink | None = None,
        on_event: Callable[[Event], None] | None = None,
        lock_hint: str = "stop it first",
    ) -> None:
        self._processes = in_dependency_order(processes)
        self.data_dir = data_dir.absolute()
        self._endpoints = dict(endpoints or {})
        self._sink = sink
        self._on_event = on_event
        self._lock = RunLock(self.data_dir, hint=lock_hint)
        self._control = ControlServer(self.data_dir, self)
        self._runners: dict[str, Runner] = {}
        self._followers: set[tuple[str | None, asyncio.Queue[tuple[str, str]]]] = set()
        self._watchdog: Watchdog | None = None
        self._own_log: ProcessLog | None = None
        self._since = ""
        self._ready = False
        self._stop_requested = asyncio.Event()

    async def __aenter__(self) -> "Supervisor":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything, each as soon as what it depends on is ready.

        Raises AlreadyRunningError, or StartError of the first process that fails, with all others
        stopped again.
        """
        self._lock.acquire(self._ports())
        try:
            self._since = time.strftime("%Y-%m-%d %H:%M:%S")
            self._own_log = self._open_log(OWN_NAME)
            self._watchdog = Watchdog()
            await self._control.start()
            self._create_runners(self._watchdog)
            for runner in self._runners.values():
                runner.launch()
            self._write_state()
            await self._all_ready()
        except BaseException:
            await self.stop()
            raise
        self._ready = True
        self._write_state()

    async def stop(self) -> None:
        """End everything, dependents before what they depend on. A second call does nothing."""
        self._ready = False
        self._stop_requested.set()
        if self._runners:
            self._write_state()
        stopping: dict[str, asyncio.Task[None]] = {}

        async def stop_one(runner: Runner) -> None:
            dependents = [
                stopping[name]
                for name, other in self._runners.items()
                if runner in other.depends_on
            ]
            if dependents:
                await asyncio.wait(dependents)
            await runner.stop()

        # Reversed, so that a dependent's task exists before its dependency's looks for it.
        for name, runner in reversed(self._runners.items()):
            stopping[name] = asyncio.create_task(stop_one(runner))
        if stopping:
            await asyncio.gather(*stopping.values())
        await self._close()

    def kill_now(self) -> None:
        """SIGKILL every process; a `stop` under way then ends at once."""
        for runner in self._runners.values():
            runner.kill_now()

    def request_stop(self) -> None:
        """Let `wait` return; whoever waits there stops the stack."""
        self._stop_requested.set()

    async def wait(self) -> None:
        """Until somebody asks for the end."""
        await self._stop_requested.wait()

    async def restart(self, name: str) -> None:
        """Restart one process; returns when it is ready again, raises StartError if it is not."""
        await self._runner(name).restart()

    async def halt(self, name: str) -> None:
        """Stop one process until `resume`; whoever depends on it goes on as in an outage."""
        await self._runner(name).stop()

    async def resume(self, name: str) -> None:
        """Start a halted process; returns when it is ready, raises StartError if it is not."""
        await self._runner(name).resume()

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to one process, as a test of what follows; returns its pid."""
        return self._runner(name).kill(number)

    async def wait_ready(self, name: str) -> None:
        """Until the process is ready (again); raises StartError once it has failed for good."""
        await self._runner(name).wait_ready()

    def is_ready(self, name: str) -> bool:
        return self._runner(name).ready.is_set()

    def pid(self, name: str) -> int | None:
        return self._runner(name).pid

    def status(self) -> dict[str, Any]:
        """What `stack.json` holds; see `stack.run_lock.read_state`."""
        return {
            "pid": os.getpid(),
            "since": self._since,
            "control": str(self._control.path),
            "ready": self._ready,
            "endpoints": self._endpoints,
            "ports": self._ports(),
            "processes": {name: _describe(runner) for name, runner in self._runners.items()},
        }

    def log_tail(self, name: str | None, lines: int) -> list[tuple[str, str]]:
        """The last lines of one process, or of each."""
        names = [self._runner(name).process.name] if name else list(self._runners)
        return [
            (each, line) for each in names for line in list(self._runners[each].log.tail)[-lines:]
        ]

    def follow_logs(self, name: str | None) -> AsyncIterator[tuple[str, str]]:
        """Lines from now on, as (process, line). A reader that falls far behind misses lines."""
        if name:
            self._runner(name)
        queue: asyncio.Queue[tuple[str, str]] = asyncio.Queue(FOLLOW_BACKLOG_LINES)
        follower = (name, queue)
        self._followers.add(follower)

        async def follow() -> AsyncIterator[tuple[str, str]]:
            try:
                while True:
                    yield await queue.get()
            finally:
                self._followers.discard(follower)

        return follow()

    def _runner(self, name: str) -> Runner:
        try:
            return self._runners[name]
        except KeyError:
            known = ", ".join(self._runners)
            raise UnknownProcessError(f"no process {name!r}: there are {known}") from None

    def _create_runners(self, watchdog: Watchdog) -> None:
        for process in self._processes:
            self._runners[process.name] = Runner(
                process,
                [self._runners[name] for name in process.depends_on],
                self._open_log(process.name),
                watchdog,
                self._on_runner_event,
            )

    async def _all_ready(self) -> None:
        """The first failure wins; a request to stop counts as one."""
        waits = [asyncio.create_task(each.wait_ready()) for each in self._runners.values()]
        stopped = asyncio.create_task(self._stop_requested.wait())
        try:
            while not all(each.done() and each.exception() is None for each in waits):
                pending: list[asyncio.Task[Any]] = [each for each in waits if not each.done()]
                await asyncio.wait([*pending, stopped], return_when=asyncio.FIRST_COMPLETED)
                if stopped.done():
                    raise StoppedError("stopped before everything was ready")
                for each in waits:
                    if each.done():
                        each.result()
        finally:
            for task in (*waits, stopped):
                task.cancel()
            await asyncio.gather(*waits, stopped, return_exceptions=True)

    async def _close(self) -> None:
        await self._control.close()
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None
        for runner in self._runners.values():
            runner.log.close()
        self._runners = {}
        if self._own_log is not None:
            self._own_log.close()
            self._own_log = None
        remove_state(self.data_dir)
        self._lock.release()

    def _open_log(self, name: str) -> ProcessLog:
        path = self.data_dir / LOG_DIR / f"{name}.log"
        return ProcessLog(path, lambda line: self._on_line(name, line))

    def _on_line(self, name: str, line: str) -> None:
        if self._sink is not None:
            self._sink.write(name, line)
        for wanted, queue in self._followers:
            if wanted in (None, name):
                with contextlib.suppress(asyncio.QueueFull):
                    queue.put_nowait((name, line))

    def _on_runner_event(self, event: Event) -> None:
        if self._own_log is not None and event.message:
            moment = time.strftime("%H:%M:%S", time.localtime(event.at))
            self._own_log.feed(f"{moment} {event.process} {event.message}\n".encode())
        self._write_state()
        if self._on_event is not None:
            self._on_event(event)

    def _write_state(self) -> None:
        write_state(self.data_dir, self.status())

    def _ports(self) -> dict[str, int]:
        return {each.name: each.port for each in self._processes if each.port is not None}


def _describe(runner: Runner) -> dict[str, Any]:
    return {
        "state": runner.state.value,
        "ready": runner.ready.is_set(),
        "pid": runner.pid,
        "restarts": runner.restarts,
        "port": runner.process.port,
        "started_at": runner.started_at,
        "ready_seconds": runner.ready_seconds,
        "log": str(runner.log.path),
    }


def in_dependency_order(processes: Sequence[Process]) -> list[Process]:
    """Dependencies first; StackError for a name that is double, unknown or part of a cycle."""
    by_name = {process.name: process for process in processes}
    if len(by_name) < len(processes) or OWN_NAME in by_name:
        raise StackError(f"process names must be unique and not {OWN_NAME!r}")
    ordered: dict[str, Process] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise StackError(f"processes depend on each other: {' -> '.join((*path, name))}")
        if name not in by_name:
            raise StackError(f"{path[-1]} depends on {name!r}, which is not in the stack")
        if name not in ordered:
            for dependency in by_name[name].depends_on:
                visit(dependency, (*path, name))
            ordered[name] = by_name[name]

    for name in by_name:
        visit(name, ())
    return list(ordered.values())


async def serve(
    supervisor: Supervisor, on_ready: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Run the stack until Ctrl-C, SIGTERM, a closed terminal or a `stop` command.

    A second Ctrl-C kills what is still stopping. `on_ready` runs once everything is ready.
    """

    def stop() -> None:
        supervisor.request_stop()
        _say("stopping the stack ... (Ctrl-C again kills it)")

    def kill() -> None:
        _say("killing the stack")
        supervisor.kill_now()

    with stop_signals(stop, kill):
        try:
            # Asking for the end while it starts is no error.
            with contextlib.suppress(StoppedError):
                await supervisor.start()
                await _first_of(supervisor.wait(), _ready_then_forever(on_ready))
        finally:
            await supervisor.stop()


async def _ready_then_forever(on_ready: Callable[[], Awaitable[None]] | None) -> None:
    if on_ready is not None:
        await on_ready()
    await asyncio.Event().wait()


async def _first_of(*waits: Coroutine[Any, Any, None]) -> None:
    """Until one ends; its exception is raised, the others are cancelled."""
    tasks = [asyncio.create_task(each) for each in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(f"\n{text}", file=sys.stderr, flush=True)  # noqa: T201 - the answer to a key press


def console_for(processes: Sequence[Process]) -> Console:
    """A terminal sink that knows the processes' names and colours."""
    names: dict[str, str | None] = {process.name: process.color for process in processes}
    return Console({**names, OWN_NAME: "white"})

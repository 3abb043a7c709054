"""The participant's processes: started, killed and drained as its manifest says.

Guarantee: none outlives the kit (`stack.child`); what ended and how is known exactly, since nothing
here starts a process again by itself.
"""

import asyncio
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from conformance.errors import ConformanceError
from conformance.manifest import Manifest, ProcessSpec
from conformance.surroundings import HOST, Surroundings
from conformance.templates import fill
from conformance.verdicts import Failed
from stack import HttpReady, PortAllocator, Process, StackError, find_node
from stack.child import Child, Watchdog, spawn
from stack.logs import ProcessLog
from stack.probes import wait_until_ready

READY_SECONDS = 30.0
MIGRATE_SECONDS = 60.0
LOG_LINES = 6


@dataclass
class Running:
    """A process at work; `exited` has its code, or minus the signal's number."""

    name: str
    child: Child
    log: ProcessLog
    output: asyncio.Task[None]
    exited: asyncio.Task[int]


class Instance:
    """One copy of the participant: all its processes, on ports that stay the same."""

    def __init__(self, manifest: Manifest, number: int, ports: PortAllocator) -> None:
        self._manifest = manifest
        self._number = number
        self._ports = {spec.name: ports.pick() for spec in manifest.processes}
        self._around: Surroundings | None = None
        self._watchdog: Watchdog | None = None
        self._running: list[Running] = []

    @property
    def url(self) -> str:
        """Where its first process answers."""
        return self._url(self._manifest.processes[0])

    @property
    def urls(self) -> list[str]:
        """Where each process answers that is told its port."""
        return [self._url(spec) for spec in self._manifest.processes if self._has_port(spec)]

    @property
    def is_running(self) -> bool:
        """Whether every process lives."""
        return bool(self._running) and not any(each.exited.done() for each in self._running)

    def stand_on(self, around: Surroundings, watchdog: Watchdog) -> None:
        """Say what it starts on; once, before anything else."""
        self._around = around
        self._watchdog = watchdog

    async def migrate(self) -> None:
        """Bring its database's schema up to date; raises Failed."""
        if self._manifest.migrate is None:
            return
        spec = ProcessSpec(name="migrate", command=self._manifest.migrate)
        running = self._spawn(spec)
        try:
            async with asyncio.timeout(MIGRATE_SECONDS):
                code = await running.exited
        except TimeoutError:
            code = None
        finally:
            await self._release(running)
        if code != 0:
            raise Failed("its migration to end with 0", f"{code}; {_tail(running)}")

    async def start(self) -> None:
        """Start every process; returns when all are ready, raises Failed."""
        await self.kill()
        self._running = [self._spawn(spec) for spec in self._manifest.processes]
        for url in self.urls:
            await self._ready(f"{url}{self._manifest.ready}")

    async def kill(self) -> None:
        """SIGKILL, without a word of warning."""
        for running in self._running:
            running.child.kill_group()
        for running in self._running:
            await running.exited
            await self._release(running)
        self._running = []

    def freeze(self) -> None:
        """SIGSTOP: it stands still, as a machine does that swaps, until `thaw`."""
        for running in self._running:
            running.child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        for running in self._running:
            running.child.send_signal(signal.SIGCONT)

    async def drain(self, seconds: float) -> Mapping[str, int | None]:
        """SIGTERM; each process's exit code, None where it had to be killed after that long."""
        for running in self._running:
            running.child.send_signal(signal.SIGTERM)
        exits = [running.exited for running in self._running]
        await asyncio.wait(exits, timeout=seconds)
        codes = {
            running.name: running.exited.result() if running.exited.done() else None
            for running in self._running
        }
        await self.kill()
        return codes

    def last_words(self) -> str:
        """The end of what its processes have written, for a verdict."""
        return "; ".join(_tail(running) for running in self._running) or "nothing"

    async def _ready(self, url: str) -> None:
        reasons: list[str] = []
        probing = asyncio.create_task(wait_until_ready(HttpReady(url), reasons.append))
        exits = [running.exited for running in self._running]
        try:
            await asyncio.wait(
                [probing, *exits], timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if probing.done() and self.is_running:
                return
        finally:
            probing.cancel()
        why = (reasons or ["it has not answered"])[-1] if self.is_running else "a process ended"
        raise Failed(
            f"GET {url} to answer 200 in {READY_SECONDS:g} s", f"{why}; {self.last_words()}"
        )

    def _spawn(self, spec: ProcessSpec) -> Running:
        assert self._around is not None
        assert self._watchdog is not None
        values = self._values(spec)

        def value_of(name: str) -> str:
            if name in values:
                return values[name]
            raise ConformanceError(
                f"{self._manifest.name}: nothing is known as {{{name}}} in {spec.name}: "
                f"there is {', '.join(sorted(values))} (`needs` adds servers)"
            )

        process = Process(
            name=spec.name,
            argv=tuple(str(each) for each in fill(spec.command, value_of)),
            env={
                **self._around.environment,
                **fill(self._manifest.env, value_of),
                **fill(spec.env, value_of),
            },
            cwd=self._manifest.folder,
        )
        log = ProcessLog(
            self._around.folder / "logs" / f"{spec.name}-{self._number}.log", lambda line: None
        )
        try:
            child = spawn(process, self._watchdog)
        except StackError as error:
            log.close()
            raise ConformanceError(f"{self._manifest.name}: {error}") from None
        return Running(
            spec.name,
            child,
            log,
            asyncio.create_task(child.read_output(log.feed)),
            asyncio.create_task(child.wait()),
        )

    async def _release(self, running: Running) -> None:
        running.child.release()
        await asyncio.wait([running.output], timeout=1)
        running.output.cancel()
        running.log.close()

    def _values(self, spec: ProcessSpec) -> dict[str, str]:
        assert self._around is not None
        return {
            **self._around.placeholders,
            "python": sys.executable,
            "node": str(find_node()),
            "here": str(self._manifest.folder),
            "port": str(self._ports.get(spec.name, 0)),
            "url": self.url,
            "instance": str(self._number),
        }

    def _has_port(self, spec: ProcessSpec) -> bool:
        texts = [*spec.command, *spec.env.values(), *self._manifest.env.values()]
        return any("{port}" in text for text in texts)

    def _url(self, spec: ProcessSpec) -> str:
        return f"http://{HOST}:{self._ports[spec.name]}"


def _tail(running: Running) -> str:
    running.log.flush()
    lines = [line.strip() for line in list(running.log.tail)[-LOG_LINES:] if line.strip()]
    return f"{running.name} says: {' / '.join(lines)[:600] or 'nothing'}"

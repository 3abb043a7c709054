"""Starts an operating system process that cannot outlive this one.

Guarantee: a child dies with its parent, also after the parent's SIGKILL: on Linux the kernel kills
it (PR_SET_PDEATHSIG), and everywhere the watchdog kills its whole group, grandchildren included.

Linux binds the death signal to the parent *thread*, so children are spawned by the main thread
alone; and it clears the signal when the user id changes, so the child asks for it after that change
(`subprocess` calls `preexec_fn` last).
"""

import asyncio
import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from stack import watchdog
from stack.errors import StackError
from stack.process import Process

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
MAX_OPEN_FILES = 65_536
READ_CHUNK_BYTES = 65_536

# Resolved here, since a forked child must not load libraries.
_PRCTL = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


class Watchdog:
    """The parent's end of `stack.watchdog`: a register of process groups."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(watchdog.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def add(self, group: int) -> None:
        self._write(f"+{group}\n")

    def discard(self, group: int) -> None:
        self._write(f"-{group}\n")

    def close(self) -> None:
        """End the watchdog; groups still registered are killed."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait(timeout=10)

    def _write(self, line: str) -> None:
        if self._process.stdin is None:
            return
        # Somebody killed the watchdog: the kernel's death signal remains.
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()


class Child:
    """A running process in a session of its own, its output readable as one stream."""

    def __init__(self, popen: subprocess.Popen[bytes], watchdog: Watchdog) -> None:
        self.pid = popen.pid
        self._popen = popen
        self._watchdog = watchdog
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[int] = self._loop.create_future()
        threading.Thread(target=self._reap, name=f"wait-{popen.pid}", daemon=True).start()

    async def wait(self) -> int:
        """The exit code, or minus the number of the signal that ended it."""
        return await asyncio.shield(self._exited)

    def send_signal(self, number: signal.Signals) -> None:
        """Signal the process itself; nothing happens if it has ended."""
        if not self._exited.done():
            with contextlib.suppress(ProcessLookupError):
                self._popen.send_signal(number)

    def kill_group(self) -> None:
        """SIGKILL the process and whatever it started and left in its session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def release(self) -> None:
        """Kill what is left of the group, and take it off the watchdog's register."""
        self.kill_group()
        self._watchdog.discard(self.pid)

    async def read_output(self, consume: Callable[[bytes], None]) -> None:
        """Hand over standard output and error, in pieces as they come, until both are closed."""
        reader = asyncio.StreamReader(loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        transport, _ = await self._loop.connect_read_pipe(lambda: protocol, self._popen.stdout)
        try:
            while chunk := await reader.read(READ_CHUNK_BYTES):
                consume(chunk)
        finally:
            transport.close()

    def _reap(self) -> None:
        code = self._popen.wait()
        # The loop is closed when the whole program is ending; then nobody waits for the answer.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._set_exited, code)

    def _set_exited(self, code: int) -> None:
        if not self._exited.done():
            self._exited.set_result(code)


def spawn(process: Process, watchdog: Watchdog) -> Child:
    """Start `process`. Raises StackError if its program or working directory is missing."""
    if threading.current_thread() is not threading.main_thread():
        raise StackError(
            f"{process.name}: start the stack from the main thread, because its children "
            "die with the thread that started them"
        )
    try:
        popen = subprocess.Popen(
            process.argv,
            env=process.environment(),
            cwd=process.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=process.uid,
            group=process.uid,
            extra_groups=None if process.uid is None else [],
            preexec_fn=_child_setup(os.getpid()),
            bufsize=0,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StackError(f"{process.name} cannot start {process.argv[0]}: {error}") from error
    watchdog.add(popen.pid)
    return Child(popen, watchdog)


def _child_setup(parent_pid: int) -> Callable[[], None]:
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files = MAX_OPEN_FILES
    if hard_limit != resource.RLIM_INFINITY:
        open_files = min(open_files, hard_limit)

    def setup() -> None:
        if _PRCTL is not None:
            _PRCTL(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
            # The parent may have died between the fork and the request.
            if os.getppid() != parent_pid:
                os._exit(1)
        # A burst of connections must not end at the usual soft limit of 1,024 files.
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, hard_limit))

    return setup

"""The declaration of one supervised process: plain data, which nothing here acts on.

Guarantee: a declaration is immutable and complete; a process is run by it alone, whatever the
user's own environment holds (a stray AWS_PROFILE must not lead a local stack to a real account).
"""

import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

# What a child takes over from the user's environment; everything else must be declared.
INHERITED_VARIABLES = (
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TERM",
    "TMPDIR",
    "VIRTUAL_ENV",
    "NO_COLOR",
    "COVERAGE_PROCESS_START",
)


@dataclass(frozen=True)
class HttpReady:
    """Ready once a GET on `url` (http, host and port explicit) answers 2xx."""

    url: str


@dataclass(frozen=True)
class TcpReady:
    """Ready once a connection is accepted."""

    port: int
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class Completed:
    """Ready once the process has ended with exit code 0: a step that others wait for."""


Hook: TypeAlias = Callable[[], Awaitable[None]]
Probe: TypeAlias = HttpReady | TcpReady | Completed | Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class RestartPolicy:
    """When and how fast a process that ended is started again.

    The delay doubles from `initial_delay_seconds` up to `max_delay_seconds`. A crash is quick when
    it comes within `quick_crash_seconds` of the start; after `max_quick_crashes` of them in a row
    the supervisor gives up: a process that cannot live needs a person and not another start.
    """

    enabled: bool = True
    initial_delay_seconds: float = 0.1
    max_delay_seconds: float = 10.0
    quick_crash_seconds: float = 10.0
    max_quick_crashes: int = 5

    def delay_seconds(self, quick_crashes: int) -> float:
        """The pause before the next start, after this many quick crashes in a row (from 1)."""
        return min(self.initial_delay_seconds * 2.0 ** (quick_crashes - 1), self.max_delay_seconds)


NEVER = RestartPolicy(enabled=False)


@dataclass(frozen=True)
class Process:
    """One process of the stack.

    `prepare` runs before each start, `provision` after each time the probe passes and before
    dependents are let go; both must be idempotent, and either may raise StackError.
    `uid` is the user to run as (only root can choose one). `port` is for display.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    readiness: Probe | None = None
    ready_timeout_seconds: float = 30.0
    depends_on: tuple[str, ...] = ()
    cwd: Path | None = None
    restart: RestartPolicy = RestartPolicy()
    stop_signal: signal.Signals = signal.SIGTERM
    stop_grace_seconds: float = 10.0
    color: str | None = None
    port: int | None = None
    uid: int | None = None
    prepare: Hook | None = None
    provision: Hook | None = None

    def environment(self) -> dict[str, str]:
        """The whole environment of the child."""
        inherited = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
        # Python buffers a pipe; a line must show in the log when it is written.
        return {**inherited, "PYTHONUNBUFFERED": "1", **self.env}

"""One supervisor a data directory, and the file by which others find it.

Guarantee: the lock is the kernel's (flock), so it is free the moment its holder is gone; what a
killed supervisor leaves in the files misleads nobody. `stack.json` appears and changes atomically
and only its owner can read it, since its URLs carry passwords.
"""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any, TextIO

from stack.errors import AlreadyRunningError, NotRunningError, StackError

LOCK_FILE = "stack.lock"
STATE_FILE = "stack.json"


class RunLock:
    """Held by the supervisor from before its first child until after its last."""

    def __init__(self, data_dir: Path, *, hint: str = "stop it first") -> None:
        self._path = data_dir / LOCK_FILE
        self._hint = hint
        self._file: TextIO | None = None

    def acquire(self, ports: dict[str, int]) -> None:
        """Take the lock, or raise AlreadyRunningError with who has it, since when and where."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.open("a+")
        except OSError as error:
            raise StackError(f"cannot write to the data directory: {error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read(file)
            file.close()
            raise AlreadyRunningError(f"a stack already runs ({holder}): {self._hint}") from None
        file.seek(0)
        file.truncate()
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        json.dump({"pid": os.getpid(), "since": since, "ports": ports}, file)
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


def _read(file: TextIO) -> str:
    file.seek(0)
    try:
        holder = json.load(file)
    except ValueError:
        return "it is just starting"
    ports = ", ".join(f"{name} {port}" for name, port in holder["ports"].items())
    return f"pid {holder['pid']}, since {holder['since']}, ports: {ports or 'none'}"


def is_running(data_dir: Path) -> bool:
    """Whether a supervisor holds this data directory now."""
    try:
        with (data_dir / LOCK_FILE).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def read_state(data_dir: Path) -> dict[str, Any]:
    """What the running supervisor has written; raises NotRunningError if there is none.

    Keys: pid, since, control (socket path), ready (bool), endpoints {name: url},
    ports {name: port}, processes {name: {state, pid, restarts, port, ready_seconds, log}}.
    """
    if is_running(data_dir):
        try:
            state: dict[str, Any] = json.loads((data_dir / STATE_FILE).read_text())
            return state
        except FileNotFoundError:
            raise NotRunningError(f"the stack in {data_dir} is just starting: try again") from None
    raise NotRunningError(f"no stack runs in {data_dir}")


def write_state(data_dir: Path, state: dict[str, Any]) -> None:
    """Replace the state file, by rename, readable to its owner alone."""
    temporary = data_dir / f"{STATE_FILE}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(state, file, indent=2)
        file.write("\n")
    os.replace(temporary, data_dir / STATE_FILE)


def remove_state(data_dir: Path) -> None:
    (data_dir / STATE_FILE).unlink(missing_ok=True)

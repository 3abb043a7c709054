"""What can go wrong with a local stack, each with a code and one line that says what to do."""

from collections.abc import Sequence


class StackError(Exception):
    """Anything that the user should read as a message rather than as a traceback."""

    code = "stack_error"


class PortTakenError(StackError):
    """A port that somebody asked for by number belongs to another process."""

    code = "port_taken"


class AlreadyRunningError(StackError):
    """Another supervisor holds the data directory's lock."""

    code = "already_running"


class NotRunningError(StackError):
    """There is no supervisor to talk to in this data directory."""

    code = "not_running"


class StoppedError(StackError):
    """Somebody asked for the end while the stack was still starting."""

    code = "stopped"


class UnknownProcessError(StackError):
    """A command named a process that the stack does not have."""

    code = "unknown_process"


class MissingServerError(StackError):
    """A server's binary is not installed in the virtual environment where it belongs."""

    code = "missing_server"


class StartError(StackError):
    """A process ended, or stayed unready, when it had to become ready.

    `str()` is one line followed by the process's last log lines, each behind its name.
    """

    code = "not_started"

    def __init__(self, process: str, reason: str, log_tail: Sequence[str], log_path: str) -> None:
        self.process = process
        self.reason = reason
        self.log_tail = tuple(log_tail)
        lines = [f"{process} {reason} (log: {log_path})"]
        lines += [f"  {process} | {line}" for line in log_tail]
        super().__init__("\n".join(lines))

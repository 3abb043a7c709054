"""Runs a service's module so that it dies, or freezes, where somebody outside has asked it to.

    python -m faults.barriers CONTROL_FOLDER NAME MODULE [ARGUMENT ...]

Guarantee: until a barrier is armed the process does what `python -m MODULE` does; an armed barrier
fires once, at exactly that point; the process that comes after it is not hit again.

The points are the ways out of the process, each before the call and after its answer:

    commit                              the COMMIT of a transaction
    put_events, receive, delete         the bus and the queue; delete stands for its batches
    claim, mark                         the ledger of messages; keys of HTTP requests are claims
    extend, release, ...                every other call of AWS, by its name in small letters
    gateway_get, gateway_post           requests to the payment gateway

Whoever controls it writes `{"barrier": "commit:after", "nth": 3, "signal": "SIGKILL"}` to
NAME.barrier in the folder (`arm`). The process that takes the file away is the one that sends
itself the signal, and nobody else (`disarm`). In the same way NAME.clock holds by how many seconds
the process's clock is wrong (`faults.clock_shift`).

The wrapping is done from outside, on classes of the libraries that every service uses.
"""

import json
import os
import runpy
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from faults import clock_shift

USAGE = "usage: python -m faults.barriers CONTROL_FOLDER NAME MODULE [ARGUMENT ...]"
# Several calls do the same for the product, or are long: what they are called here.
_AWS_NAMES = {
    "PutEvents": "put_events",
    "ReceiveMessage": "receive",
    "DeleteMessageBatch": "delete",
    "BatchExecuteStatement": "claim",
    "BatchWriteItem": "mark",
    "ChangeMessageVisibility": "retry_later",
    "ChangeMessageVisibilityBatch": "extend",
    "SendMessage": "send",
    "UpdateItem": "take_over",
    "DeleteItem": "release",
}

Call = Callable[..., Awaitable[Any]]


def main(argv: list[str]) -> None:
    """Wrap, then become the module."""
    if len(argv) < 3:
        sys.exit(USAGE)
    folder, name, module, *arguments = argv
    # Compiled code takes the real `datetime` for the only one, so it is loaded before.
    import asyncpg  # noqa: F401

    # Whoever imports `time` and `datetime` from here on gets the wrong clock.
    clock_shift.install(clock_file(Path(folder), name))
    install(Barrier(barrier_file(Path(folder), name)))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def barrier_file(folder: Path, name: str) -> Path:
    """Where a barrier of the process is armed."""
    return folder / f"{name}.barrier"


def clock_file(folder: Path, name: str) -> Path:
    """Where the process's clock is set wrong."""
    return folder / f"{name}.clock"


def arm(
    folder: Path,
    name: str,
    barrier: str,
    nth: int,
    number: signal.Signals = signal.SIGKILL,
) -> None:
    """Let the process send itself the signal when it comes to the barrier for the nth time."""
    order = {"barrier": barrier, "nth": nth, "signal": number.name}
    write(barrier_file(folder, name), json.dumps(order))


def disarm(folder: Path, name: str) -> bool:
    """Call it off; False if it was too late, because the barrier has fired."""
    return _take(barrier_file(folder, name))


def write(path: Path, text: str) -> None:
    """As a whole: whoever reads it never sees half of it."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(text)
    temporary.replace(path)


def _take(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


class Barrier:
    """Fires at the armed point; looks at the file's time stamp at each point, which costs 1 µs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._armed_at = 0
        self._wanted = ""
        self._left = 0
        self._signal = signal.SIGKILL

    def reach(self, point: str) -> None:
        """Return, or do not."""
        try:
            armed_at = os.stat(self._path).st_mtime_ns
        except FileNotFoundError:
            return
        if armed_at != self._armed_at:
            try:
                order = json.loads(self._path.read_bytes())
            except FileNotFoundError:
                return
            self._armed_at = armed_at
            self._wanted, self._left = str(order["barrier"]), int(order["nth"])
            self._signal = signal.Signals[order["signal"]]
        if point != self._wanted:
            return
        self._left -= 1
        if self._left <= 0 and _take(self._path):
            os.kill(os.getpid(), self._signal)

    def around(self, call: Call, point_of: Callable[..., str]) -> Call:
        """The call with a point before it and one after its answer; errors have no point."""

        async def passing(*args: Any, **kwargs: Any) -> Any:
            point = point_of(*args, **kwargs)
            self.reach(f"{point}:before")
            answer = await call(*args, **kwargs)
            self.reach(f"{point}:after")
            return answer

        return passing


def install(barrier: Barrier) -> None:
    """Wrap the ways out of this process."""
    import asyncpg.transaction
    from aiobotocore.httpsession import AIOHTTPSession

    from chassis.connections import HttpConnections

    def commit(_transaction: Any) -> str:
        return "commit"

    def hot(_connections: Any, method: str, _target: str, headers: Any, _body: bytes) -> str:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        return _aws_point(operation) if operation else f"gateway_{method.lower()}"

    def cold(_session: Any, request: Any) -> str:
        target = request.headers.get("X-Amz-Target", b"unknown")
        text = target.decode() if isinstance(target, bytes) else str(target)
        return _aws_point(text.rpartition(".")[2])

    for owner, name, point_of in (
        (asyncpg.transaction.Transaction, "commit", commit),
        (HttpConnections, "request", hot),
        (AIOHTTPSession, "send", cold),
    ):
        setattr(owner, name, barrier.around(getattr(owner, name), point_of))


def _aws_point(operation: str) -> str:
    return _AWS_NAMES.get(operation, operation.lower())


if __name__ == "__main__":
    main(sys.argv[1:])

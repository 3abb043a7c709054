"""Sets the clock of this process wrong while it runs, by as much as a file says.

Guarantee: `time.time`, `time.time_ns`, `datetime.now` and `datetime.utcnow` of all Python code that
is imported after `install` agree with each other and are off by the seconds in the file, which may
change at any time; without the file they are right. Monotonic clocks are never touched, as on a
machine whose clock is stepped.

Not covered: clocks that are read below Python (the event loop's, a Rust extension's, a database's).
"""

import contextlib
import datetime
import importlib
import time
from pathlib import Path
from typing import Any

# How old the answer to "what does the file say?" may be.
LOOK_SECONDS = 0.05

_real_time = time.time
_real_time_ns = time.time_ns
_RealDatetime = datetime.datetime


# Extensions that make a datetime while they are imported, and check that it is of the class that
# they find.
NEED_THE_REAL_ONE = ("tantivy",)


class Shift:
    """By how much the clock is wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_at = float("-inf")
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """Positive: ahead of the true time."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            try:
                self._seconds = float(self._path.read_text())
            except FileNotFoundError:
                self._seconds = 0.0
        return self._seconds


class _LooksReal(type):
    """What the interpreter and extensions make are real ones; both are instances of either."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _RealDatetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _RealDatetime)


def install(path: Path) -> None:
    """Replace the clocks; call it before anything else is imported."""
    for extension in NEED_THE_REAL_ONE:
        with contextlib.suppress(ImportError):
            importlib.import_module(extension)
    shift = Shift(path)

    def shifted_time() -> float:
        return _real_time() + shift.seconds

    def shifted_time_ns() -> int:
        return _real_time_ns() + int(shift.seconds * 1e9)

    class ShiftedDatetime(_RealDatetime, metaclass=_LooksReal):
        """`datetime` whose present is wrong; everything it makes is a real one."""

        __slots__ = ()

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return _RealDatetime(*args, **kwargs)

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return _RealDatetime.fromtimestamp(shifted_time(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return _RealDatetime.fromtimestamp(shifted_time(), datetime.UTC).replace(tzinfo=None)

    for name in ("fromtimestamp", "fromisoformat", "strptime", "combine", "utcfromtimestamp"):
        setattr(ShiftedDatetime, name, getattr(_RealDatetime, name))
    for owner, name, clock in (
        (time, "time", shifted_time),
        (time, "time_ns", shifted_time_ns),
        (datetime, "datetime", ShiftedDatetime),
    ):
        setattr(owner, name, clock)

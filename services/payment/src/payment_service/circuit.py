"""A circuit breaker: calls stop for a while when the gateway has stopped answering.

Guarantee: while it is open nobody waits for the gateway, and one caller at a time finds out
whether it is back.

              `failures` in a row                 `open_seconds` later
    CLOSED ---------------------------> OPEN ---------------------------> HALF_OPEN
       ^                                 ^                                  |   |
       |                                 +---------- the probe fails -------+   |
       +---------------------------- the probe succeeds ------------------------+
"""

import asyncio
import enum
import random
from collections.abc import Callable

from messaging import RetryLater


class State(enum.Enum):
    """Where the breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitOpen(RetryLater):
    """The gateway is not asked at all at present: the message waits, and nothing has failed."""


class Circuit:
    """Counts consecutive failures; `clock` is monotonic seconds, by default the running loop's."""

    def __init__(
        self,
        *,
        failures: int,
        open_seconds: float,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._limit = failures
        self._open_seconds = open_seconds
        self._clock = clock or _loop_seconds
        self._failed = 0
        self._open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """Open turns to half-open by the passing of time alone."""
        if self._open_until is None:
            return State.CLOSED
        return State.OPEN if self._clock() < self._open_until else State.HALF_OPEN

    def check(self) -> None:
        """Raise CircuitOpen where a call would have no chance now."""
        state = self.state
        if state is State.OPEN or (state is State.HALF_OPEN and self._probing):
            remaining = max((self._open_until or 0.0) - self._clock(), 0.5)
            # Jitter, so that what waited does not return all at once.
            raise CircuitOpen("the gateway is not answering", remaining * random.uniform(1.0, 1.5))

    def enter(self) -> None:
        """Begin a call, whose end one of the three methods below must tell; raises CircuitOpen."""
        self.check()
        self._probing = self.state is State.HALF_OPEN

    def succeeded(self) -> None:
        """The gateway answered, if only to refuse."""
        self._failed = 0
        self._open_until = None
        self._probing = False

    def failed(self) -> None:
        """The gateway gave no usable answer."""
        self._failed += 1
        if self._failed >= self._limit or self._probing:
            self._open_until = self._clock() + self._open_seconds
        self._probing = False

    def abandoned(self) -> None:
        """The caller gave up before there was an answer: that says nothing about the gateway."""
        self._probing = False


def _loop_seconds() -> float:
    return asyncio.get_running_loop().time()

"""The gate: every operation of a process on something outside of it passes through here.

Guarantee: none of its own. Whoever keeps state in memory (database, bus, queues, gateway) hands
each effect to the gate of the process that asks for it; the gate decides when and whether it
happens, and what the process hears of it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class ProcessDead(BaseException):
    """The process that asks has been killed: nothing of it may touch the world any more."""


class Gate(Protocol):
    """One incarnation's way to the outside."""

    async def call(
        self,
        operation: str,
        detail: Sequence[str],
        effect: Callable[[str | None], T],
        *,
        error: Callable[[str], BaseException],
        twists: Sequence[str] = (),
    ) -> T:
        """Let `effect` happen and return its answer.

        `operation`: what is done, such as 'commit' or 'put_events'. `detail`: what it is done to:
        names of messages, tables or paths that tell this call from others of its kind. `effect` is
        synchronous, so that it happens as a whole, at one moment; it is given the twist that it
        has to perform, one of `twists`, or None. `error(reason)` makes the exception with which a
        real client reports that the other side could not be reached or that its answer was lost.

        Raises what `error` makes, what `effect` raises, or ProcessDead.
        """
        ...


class OpenGate:
    """Lets everything through at once: for tests of what stands behind a gate."""

    async def call(
        self,
        operation: str,
        detail: Sequence[str],
        effect: Callable[[str | None], T],
        *,
        error: Callable[[str], BaseException],
        twists: Sequence[str] = (),
    ) -> Any:
        """The effect, untwisted."""
        return effect(None)

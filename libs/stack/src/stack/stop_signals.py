"""What Ctrl-C, SIGTERM and a closed terminal do to a stack: end it, the second time kill it.

Guarantee: one press is one request, however many signals come of it. A terminal sends Ctrl-C to
every process in its foreground, and a parent such as make passes its own on to its children.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Copies of one press come within milliseconds; nobody presses twice on purpose this fast.
ECHO_SECONDS = 0.5


@contextlib.contextmanager
def stop_signals(stop: Callable[[], None], kill: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first signal and `kill` at each that comes ECHO_SECONDS later or more."""
    loop = asyncio.get_running_loop()
    stopped_at: float | None = None

    def on_signal() -> None:
        nonlocal stopped_at
        if stopped_at is None:
            stopped_at = loop.time()
            stop()
        elif loop.time() - stopped_at >= ECHO_SECONDS:
            kill()

    for number in HANDLED:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in HANDLED:
            loop.remove_signal_handler(number)

"""Kills the process groups that a supervisor leaves behind; run as a script of its own.

Guarantee: when the supervisor ends, however it ends, each group it registered on this script's
standard input (`+PGID`) and did not take back (`-PGID`) is killed. The end of the input is the
signal: the kernel closes the pipe even after SIGKILL. PR_SET_PDEATHSIG does the same sooner but on
Linux alone, and for direct children alone.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    """Follow the register until the input ends, then kill what is still in it."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()

"""`python -m conformance run|checks`: does a participant keep the house's rules?

One guarantee: Ctrl-C ends it with one line, in whatever phase, and leaves no process.
"""

import sys
from collections.abc import Sequence

# What shells say of a program that Ctrl-C ended: 128 + SIGINT.
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        # In here, since it takes seconds on a busy machine, in which people lose patience, too.
        from conformance.command import command

        return command(arguments)
    except KeyboardInterrupt:
        print("conformance: stopped", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

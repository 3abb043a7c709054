"""`python -m faults PACKAGE.MODULE COMMAND`: the commands for the TRIALS that a module declares.

Guarantee: that of faults.cli. MUTANTS are looked for in PACKAGE.mutants.
"""

import sys

from faults.cli import Subject, main

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print("usage: python -m faults PACKAGE.MODULE COMMAND ...", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    sys.exit(main(Subject.of(sys.argv[1]), sys.argv[2:]))

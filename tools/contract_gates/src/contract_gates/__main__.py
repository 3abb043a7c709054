"""`python -m contract_gates check|diff`: may this change to the contracts go in?

One guarantee: exit code 0 means that every gate let it pass, 1 that one did not, 2 that the gates
could not be asked.
"""

import argparse
import sys


def main(arguments: list[str] | None = None) -> int:
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        return 130  # As a shell reports what SIGINT ended.


def _run(arguments: list[str] | None) -> int:
    # In here, since it takes seconds on a busy machine, in which people press Ctrl-C, too.
    from contract_gates import check, diff

    parser = argparse.ArgumentParser(prog="python -m contract_gates", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, gate in (("check", check), ("diff", diff)):
        command = commands.add_parser(name, help=gate.HELP)
        gate.add_arguments(command)
        command.set_defaults(run=gate.run)
    options = parser.parse_args(arguments)
    code: int = options.run(options)
    return code


if __name__ == "__main__":
    sys.exit(main())

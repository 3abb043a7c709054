"""`python -m contract_gates check|diff`: may this change to the contracts go in?

One guarantee: exit code 0 means that every gate let it pass, 1 that one did not, 2 that the gates
could not be asked.
"""

import argparse
import sys

from contract_gates import check, diff


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m contract_gates", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, gate in (("check", check), ("diff", diff)):
        command = commands.add_parser(name, help=gate.HELP)
        gate.add_arguments(command)
        command.set_defaults(run=gate.run)
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
    except KeyboardInterrupt:
        return 130  # As a shell reports what SIGINT ended.
    return code


if __name__ == "__main__":
    sys.exit(main())

"""`contract_gates check`: are the contracts sound, and is what is derived from them up to date?

One guarantee: a finding says what is wrong, in which line of which file, and what to do about it.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from time import monotonic

from contract_gates.check.context import CannotAskError
from contract_gates.check.gates import GATES, check
from contract_gates.findings import Finding
from contract_gates.sources import Folders

HELP = "are the contracts sound, and is what is derived from them up to date?"
HERE = Folders()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = HELP
    gates = "\n".join(f"  {name:10}{gate.asks}" for name, gate in GATES.items())
    parser.epilog = (
        f"gates:\n{gates}\n\n"
        "exit code: 0 every gate passed (warnings pass), 1 findings, 2 the gates cannot be asked"
    )
    parser.add_argument(
        "--only", metavar="GATE,...", type=_gates, default=list(GATES), help="run these gates alone"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, for machines")
    for name, default, what in (
        ("contracts", HERE.contracts, "the contracts are"),
        ("package", HERE.package, "the derived files are"),
        ("services", HERE.services, "the services' code is"),
        ("site", HERE.site, "the derived pages are"),
    ):
        parser.add_argument(
            f"--{name}",
            metavar="DIR",
            type=Path,
            default=default,
            help=f"where {what} (default: {HERE.shown(default)})",
        )


def run(options: argparse.Namespace) -> int:
    """Print one line a finding; the exit code."""
    if not any(options.contracts.glob("*/asyncapi.yaml")):
        sys.stderr.write(f"{options.contracts} holds no contracts; name the folder: --contracts\n")
        return 2
    folders = Folders(options.contracts, options.package, options.services, options.site)
    started = monotonic()
    try:
        findings = check(folders, options.only)
    except CannotAskError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    seconds = monotonic() - started
    errors = [each for each in findings if each.level == "error"]
    if options.json:
        _print_json(findings, options.only, seconds)
    else:
        for finding in findings:
            sys.stdout.write(f"{finding}\n")
        sys.stdout.write(f"{_summary(options.only, findings, errors)}, {seconds:.1f} s\n")
    return 1 if errors else 0


def _gates(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = sorted(set(names) - GATES.keys())
    if unknown or not names:
        known = ", ".join(GATES)
        raise argparse.ArgumentTypeError(f"no gate {', '.join(unknown)}; there are {known}")
    return names


def _summary(asked: list[str], findings: list[Finding], errors: list[Finding]) -> str:
    warnings = _counted(len(findings) - len(errors), "warning")
    warned = f", {warnings}" if len(findings) > len(errors) else ""
    if not errors:
        return f"{_counted(len(asked), 'gate')} passed{warned}: {', '.join(asked)}"
    found = f"{_counted(len(errors), 'finding')}{warned}"
    failed = [name for name in asked if any(each.rule.startswith(f"{name}/") for each in errors)]
    if not failed:
        return f"{found}; no gate can judge contracts that do not parse"
    passed = len(asked) - len(failed)
    return f"{found}; {passed} of {_counted(len(asked), 'gate')} passed, not {', '.join(failed)}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _print_json(findings: list[Finding], asked: list[str], seconds: float) -> None:
    answer = {
        "gates": asked,
        "seconds": round(seconds, 1),
        "findings": [asdict(each) for each in findings],
    }
    json.dump(answer, sys.stdout, indent=2)
    sys.stdout.write("\n")

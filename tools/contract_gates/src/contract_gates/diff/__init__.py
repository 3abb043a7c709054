"""`contract_gates diff`: whether the contracts still get along with the last release's.

One guarantee: exit code 0 means that nothing of the last release breaks, in either direction: old
consumers and clients understand the new producers and services, old messages and requests are
accepted by the new ones, and none is lost on its way. 1 means that something breaks, 2 that the
comparison could not be made.
"""

import argparse
import sys
from pathlib import Path

import yaml

from contract_gates.diff.compare import compare
from contract_gates.diff.release import LastRelease, ReleaseError, last_release, unpacked
from contract_gates.findings import OTHER_SHAPE, Finding, met
from contract_gates.positions import UnreadableError
from contracts.generate.__main__ import CONTRACTS
from contracts.generate.source import ContractsError

__all__ = ["HELP", "add_arguments", "compare", "run"]

HELP = "do the contracts still get along with the last release?"
_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--base", metavar="REF", help="commit, branch or tag to compare with (contracts/RELEASE)"
    )
    parser.add_argument(
        "--head", metavar="DIR", type=Path, default=CONTRACTS, help="the contracts to judge"
    )


def run(options: argparse.Namespace) -> int:
    """Print one line a finding; the exit code."""
    head: Path = options.head
    root = CONTRACTS.parent
    try:
        release = LastRelease(options.base, options.base) if options.base else last_release(root)
        with unpacked(root, release.ref) as base:
            findings = compare(base.contracts, head, base_topology=base.topology)
    except ContractsError as error:
        for fault in error.faults:
            _complain(str(fault))
        return 2
    except (ReleaseError, OSError, UnreadableError, yaml.YAMLError) as error:
        _complain(str(error))
        return 2
    except OTHER_SHAPE as error:
        _complain(
            f"the contracts cannot be compared: {met(error)}. Mend what `make contracts` finds "
            "first; if it finds nothing, mend the comparison"
        )
        return 2
    except KeyboardInterrupt:
        return _INTERRUPTED
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    sys.stdout.write(_summary(findings, release) + "\n")
    return 1 if any(finding.level == "error" for finding in findings) else 0


def _summary(findings: list[Finding], release: LastRelease) -> str:
    errors = sum(finding.level == "error" for finding in findings)
    warnings = len(findings) - errors
    against = f"the contracts against {release.name}"
    if release.ref != release.name:
        against += f" ({release.ref[:9]})"
    return f"{against}: {_number(errors, 'error')}, {_number(warnings, 'warning')}"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _complain(text: str) -> None:
    sys.stderr.write(f"error: {text}\n")

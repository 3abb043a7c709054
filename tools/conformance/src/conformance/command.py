"""What `python -m conformance run|checks` does.

One guarantee: exit code 0 means that no rule was seen broken, 1 that one was, 2 that the kit could
not tell, and why.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from conformance.checks import CHECKS
from conformance.errors import ConformanceError
from conformance.manifest import Manifest, find_manifests, load_manifest
from conformance.run import chosen, examine_all
from conformance.scorecard import as_json, show, summary

ASKS = "Does a participant keep the house's rules?"
LOGS = Path(".local") / "conformance"
# Where the output is no terminal, lines are as long as what they say.
WIDE = 200


def command(arguments: Sequence[str] | None = None) -> int:
    """Carry a command line out; its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ConformanceError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=ASKS)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="examine services from outside, over bus and HTTP")
    run.add_argument("service", nargs="*", help="default: all that have a conformance.yaml")
    run.add_argument("--check", default="", metavar="NAME,...", help="only these checks")
    run.add_argument("--manifest", type=Path, help="a participant that stands elsewhere")
    run.add_argument("--json", action="store_true", help="the scorecard for programs")
    run.add_argument(
        "--keep-logs", action="store_true", help=f"keep the processes' output in {LOGS}"
    )
    run.set_defaults(run=_run)
    commands.add_parser("checks", help="what is checked, and why").set_defaults(run=_explain)
    return parser


def _run(options: argparse.Namespace) -> int:
    checks = chosen([name.strip() for name in options.check.split(",") if name.strip()])
    manifests = _manifests(options)
    console = _console()
    began = time.monotonic()
    reports = asyncio.run(
        examine_all(
            manifests,
            checks,
            logs=LOGS if options.keep_logs else None,
            done=(lambda report: None) if options.json else (lambda report: show(report, console)),
        )
    )
    if options.json:
        print(as_json(reports))
    else:
        print(f"{summary(reports)}, in {time.monotonic() - began:.0f} s")
    return 1 if any(report.failed for report in reports) else 0


def _manifests(options: argparse.Namespace) -> list[Manifest]:
    if options.manifest is None:
        return find_manifests(Path.cwd(), options.service)
    if options.service:
        raise ConformanceError("name services, or a manifest with --manifest, not both")
    return [load_manifest(options.manifest)]


def _explain(_: argparse.Namespace) -> int:
    for check in CHECKS:
        print(f"{check.name:<18}{check.proves}\n{'':<18}why: {check.why}\n{'':<18}{check.read}\n")
    return 0


def _console() -> Console:
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return Console()
    return Console(width=WIDE)

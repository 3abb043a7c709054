"""`contract_gates diff`: whether the contracts still get along with the last release's."""

import argparse

HELP = "do the contracts still get along with the last release?"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""


def run(options: argparse.Namespace) -> int:
    """Print one line a finding; the exit code."""
    return 0

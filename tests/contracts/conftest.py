"""What the contract tests share: the matrix of who has shown what, the switch that writes pacts.

Guarantee: nothing leaves the machine: pacts are files, and the library's telemetry is off.
"""

import os
from pathlib import Path

import pytest
import yaml

from contracts import load_topology

from .matrix import Matrix

CONTRACTS = Path(__file__).resolve().parents[2] / "contracts"
MATRIX = pytest.StashKey[Matrix]()
# What properties draw their examples by.
SEED = int(os.environ.get("CONTRACTS_SEED", "20261126"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-pacts`."""
    parser.addoption(
        "--write-pacts", action="store_true", help="write tests/contracts/pacts anew from the asks"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Before anything of pact is called."""
    os.environ["PACT_DO_NOT_TRACK"] = "true"
    config.stash[MATRIX] = Matrix(load_topology(), _public_messages())


def pytest_report_header() -> str:
    """How to draw the same examples again."""
    return f"payloads are drawn by seed {SEED} (CONTRACTS_SEED={SEED} draws them again)"


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The matrix, where any of it was run."""
    matrix = config.stash.get(MATRIX, None)
    if matrix is None or matrix.is_empty:
        return
    terminalreporter.section("messages proven between consumer and provider")
    for line in matrix.lines():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def matrix(pytestconfig: pytest.Config) -> Matrix:
    """Who has shown what so far."""
    return pytestconfig.stash[MATRIX]


def _public_messages() -> list[str]:
    return [
        name
        for path in CONTRACTS.glob("*/asyncapi.yaml")
        for name, channel in yaml.safe_load(path.read_text(encoding="utf-8"))["channels"].items()
        if channel.get("x-audience") == "public"
    ]

"""What the contract tests share: the matrix of who has shown what, the switch that writes pacts.

Guarantee: nothing leaves the machine: pacts are files, and the library's telemetry is off.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts import load_topology

from .matrix import Matrix
from .server_scene import Servers

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


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """How to draw the same payloads again; and the matrix, where any of it was run."""
    if any(_draws(report.nodeid) for report in _reports(terminalreporter)):
        terminalreporter.write_line(
            f"payloads: CONTRACTS_SEED={SEED} draws the same again, with the same code and tests"
        )
    matrix = config.stash.get(MATRIX, None)
    if matrix is None or matrix.is_empty:
        return
    terminalreporter.section("messages proven between consumer and provider")
    for line in matrix.lines():
        terminalreporter.write_line(line)


def _draws(nodeid: str) -> bool:
    return "test_payloads" in nodeid or "test_typescript_reader" in nodeid


def _reports(terminalreporter: pytest.TerminalReporter) -> Iterator[pytest.TestReport]:
    for outcome in ("passed", "failed"):
        yield from terminalreporter.getreports(outcome)


@pytest.fixture(scope="session")
def matrix(pytestconfig: pytest.Config) -> Matrix:
    """Who has shown what so far."""
    return pytestconfig.stash[MATRIX]


@pytest.fixture(scope="session")
def on_servers(
    servers: Any, aws: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Servers]:
    """The session's servers, each time with a folder of its own."""
    return lambda: Servers(
        aws.endpoint_url, servers.redis_url, tmp_path_factory.mktemp("participant")
    )


def _public_messages() -> list[str]:
    return [
        name
        for path in CONTRACTS.glob("*/asyncapi.yaml")
        for name, channel in yaml.safe_load(path.read_text(encoding="utf-8"))["channels"].items()
        if channel.get("x-audience") == "public"
    ]

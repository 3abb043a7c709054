"""The contracts as they are, and copies to change."""

import shutil
from pathlib import Path

import pytest

from contract_docs import render
from contract_docs.__main__ import CONTRACTS
from contract_docs.documents import Documents, read_documents


@pytest.fixture(scope="session")
def documents() -> Documents:
    return read_documents(CONTRACTS)


@pytest.fixture(scope="session")
def site() -> dict[str, str]:
    return render(CONTRACTS)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the contracts to change."""
    return Path(shutil.copytree(CONTRACTS, tmp_path / "contracts"))

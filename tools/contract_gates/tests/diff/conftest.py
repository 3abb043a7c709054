"""The repository's contracts, and copies of them to change.

Guarantee: the contracts themselves stay as they are; each test changes a copy of its own.
"""

import shutil
from pathlib import Path

import pytest

from contracts.generate.__main__ import CONTRACTS


@pytest.fixture
def base() -> Path:
    """The contracts as they are: what is compared with."""
    return CONTRACTS


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """A copy of them to change."""
    return Path(shutil.copytree(CONTRACTS, tmp_path / "contracts"))

"""Copies of the contracts to spoil."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from contract_gates.sources import ROOT, Folders

Edit = Callable[[str, str, str], None]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """The repository's, but for contracts that may be spoiled."""
    return Folders(contracts=Path(shutil.copytree(ROOT / "contracts", tmp_path / "contracts")))


@pytest.fixture
def edit(folders: Folders) -> Edit:
    """`edit(file, old, new)`: the first `old` in a file of the copy becomes `new`."""

    def edit(file: str, old: str, new: str) -> None:
        path = folders.contracts / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} no longer has {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit

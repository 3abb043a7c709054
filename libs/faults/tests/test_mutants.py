"""Mutants are the source with just their passages replaced, or they are refused."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from faults.mutants import Mutant, StaleMutant, check, install, path_of

SOURCE = "A = 1\nB = 2\nC = 2\n"
MUTANT = Mutant("less", 1, "A is one", "shop.till", "A = 1\n", "A = 9\n")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of two modules that nobody has imported."""
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "till.py").write_text(SOURCE)
    (package / "shelf.py").write_text("from shop.till import A, B, C\n")
    monkeypatch.syspath_prepend(tmp_path)
    return package


def shown_by(shop: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run it in a process of its own: imports cannot be taken back."""
    setting = (
        f"import sys; sys.path.insert(0, {str(shop.parent)!r})\n"
        "from faults.mutants import Mutant, install\n"
    )
    return subprocess.run(
        [sys.executable, "-c", setting + script], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("passage", "times"), [("D = 4", 0), ("= 2", 2)])
def test_passage_that_is_not_there_once_is_stale(shop: Path, passage: str, times: int) -> None:
    with pytest.raises(StaleMutant, match=rf"till\.py has {times} times, not once"):
        check([replace(MUTANT, original=passage)])


@pytest.mark.parametrize("module", ["shop.cellar", "nowhere.till"])
def test_mutant_of_a_module_that_is_gone_is_stale(shop: Path, module: str) -> None:
    with pytest.raises(StaleMutant, match="there is no"):
        check([replace(MUTANT, module=module)])


def test_mutant_that_is_no_python_is_found_out(shop: Path) -> None:
    with pytest.raises(SyntaxError):
        check([replace(MUTANT, replacement="A =\n")])


def test_source_is_found_without_importing_it(shop: Path) -> None:
    assert path_of("shop.till") == shop / "till.py"
    assert "shop.till" not in sys.modules


def test_installed_mutant_is_what_everybody_imports(shop: Path) -> None:
    done = shown_by(shop, f"install({MUTANT!r})\nfrom shop.shelf import A, B, C\nprint(A, B, C)")

    assert done.stdout == "9 2 2\n"
    assert (shop / "till.py").read_text() == SOURCE


def test_guard_in_two_places_of_one_module_is_taken_out_of_both(shop: Path) -> None:
    mutant = replace(MUTANT, also=(("shop.till", "B = 2\n", "B = 8\n"),))
    done = shown_by(shop, f"install({mutant!r})\nfrom shop.shelf import A, B\nprint(A, B)")

    assert done.stdout == "9 8\n"


def test_module_that_is_imported_already_cannot_be_mutated(shop: Path) -> None:
    done = shown_by(shop, f"import shop.till\ninstall({MUTANT!r})")

    assert done.returncode == 1
    assert "RuntimeError: shop.till is imported already" in done.stderr


def test_stale_mutant_is_not_installed(shop: Path) -> None:
    before = list(sys.meta_path)
    with pytest.raises(StaleMutant):
        install(replace(MUTANT, original="D = 4"))

    assert sys.meta_path == before

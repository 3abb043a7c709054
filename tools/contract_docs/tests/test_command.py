"""`python -m contract_docs` as its user meets it."""

from pathlib import Path

import pytest

from contract_docs.__main__ import main


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def test_check_names_what_would_change_and_changes_nothing(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "site"
    arguments = ("--contracts", copied, "--output", output)
    assert run(*arguments) == 0
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    money = copied / "common" / "money.json"
    money.write_text(money.read_text().replace("9999999999", "77"), encoding="utf-8")
    capsys.readouterr()
    assert run(*arguments, "--check") == 1
    printed = capsys.readouterr().out
    assert "would be written: schemas.html" in printed
    assert "make docs" in printed
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    assert run(*arguments) == 0
    assert run(*arguments, "--check") == 0


def test_pages_of_a_past_service_are_removed_and_other_files_are_kept(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "site"
    assert run("--contracts", copied, "--output", output) == 0
    stale = (output / "search.html").rename(output / "past.html")
    mine = output / "mine.html"
    mine.write_text("<p>Mine</p>", encoding="utf-8")
    assert run("--contracts", copied, "--output", output) == 0
    assert "was removed: past.html" in capsys.readouterr().out
    assert not stale.exists()
    assert mine.exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        (
            "search/asyncapi.yaml",
            "channels/OrderConfirmed",
            "channels/No",
            "there is no channel No",
        ),
        ("order/openapi.yaml", "responses/NotFound", "responses/No", "responses/No leads nowhere"),
        ("order/openapi.yaml", "schemas/OrderPage", "schemas/No", "schemas/No leads nowhere"),
        (
            "order/schemas/OrderRejected.json",
            "common/code.json",
            "common/no.json",
            "no.json is not",
        ),
    ],
)
def test_contracts_that_contradict_themselves_are_told_without_a_traceback(
    file: str,
    old: str,
    new: str,
    fault: str,
    copied: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = copied / file
    text = document.read_text(encoding="utf-8")
    assert old in text
    document.write_text(text.replace(old, new), encoding="utf-8")
    assert run("--contracts", copied, "--output", tmp_path / "site") == 2
    printed = capsys.readouterr().out
    assert printed.startswith("error: ")
    assert fault in printed
    assert not (tmp_path / "site").exists()


def test_a_service_named_like_another_page_is_refused(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "search").rename(copied / "schemas")
    assert run("--contracts", copied, "--output", tmp_path / "site") == 2
    assert "no service can be named schemas" in capsys.readouterr().out


@pytest.mark.parametrize("spoiled", ["order/asyncapi.yaml", "common/money.json"])
def test_a_file_that_cannot_be_read_is_told_without_a_traceback(
    spoiled: str, copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / spoiled).write_text("{", encoding="utf-8")
    assert run("--contracts", copied, "--output", tmp_path / "site") == 2
    assert capsys.readouterr().out.startswith("error: ")


def test_a_folder_without_contracts_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--contracts", tmp_path, "--output", tmp_path / "site") == 2
    assert "--contracts" in capsys.readouterr().out

"""The command: what it compares with, what it prints, and what it says when it cannot."""

import subprocess
from pathlib import Path

import pytest

from contract_gates.__main__ import main
from contract_gates.diff.release import ReleaseError, last_release, unpacked
from contracts.generate.__main__ import CONTRACTS

ROOT = CONTRACTS.parent


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    command = ("git", *identity, *arguments)
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of two commits, whose second changes the one file in its contracts."""
    folder = tmp_path / "repository"
    (folder / "contracts").mkdir(parents=True)
    git(folder, "init", "--quiet")
    for text in ("old", "new"):
        (folder / "contracts" / "README.md").write_text(text, encoding="utf-8")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", text)
    return folder


def test_release_is_what_was_committed(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD~1")
    (repository / "contracts" / "RELEASE").write_text(f"1.2.3 {commit}\n", encoding="utf-8")
    release = last_release(repository)
    assert (release.name, release.ref) == ("1.2.3", commit)
    with unpacked(repository, release.ref) as base:
        assert (base.contracts / "README.md").read_text(encoding="utf-8") == "old"
        assert base.topology is None
    assert not base.contracts.exists()


@pytest.mark.parametrize("text", [None, "", "1.0.0", "1.0.0 main", "1.0.0 59aa5fe"])
def test_release_file_that_names_no_commit_is_explained(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "contracts").mkdir()
    if text is not None:
        (tmp_path / "contracts" / "RELEASE").write_text(text, encoding="utf-8")
    with pytest.raises(ReleaseError, match=r"two words.*BASE=ref"):
        last_release(tmp_path)


def test_unknown_commit_is_explained(repository: Path) -> None:
    with pytest.raises(ReleaseError, match="no commit, branch or tag v9 here: git fetch --tags"):
        unpacked(repository, "v9").__enter__()


def test_shallow_clone_is_told_how_to_get_the_rest(repository: Path, tmp_path: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD~1")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "1", repository.as_uri(), str(shallow))
    with pytest.raises(ReleaseError, match="shallow clone: git fetch --unshallow"):
        unpacked(shallow, commit).__enter__()


def test_folder_without_git_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "folder").mkdir()
    with pytest.raises(ReleaseError, match="no git repository"):
        unpacked(tmp_path / "folder", "HEAD").__enter__()


def test_machine_without_git_is_explained(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ReleaseError, match="install git"):
        unpacked(repository, "HEAD").__enter__()


def test_commit_from_before_the_contracts_is_explained(repository: Path) -> None:
    git(repository, "rm", "--quiet", "-r", "contracts")
    git(repository, "commit", "--quiet", "--message", "none")
    with pytest.raises(ReleaseError, match="holds no folder contracts/"):
        unpacked(repository, "HEAD").__enter__()


def test_last_release_gets_along_with_the_present_contracts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["diff"]) == 0, capsys.readouterr().out
    release = last_release(ROOT)
    summary = capsys.readouterr().out.splitlines()[-1]
    assert summary.startswith(f"the contracts against {release.name} ({release.ref[:9]}): 0 errors")


def test_break_is_printed_and_fails(head: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = head / "catalog/schemas/StockLevelChanged.json"
    text = schema.read_text(encoding="utf-8")
    assert '"minimum": 1' in text
    schema.write_text(text.replace('"minimum": 1', '"minimum": 2'), encoding="utf-8")
    assert main(["diff", "--head", str(head), "--base", "HEAD"]) == 1
    finding, summary = capsys.readouterr().out.splitlines()
    assert finding.startswith(
        "contracts/catalog/schemas/StockLevelChanged.json:25: diff/old-message-minimum: "
    )
    assert summary == "the contracts against HEAD: 1 error, 0 warnings"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--base", "no-such-branch"], "no-such-branch"),
        (["--head", "no-such-folder"], "no-such-folder holds no contracts"),
    ],
)
def test_what_cannot_be_compared_is_said_and_is_no_verdict(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert complaint in printed.err


def test_malformed_document_is_said_with_its_line(
    head: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (head / "order/openapi.yaml").write_text("paths: [", encoding="utf-8")
    assert main(["diff", "--head", str(head), "--base", "HEAD"]) == 2
    complaint = capsys.readouterr().err
    assert "order/openapi.yaml" in complaint
    assert "order/openapi.yaml:2: " in complaint


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("common/money.json", '"maximum": 9999999999', '"maximum": null'),
        ("common/money.json", '"type": "integer"', '"type": 7'),
        ("order/asyncapi.yaml", "channels:", "chanels:"),
        ("order/openapi.yaml", "paths:", "path:"),
        ("order/openapi.yaml", "      parameters:", "      parameters: 7\n      x-rest:"),
    ],
)
def test_document_of_another_shape_is_said_without_a_traceback(
    head: Path, capsys: pytest.CaptureFixture[str], file: str, old: str, new: str
) -> None:
    text = (head / file).read_text(encoding="utf-8")
    assert old in text
    (head / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert main(["diff", "--head", str(head), "--base", "HEAD"]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("error: the contracts cannot be compared: ")
    assert "make contracts" in complaint


def test_reference_by_an_anchor_is_refused(head: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = head / "common/money.json"
    text = schema.read_text(encoding="utf-8")
    inner = '"properties": {"inner": {"$ref": "#anchor"},'
    schema.write_text(text.replace('"properties": {', inner, 1), encoding="utf-8")
    assert main(["diff", "--head", str(head), "--base", "HEAD"]) == 2
    assert "the $ref to #anchor is no JSON Pointer" in capsys.readouterr().err

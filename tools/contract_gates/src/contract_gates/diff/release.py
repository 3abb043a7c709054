"""The last release's contracts, from git: what a change is compared with.

One guarantee: they are what was committed, never a copy that someone could forget to renew;
`contracts/RELEASE` names the commit, and nothing is written outside of a temporary folder.
"""

import io
import json
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RELEASE = "contracts/RELEASE"
_TOPOLOGY = "libs/contracts/src/contracts/_data/topology.json"
# Python 3.11.4 brought the filter of what an archive may do; Debian 12 has 3.11.2.
_CAREFULLY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


class ReleaseError(Exception):
    """The last release cannot be had; the text says what to do."""


@dataclass(frozen=True)
class LastRelease:
    """What to compare with: what it is called, and its commit, branch or tag."""

    name: str
    ref: str


@dataclass(frozen=True)
class Base:
    """The release's contracts, unpacked; `topology` is the document that it was run with."""

    contracts: Path
    topology: dict[str, Any] | None


def last_release(root: Path) -> LastRelease:
    """What `contracts/RELEASE` names: a version and the full hash of its commit."""
    try:
        words = (root / RELEASE).read_text(encoding="utf-8").split()
    except OSError:
        words = []
    if len(words) != 2 or not re.fullmatch("[0-9a-f]{40}", words[1]):
        raise ReleaseError(
            f"{RELEASE} must hold two words, the last release's version and the full hash of its "
            "commit: restore it, or name what to compare with: make contracts-diff BASE=ref"
        )
    return LastRelease(*words)


@contextmanager
def unpacked(root: Path, ref: str) -> Iterator[Base]:
    """The contracts as of a commit, for as long as the context lasts; raises ReleaseError."""
    commit = _commit(root, ref)
    paths = [path for path in ("contracts", _TOPOLOGY) if _has(root, commit, path)]
    if "contracts" not in paths:
        raise ReleaseError(f"{ref} holds no folder contracts/: name a later commit by BASE=ref")
    with tempfile.TemporaryDirectory(prefix="contracts-") as folder:
        archive = _git(root, "archive", "--format=tar", commit, "--", *paths)
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, **_CAREFULLY)  # noqa: S202  (what git made of a commit)
        topology = Path(folder, _TOPOLOGY)
        document = json.loads(topology.read_text("utf-8")) if topology.exists() else None
        yield Base(Path(folder, "contracts"), document)


def _commit(root: Path, ref: str) -> str:
    try:
        found = _git(
            root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
        )
    except subprocess.CalledProcessError:
        raise ReleaseError(_why_unknown(root, ref)) from None
    return found.decode().strip()


def _why_unknown(root: Path, ref: str) -> str:
    try:
        shallow = _git(root, "rev-parse", "--is-shallow-repository").strip() == b"true"
    except subprocess.CalledProcessError:
        return (
            "this is no git repository, and the last release's contracts are read from git: run it "
            "in a clone"
        )
    if shallow:
        return (
            f"{ref} is not in this shallow clone: git fetch --unshallow --tags (in GitHub Actions: "
            "actions/checkout with fetch-depth: 0)"
        )
    return (
        f"there is no commit, branch or tag {ref} here: git fetch --tags, or name another: BASE=ref"
    )


def _has(root: Path, commit: str, path: str) -> bool:
    return bool(_git(root, "ls-tree", "--name-only", commit, "--", path).strip())


def _git(root: Path, *arguments: str) -> bytes:
    try:
        return subprocess.run(("git", *arguments), cwd=root, check=True, capture_output=True).stdout
    except FileNotFoundError:
        raise ReleaseError(
            "git is not installed, and the last release's contracts are read from it: install git"
        ) from None

"""Code before the present one, for a deploy: what ran until now runs on beside what comes.

Guarantee: what is unpacked is the product of one commit, whole, and importable by PYTHONPATH alone.
Without a commit named, it is the newest other code that fits the present database, its migrations
being the same; where there is no such commit (or no git at all), a copy of the present code.
"""

import asyncio
import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOOK_BACK_COMMITS = 50
_CODE = (
    *("services", "contracts", "libs"),
    *(":!libs/faults", ":!libs/stack", ":!*/tests/*", ":!libs/*/tests/*"),
)
_MIGRATIONS = "services/*/src/*/migrations"
# Python 3.11.4 brought the filter of what an archive may do; Debian 12 has 3.11.2.
_CAREFULLY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


async def old_code(folder: Path, commit: str | None = None) -> tuple[str, str]:
    """Unpack it below `folder`, once; its short commit id, and the PYTHONPATH that leads to it.

    Raises subprocess.CalledProcessError where a commit is named that is not there.
    """
    return await asyncio.to_thread(_unpack, folder, commit)


def _unpack(folder: Path, commit: str | None) -> tuple[str, str]:
    tree = folder / "code"
    name = folder / "commit"
    if not name.exists():
        shutil.rmtree(tree, ignore_errors=True)  # Of an attempt that was broken off.
        tree.mkdir(parents=True)
        commit = commit or _commit_before()
        if commit is None:
            for part in ("libs", "services"):
                shutil.copytree(ROOT / part, tree / part)
            name.write_text("a copy of this one")
        else:
            archive = _git("archive", commit, "libs", "services")
            with tarfile.open(fileobj=io.BytesIO(archive)) as files:
                files.extractall(tree, **_CAREFULLY)
            name.write_text(commit[:9])
    sources = sorted([*tree.glob("libs/*/src"), *tree.glob("services/*/src")])
    return name.read_text(), ":".join(map(str, sources))


def _commit_before() -> str | None:
    """The newest commit with other product code and the same migrations."""
    try:
        log = _git("log", "--format=%H", f"-{LOOK_BACK_COMMITS}").decode().split()
        for commit in log[1:]:
            if _differs(commit, *_CODE):
                return None if _differs(commit, f":(glob){_MIGRATIONS}/**") else commit
    except (OSError, subprocess.CalledProcessError):
        return None
    return None


def _differs(commit: str, *paths: str) -> bool:
    return bool(_git("diff", "--name-only", commit, "--", *paths).strip())


def _git(*arguments: str) -> bytes:
    return subprocess.run(("git", *arguments), cwd=ROOT, check=True, capture_output=True).stdout

"""Lets root run a server that refuses to run as root.

Guarantee: when this process is root, the server gets an ordinary user who can enter every folder
that it needs; folders made for that are root's or that user's own, never a stranger's.
"""

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

from stack.errors import StackError

CACHE_PARENT = Path("/var/tmp")  # noqa: S108 - outlives a reboot; what is in it is checked below
FALLBACK_UID = 65_534  # "nobody" on Linux


def server_uid() -> int | None:
    """The user to run as: None for the present one, a number when the present one is root."""
    if os.geteuid() != 0:
        return None
    try:
        uid = pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return FALLBACK_UID
    return uid if uid > 0 else FALLBACK_UID


def is_reachable(path: Path) -> bool:
    """Whether any user may enter the folders that lead to `path`."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def cache_dir(prefix: str, key: str) -> Path:
    """A folder, reachable by all and writable by root alone, that stands for `key`."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = CACHE_PARENT / f"{prefix}-{digest}"
    path.mkdir(mode=0o755, exist_ok=True)
    # The parent is writable by everybody: a folder that somebody else put there is a trap.
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StackError(f"{path} belongs to another user: remove it and start again")
    path.chmod(0o755)
    return path


def copy_once(source: Path, target: Path) -> None:
    """Copy a tree unless it is there; complete or absent, also with several at once."""
    if target.exists():
        return
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    copied = temporary / target.name
    try:
        shutil.copytree(source, copied, symlinks=True)
        try:
            copied.rename(target)
        except OSError:
            if not target.exists():  # Otherwise another process was faster.
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def owned_data_dir(wanted: Path, uid: int, prefix: str) -> Path:
    """A private folder of `uid`: `wanted` itself, or else a cache folder that `wanted` links to."""
    if wanted.is_symlink():
        real = wanted.resolve()
    elif wanted.exists() or is_reachable(wanted):
        real = wanted
    else:
        real = cache_dir(prefix, str(wanted.absolute())) / wanted.name
        wanted.symlink_to(real)
    if wanted.is_symlink() and not real.parent.exists():
        cache_dir(prefix, str(wanted.absolute()))  # Temporary folders are swept now and then.
    real.mkdir(mode=0o700, exist_ok=True)
    if real.stat().st_uid != uid:
        os.chown(real, uid, uid)
    return real


def remove_data_dir(wanted: Path) -> None:
    """Remove what `owned_data_dir` made, at both ends of the link."""
    if wanted.is_symlink():
        real = wanted.resolve()
        if real.parent.parent == CACHE_PARENT.resolve():
            shutil.rmtree(real.parent, ignore_errors=True)
        wanted.unlink()
    else:
        shutil.rmtree(wanted, ignore_errors=True)

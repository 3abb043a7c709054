"""Where the embedded index lives: a folder a generation, and a pointer to the one in use.

Guarantee: the pointer names a complete generation at every moment, also after a crash, since it
changes by the renaming of one small file; and one process at a time writes.

    <root>/writer.lock           held by the writer for as long as it lives
    <root>/current               the name of the generation in use
    <root>/v2-000001/            that generation, a Tantivy index
    <root>/v1-000002/            one under construction, or left over from a crash
"""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

from search_service.errors import SecondWriterError

# Part of each generation's name; to be raised whenever the schema or the folding of words changes.
LAYOUT = "v2"
_POINTER = "current"
_LOCK = "writer.lock"


class Folders:
    """The generations under one root."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def current(self) -> str | None:
        """The name of the generation in use; None before a writer has made the first."""
        try:
            return (self.root / _POINTER).read_text("ascii").strip() or None
        except FileNotFoundError:
            return None

    def path(self, generation: str) -> Path:
        """The generation's folder."""
        return self.root / generation

    def new(self) -> str:
        """Make the folder of the next generation; answers its name."""
        numbers = [
            int(number)
            for name in self._generations()
            if (number := name.rpartition("-")[2]).isdigit()
        ]
        name = f"{LAYOUT}-{max(numbers, default=0) + 1:06}"
        self.path(name).mkdir()
        return name

    def switch_to(self, generation: str) -> None:
        """Make it the current one, durably, in one step."""
        fresh = self.root / f"{_POINTER}.new"
        with fresh.open("w", encoding="ascii") as file:
            file.write(generation)
            file.flush()
            os.fsync(file.fileno())
        # The generation's own entry in the root has to be on disk before a pointer names it.
        self._sync()
        fresh.replace(self.root / _POINTER)
        self._sync()

    def remove_others(self, *kept: str) -> None:
        """Remove every generation but these: the old one, and what a crash has left."""
        for name in self._generations():
            if name not in kept:
                self.remove(name)

    def remove(self, generation: str) -> None:
        """Remove one generation that is not in use."""
        shutil.rmtree(self.path(generation), ignore_errors=True)

    def _generations(self) -> list[str]:
        return [entry.name for entry in self.root.iterdir() if entry.is_dir()]

    def _sync(self) -> None:
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class WriterLock:
    """Held while this process writes; the system lets go of it when the process dies."""

    def __init__(self, root: Path) -> None:
        """Raises SecondWriterError if another writer lives."""
        root.mkdir(parents=True, exist_ok=True)
        self._file = (root / _LOCK).open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise SecondWriterError(
                f"another process writes to the search index in {root}; stop it first, or open "
                "the index with read_only=True: one worker writes, all others read"
            ) from None

    def release(self) -> None:
        """Let the next writer in."""
        with contextlib.suppress(OSError):
            self._file.close()

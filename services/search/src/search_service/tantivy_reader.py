"""The reading side of the embedded index: notices commits and new generations by itself.

Guarantee: a reader never fails because a writer commits, switches or removes; at worst it goes on
for another `CHECK_SECONDS` with what it had. Before there is an index it has nothing, and no error.
"""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tantivy import Index, Searcher

from search_service.folders import LAYOUT, Folders
from search_service.tantivy_schema import WORD_FIELDS
from search_service.vocabulary import Vocabulary

log = logging.getLogger(__name__)

CHECK_SECONDS = 0.1
# A vocabulary is read anew at its earliest after this many times what reading it took, so that it
# costs a few percent of a processor however large it is and however often the writer commits.
_REST = 20
# Checks in a row; a writer that switches makes one fail, if any.
_FAILURES_TO_TELL = 10
_Signature = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the index, which stays as it is while others are written.

    The vocabulary may be a little older: it is for corrections and ranking, not for finding.
    """

    searcher: Searcher
    vocabulary: Vocabulary


class Reader:
    """Snapshots of the current generation; safe to use from several threads."""

    def __init__(self, root: Path, check_seconds: float = CHECK_SECONDS) -> None:
        self._folders = Folders(root)
        self._check_seconds = check_seconds
        self._lock = threading.Lock()
        self._next_check = 0.0
        self._generation: str | None = None
        self._index: Index | None = None
        self._signature: _Signature | None = None
        self._snapshot: Snapshot | None = None
        self._vocabulary_is_old = False
        self._next_vocabulary = 0.0
        self._failures = 0

    def snapshot(self) -> Snapshot | None:
        """The newest state, or one that was so `check_seconds` ago; None without any index."""
        now = time.monotonic()
        if now >= self._next_check and self._lock.acquire(blocking=self._snapshot is None):
            try:
                self._check(now)
                self._failures = 0
            except (OSError, ValueError) as error:
                # The writer has removed what the pointer named a moment ago: look again soon.
                self._failed(error)
            finally:
                self._next_check = time.monotonic() + self._check_seconds
                self._lock.release()
        return self._snapshot

    def expire(self) -> None:
        """Look at the next occasion: this process has just written."""
        self._next_check = 0.0

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            self._index = self._snapshot = self._signature = self._generation = None

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == _FAILURES_TO_TELL:
            log.warning(
                "the search index in %s cannot be read (%s); going on with what was read before",
                self._folders.root,
                error,
            )

    def _check(self, now: float) -> None:
        generation = self._folders.current()
        if generation is None or not generation.startswith(f"{LAYOUT}-"):
            return
        # Read before the reload: a commit in between is then seen as a change the next time.
        signature = _signature(self._folders.path(generation))
        if generation != self._generation:
            self._index = Index.open(str(self._folders.path(generation)))
            # A thread that watches the folder is what the check replaces.
            self._index.config_reader("manual")
            self._signature, self._generation = None, generation
        assert self._index is not None
        if signature != self._signature:
            self._index.reload()
            self._signature = signature
            self._take(self._index.searcher(), now)
        elif (
            self._vocabulary_is_old and self._snapshot is not None and now >= self._next_vocabulary
        ):
            self._take(self._snapshot.searcher, now)

    def _take(self, searcher: Searcher, now: float) -> None:
        vocabulary = self._snapshot.vocabulary if self._snapshot else None
        self._vocabulary_is_old = True
        if vocabulary is None or now >= self._next_vocabulary:
            vocabulary = Vocabulary(
                {name: searcher.terms_with_prefix(name, "") for name in WORD_FIELDS}
            )
            self._vocabulary_is_old = False
            self._next_vocabulary = now + _REST * (time.monotonic() - now)
        self._snapshot = Snapshot(searcher, vocabulary)


def _signature(path: Path) -> _Signature:
    """What tells one commit from the next: Tantivy replaces this file each time."""
    status = (path / "meta.json").stat()
    return status.st_ino, status.st_mtime_ns, status.st_size

"""Where the output of the processes goes: a raw file each, and one stream on the terminal.

Guarantee: a file holds every byte that its process wrote, in order, up to the limit at which the
older half moves to `NAME.1.log`; the terminal gets whole lines, each behind its process's name.
"""

import os
import re
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

MAX_FILE_BYTES = 20 * 1024 * 1024
MAX_LINE_BYTES = 64 * 1024
TAIL_LINES = 200
# ANSI colours that read well on light and on dark backgrounds.
PALETTE = (
    "cyan",
    "green",
    "yellow",
    "magenta",
    "blue",
    "bright_cyan",
    "bright_green",
    "bright_magenta",
)
_CODES = {
    "red": 31,
    "green": 32,
    "yellow": 33,
    "blue": 34,
    "magenta": 35,
    "cyan": 36,
    "white": 37,
    "bright_red": 91,
    "bright_green": 92,
    "bright_yellow": 93,
    "bright_blue": 94,
    "bright_magenta": 95,
    "bright_cyan": 96,
}
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class ProcessLog:
    """One process's output: written to its file as it comes, split into lines for the rest."""

    def __init__(self, path: Path, on_line: Callable[[str], None]) -> None:
        self.path = path
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._on_line = on_line
        self._partial = b""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rotate()  # The last run stays readable beside this one.

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of output, which may end in the middle of a line."""
        self._file.write(chunk)
        self._bytes += len(chunk)
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        for line in lines:
            self._emit(line)
        if len(self._partial) > MAX_LINE_BYTES:
            self.flush()
        if self._bytes > MAX_FILE_BYTES:
            self._file.close()
            self._rotate()

    def flush(self) -> None:
        """Pass on an unfinished last line."""
        if self._partial:
            partial, self._partial = self._partial, b""
            self._emit(partial)

    def close(self) -> None:
        self.flush()
        self._file.close()

    def _rotate(self) -> None:
        if self.path.exists() and self.path.stat().st_size > 0:
            os.replace(self.path, self.path.with_suffix(".1.log"))
        self._file = self.path.open("wb", buffering=0)
        self._bytes = 0

    def _emit(self, raw: bytes) -> None:
        line = raw.decode(errors="replace").rstrip("\r")
        self.tail.append(line)
        self._on_line(line)


class Console:
    """Writes `name | line`, the name coloured where the output is a terminal that wants colour."""

    def __init__(self, names: dict[str, str | None], stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self._width = max(map(len, names), default=0)
        self._colored = self._stream.isatty() and not os.environ.get("NO_COLOR")
        self._colors = {
            name: color or PALETTE[index % len(PALETTE)]
            for index, (name, color) in enumerate(names.items())
        }

    def write(self, name: str, line: str) -> None:
        label = f"{name:<{self._width}} |"
        if self._colored:
            label = f"\x1b[{_CODES.get(self._colors.get(name, 'white'), 37)}m{label}\x1b[0m"
        else:
            line = _ESCAPES.sub("", line)
        try:
            self._stream.write(f"{label} {line}\n")
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            # `bookstore up | head` closed its end; the files still have everything.
            return

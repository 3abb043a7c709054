"""MiniStack, the AWS emulator, as a declared process under uvicorn and uvloop.

Guarantee: it listens on 127.0.0.1 alone, touches neither Docker nor a real account, opens no other
port, and keeps what it persists in the stack's data directory, saved whenever it is stopped.

It lives in a virtual environment of its own because it pins botocore. Its own entry point serves
the same ASGI application by hypercorn; all that it does besides (background schedulers, loading and
saving state) hangs on ASGI's lifespan events, which uvicorn sends too, or is done by `stack.child`
(the limit of open files). State that a SIGKILL prevents from being saved is lost.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from stack.errors import MissingServerError
from stack.ports import HOST
from stack.process import HttpReady, Process

ENVIRONMENT = ".venv-emulator"
PYTHON_VARIABLE = "EMULATOR_PYTHON"


@dataclass(frozen=True)
class EmulatorServer:
    """One emulator; with `persistent`, queues, tables and rules outlive a stop."""

    data_dir: Path
    port: int
    python: Path
    persistent: bool = True
    log_level: str = "WARNING"
    name: str = "emulator"

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def process(self, color: str | None = "yellow") -> Process:
        """The declaration to give to a supervisor."""
        folder = self.data_dir.absolute() / "emulator"
        folder.mkdir(parents=True, exist_ok=True)
        persist = "1" if self.persistent else "0"
        return Process(
            name=self.name,
            argv=(
                *(str(self.python), "-m", "uvicorn", "mended:app", "--loop", "uvloop"),
                *("--app-dir", str(Path(__file__).parent / "emulator_app")),
                *("--host", HOST, "--port", str(self.port), "--lifespan", "on", "--ws", "none"),
                *("--no-proxy-headers", "--no-server-header", "--no-date-header"),
                *("--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "75"),
                # A long poll lasts 20 s; whoever waits in one is told to go after a second.
                *("--timeout-graceful-shutdown", "1"),
            ),
            env={
                "GATEWAY_PORT": str(self.port),
                "MINISTACK_HOST": HOST,  # "localhost" may mean ::1, where nobody listens
                "LOG_LEVEL": self.log_level,
                "PERSIST_STATE": persist,
                "STATE_DIR": str(folder / "state"),
                "S3_PERSIST": persist,
                "S3_DATA_DIR": str(folder / "s3"),
                # It would remove other people's containers at start and keep doing so.
                "DOCKER_HOST": f"unix://{folder}/no-docker.sock",
                "SFTP_ENABLED": "0",
                "IOT_MTLS_ENABLED": "0",
            },
            cwd=folder,
            readiness=HttpReady(f"{self.url}/_localstack/health"),
            port=self.port,
            color=color,
        )


def find_python() -> Path:
    """The emulator's interpreter: EMULATOR_PYTHON, or `.venv-emulator` beside this one's venv."""
    chosen = os.environ.get(PYTHON_VARIABLE)
    if chosen:
        return Path(chosen)
    start = Path(sys.prefix).absolute()
    for folder in (start.parent, Path.cwd(), *Path.cwd().parents):
        python = folder / ENVIRONMENT / "bin" / "python"
        if python.exists():
            return python
    raise MissingServerError(f"no {ENVIRONMENT} found beside {start}: run `make setup`")

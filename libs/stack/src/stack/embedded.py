"""The real servers for a test session: PostgreSQL, Valkey and the AWS emulator on free ports.

Guarantee: after the block, also after an exception in it, the servers and their data are gone.

    async with EmbeddedServers(databases=["order", "catalog"]) as servers:
        engine = create_async_engine(servers.postgres_url("order"))
"""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stack.emulator import EmulatorServer, find_python
from stack.ports import PortAllocator
from stack.postgres import PostgresServer
from stack.process import Process
from stack.supervisor import Supervisor
from stack.unprivileged import server_uid
from stack.valkey import ValkeyServer


class EmbeddedServers:
    """Starts what is asked for, all at once; nothing in it survives the block.

    `data_dir` must be a folder of the tests' own; without one a temporary folder is made.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        databases: Sequence[str] = (),
        valkey: bool = True,
        emulator: bool = True,
        emulator_python: Path | None = None,
    ) -> None:
        self._owns_folder = data_dir is None
        self.data_dir = data_dir or _temporary_folder()
        ports = PortAllocator()
        self._postgres: PostgresServer | None = None
        self._valkey: ValkeyServer | None = None
        self._emulator: EmulatorServer | None = None
        if databases:
            self._postgres = PostgresServer(
                self.data_dir, ports.pick(), databases=databases, durable=False
            )
        if valkey:
            self._valkey = ValkeyServer(self.data_dir, ports.pick(), persistent=False)
        if emulator:
            python = emulator_python or find_python()
            self._emulator = EmulatorServer(self.data_dir, ports.pick(), python, persistent=False)
        self.supervisor = Supervisor(self._processes(), self.data_dir)

    @property
    def postgres(self) -> PostgresServer:
        assert self._postgres is not None, "no databases were asked for"
        return self._postgres

    def postgres_url(self, database: str, driver: str = "postgresql+asyncpg") -> str:
        return self.postgres.url(database, driver)

    @property
    def redis_url(self) -> str:
        assert self._valkey is not None, "valkey was turned off"
        return self._valkey.url

    @property
    def aws_endpoint_url(self) -> str:
        assert self._emulator is not None, "the emulator was turned off"
        return self._emulator.url

    async def __aenter__(self) -> "EmbeddedServers":
        try:
            await self.supervisor.start()
        except BaseException:
            self._clean()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.supervisor.stop()
        finally:
            self._clean()

    def _processes(self) -> list[Process]:
        servers = (self._postgres, self._valkey, self._emulator)
        return [server.process() for server in servers if server is not None]

    def _clean(self) -> None:
        if self._postgres is not None:
            self._postgres.remove()
        for folder in ("valkey", "emulator"):
            shutil.rmtree(self.data_dir / folder, ignore_errors=True)
        if self._owns_folder:
            shutil.rmtree(self.data_dir, ignore_errors=True)


def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="stack-"))
    if server_uid() is not None:
        folder.chmod(0o711)  # PostgreSQL's user has to pass through.
    return folder

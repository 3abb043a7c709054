"""A bookstore that Docker Compose runs, by the `docker compose` command alone.

Guarantee: which project, files and ports is decided as for a person who types it in that folder, by
.env and the environment; so this finds what `docker compose up` has started there.
"""

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bookstore.local_stack import SERVICES
from bookstore.processes import until
from stack import StackError

HOST = "127.0.0.1"
COMMAND_SECONDS = 600.0
KILLED_SECONDS = 10.0
# The endpoint's name, and the service and its port in the container.
_PUBLISHED = {
    **{name: (f"{name}-web", 8000) for name in SERVICES},
    "stripe": ("stripe", 8000),
    "aws": ("localstack", 4566),
}
# Inside of the container: SIGKILL for what its init has started, which is a crash and no stop. The
# daemon does not restart what `docker kill` has killed.
_CRASH = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    with open(f"/proc/{pid}/stat") as stat:
        parent = int(stat.read().rpartition(")")[2].split()[1])
    if parent == 1:
        os.kill(int(pid), signal.SIGKILL)
"""


class ComposeStack:
    """The project of a folder, running or not; raises StackError with what Compose says."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        """`environment` is added to this process's own and wins over .env."""
        self._folder = folder
        self.environment = {**os.environ, **(environment or {})}
        self._killed: dict[str, str] = {}

    async def run(self, *arguments: str, timeout_seconds: float = COMMAND_SECONDS) -> str:
        """`docker compose` with these arguments; its standard output."""
        return await self.docker("compose", *arguments, timeout_seconds=timeout_seconds)

    async def docker(self, *arguments: str, timeout_seconds: float = COMMAND_SECONDS) -> str:
        """`docker` with these arguments; its standard output."""
        try:
            process = await asyncio.create_subprocess_exec(
                "docker",
                *arguments,
                cwd=self._folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError:
            raise StackError("there is no `docker` command on this machine") from None
        try:
            async with asyncio.timeout(timeout_seconds):
                out, errors = await process.communicate()
        except TimeoutError:
            raise StackError(
                f"{_shown(arguments)} did not end within {timeout_seconds:g} s"
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        if process.returncode != 0:
            said = (errors or out).decode(errors="replace").strip()
            raise StackError(f"{_shown(arguments)} failed: {said}")
        return out.decode()

    async def containers(self, *services: str) -> list[Mapping[str, Any]]:
        """What `docker inspect` says of these services' containers, or of all, stopped or not."""
        ids = (await self.run("ps", "--all", "--quiet", *services)).split()
        found: list[Mapping[str, Any]] = (
            json.loads(await self.docker("inspect", *ids)) if ids else []
        )
        return sorted(found, key=lambda each: str(each["Name"]))

    async def container(self, service: str) -> Mapping[str, Any]:
        """The first of a service's containers."""
        found = await self.containers(service)
        if not found:
            raise StackError(f"{service} has no container: start it with `docker compose up`")
        return found[0]

    async def endpoints(self) -> dict[str, str]:
        """Base URLs of what is published, by the names that the embedded stack uses."""
        ports = await self._ports()
        if ("order-web", 8000) not in ports:
            raise StackError(
                f"no bookstore of Docker Compose runs in {self._folder}: start it with "
                "`make compose-up`"
            )
        found = {
            name: f"http://{HOST}:{ports[where]}"
            for name, where in _PUBLISHED.items()
            if where in ports
        }
        if ("postgres", 5432) in ports:
            found |= await self._databases(ports["postgres", 5432])
        return found

    async def leftovers(self) -> list[str]:
        """Containers, volumes and networks of the project, running or not."""
        project = json.loads(await self.run("config", "--format", "json"))["name"]
        label = f"label=com.docker.compose.project={project}"
        found: list[str] = []
        for kind, names in (
            (("container", "ls", "--all"), "{{.Names}}"),
            (("volume", "ls"), "{{.Name}}"),
            (("network", "ls"), "{{.Name}}"),
        ):
            found += (await self.docker(*kind, "--filter", label, "--format", names)).split()
        return found

    async def kill(self, name: str) -> str:
        before = await self.container(name)
        self._killed[name] = before["State"]["StartedAt"]

        async def has_ended() -> bool:
            state = (await self.container(name))["State"]
            return state["StartedAt"] != self._killed[name] or not state["Running"]

        with contextlib.suppress(StackError):  # The command may die with its container.
            await self.run("exec", "--no-TTY", name, "python", "-I", "-S", "-c", _CRASH)
        await until(has_ended, f"{name} was killed and still runs", KILLED_SECONDS)
        return f"container {before['Id'][:8]}"

    async def wait_ready(self, name: str) -> None:
        async def is_ready() -> bool:
            state = (await self.container(name))["State"]
            is_new = state["StartedAt"] != self._killed.get(name)
            return is_new and is_healthy(state)

        await until(is_ready, f"{name} is not ready again")

    async def halt(self, name: str) -> None:
        await self.run("stop", name)

    async def resume(self, name: str) -> None:
        await self.run("start", name)
        await self.wait_ready(name)

    async def _ports(self) -> dict[tuple[str, int], int]:
        lines = (await self.run("ps", "--format", "json")).splitlines()
        return {
            (container["Service"], port["TargetPort"]): port["PublishedPort"]
            for container in map(json.loads, lines)
            for port in container["Publishers"] or ()
            if port["PublishedPort"]
        }

    async def _databases(self, port: int) -> dict[str, str]:
        """The services' own URLs, as seen from outside of the containers."""
        config = json.loads(await self.run("config", "--format", "json"))
        urls = {
            name.removesuffix("-web"): urlsplit(service["environment"]["DATABASE_URL"])
            for name, service in config["services"].items()
            if name.endswith("-web") and "DATABASE_URL" in service["environment"]
        }
        return {
            f"{name.upper()}_DATABASE_URL": url._replace(
                netloc=f"{url.netloc.rpartition('@')[0]}@{HOST}:{port}"
            ).geturl()
            for name, url in urls.items()
        }


def is_healthy(state: Mapping[str, Any]) -> bool:
    """Whether a container's `State` says that its health check passes."""
    return bool(state.get("Health", {}).get("Status") == "healthy")


def _shown(arguments: Sequence[str]) -> str:
    return f"`docker {' '.join(arguments)[:60]}`"

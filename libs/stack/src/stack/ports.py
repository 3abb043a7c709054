"""Which TCP port a server gets.

Guarantee: a port that the user fixed is used or refused with the name of its owner; a default that
is taken is replaced, and never in silence. A port picked here lies outside the kernel's range for
outgoing connections, so that no client socket can sit on it when its server restarts.
"""

import random
import socket
from pathlib import Path

import psutil

from stack.errors import PortTakenError, StackError

HOST = "127.0.0.1"
# Below Linux's ephemeral range (32768-60999) and macOS's (49152-65535).
FIRST_PICKED_PORT = 20_000
LAST_PICKED_PORT = 29_999
MAX_PICKS = 200
_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class PortAllocator:
    """Hands out each port once; `notices` has a line for each default that was taken."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self._given: set[int] = set()

    def choose(self, name: str, wanted: int, *, fixed: bool, variable: str | None = None) -> int:
        """`wanted` if it is free; else a picked one, or PortTakenError if the user fixed it.

        `variable` is the environment variable by which the user chooses the port.
        """
        if wanted not in self._given and is_free(wanted):
            self._given.add(wanted)
            return wanted
        if fixed:
            raise PortTakenError(taken_message(name, wanted, variable))
        picked = self.pick()
        self.notices.append(replaced_message(name, wanted, picked, variable))
        return picked

    def pick(self) -> int:
        """Any free port."""
        for _ in range(MAX_PICKS):
            port = random.randint(FIRST_PICKED_PORT, _last_picked_port())
            if port not in self._given and is_free(port):
                self._given.add(port)
                return port
        raise StackError(f"no free port found in {MAX_PICKS} tries: close other servers")


def is_free(port: int) -> bool:
    """Whether a server could listen on the port at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            # Linux lets two sockets bind under SO_REUSEADDR; only one of them can listen.
            probe.listen(1)
        except OSError:
            return False
    return True


def taken_message(name: str, port: int, variable: str | None) -> str:
    """One line: which port, whose it is, and what to do."""
    remedy = f"stop it or choose another with {variable}=..." if variable else "stop it first"
    return f"port {port} ({name}) is taken by {owner(port)}: {remedy}"


def replaced_message(name: str, port: int, picked: int, variable: str | None) -> str:
    """One line: which port, whose it is, which one is used instead, and how to choose another."""
    choice = f" (choose another with {variable}=...)" if variable else ""
    return f"port {port} ({name}) is taken by {owner(port)}: using {picked} instead{choice}"


def owner(port: int) -> str:
    """`pid N (name)` of who listens, as far as this user may see."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status != psutil.CONN_LISTEN or connection.laddr[1:2] != (port,):
                continue
            if connection.pid is not None:
                return f"pid {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass
    return "a process that this user may not see"


def _last_picked_port() -> int:
    try:
        first_ephemeral = int(_EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return LAST_PICKED_PORT
    # A machine with a widened range leaves little below it; then any port is as good.
    if first_ephemeral < FIRST_PICKED_PORT + 1_000:
        return LAST_PICKED_PORT
    return min(LAST_PICKED_PORT, first_ephemeral - 1)

"""Runs a local stack of processes and the servers that it embeds; knows no service."""

from stack.embedded import EmbeddedServers
from stack.emulator import EmulatorServer, find_python
from stack.errors import (
    AlreadyRunningError,
    NotRunningError,
    PortTakenError,
    StackError,
    StartError,
)
from stack.node import find_node
from stack.ports import PortAllocator
from stack.postgres import PostgresServer
from stack.process import NEVER, Completed, HttpReady, Process, RestartPolicy, TcpReady
from stack.run_lock import is_running, read_state
from stack.runner import Event, State
from stack.stop_signals import stop_signals
from stack.supervisor import Supervisor, console_for, serve
from stack.valkey import ValkeyServer

__all__ = [
    "NEVER",
    "AlreadyRunningError",
    "Completed",
    "EmbeddedServers",
    "EmulatorServer",
    "Event",
    "HttpReady",
    "NotRunningError",
    "PortAllocator",
    "PortTakenError",
    "PostgresServer",
    "Process",
    "RestartPolicy",
    "StackError",
    "StartError",
    "State",
    "Supervisor",
    "TcpReady",
    "ValkeyServer",
    "console_for",
    "find_node",
    "find_python",
    "is_running",
    "read_state",
    "serve",
    "stop_signals",
]

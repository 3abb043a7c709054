"""`bookstore up`, `down`, `status` and so on: the local stack from a terminal.

Guarantee: a user's mistake is one line on standard error and exit code 2, never a traceback.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import typer
from rich.console import Console
from rich.table import Table

from bookstore.local_stack import DATABASES, REGION, SERVICES, LocalStack, data_folder, local_stack
from stack import NotRunningError, StackError, console_for, is_running, read_state, serve
from stack.control import call, stop_and_wait, stream

console = Console()


@contextlib.contextmanager
def told_plainly() -> Iterator[None]:
    """Turn the stack's errors into a line and exit code 2."""
    try:
        yield
    except StackError as error:
        missing = isinstance(error, NotRunningError) and not is_running(data_folder())
        hint = ": start one with `make up`" if missing else ""
        print(f"bookstore: {error}{hint}", file=sys.stderr)
        raise typer.Exit(2) from None


def up() -> None:
    """Start the local stack in this terminal; Ctrl-C stops all of it."""
    with told_plainly():
        folder = data_folder()
        if is_running(folder):
            _already_running()
        stack = local_stack(folder)
        for notice in stack.notices:
            print(f"bookstore: {notice}", file=sys.stderr)
        supervisor = stack.supervisor(sink=console_for(stack.processes))

        async def ready() -> None:
            console.print(endpoints_table(stack))
            console.print("[bold green]ready[/] - Ctrl-C stops everything\n")

        asyncio.run(serve(supervisor, on_ready=ready))


def down() -> None:
    """Stop a stack that runs in another terminal."""
    with told_plainly():
        try:
            asyncio.run(stop_and_wait(data_folder()))
        except NotRunningError:
            console.print("no stack runs here")
            return
        console.print("stopped")


def status() -> None:
    """Show what runs, on which ports."""
    with told_plainly():
        state = asyncio.run(call(data_folder(), "status"))
        table = Table("process", "state", "pid", "port", "restarts", "ready after")
        for name, process in state["processes"].items():
            seconds = process.get("ready_seconds")
            table.add_row(
                name,
                str(process["state"]),
                str(process["pid"] or "-"),
                str(process["port"] or "-"),
                str(process["restarts"]),
                f"{seconds:.1f} s" if seconds is not None else "-",
            )
        console.print(table)


def restart(name: str) -> None:
    """Restart one process of the running stack, such as `payment-worker`."""
    with told_plainly():
        asyncio.run(call(data_folder(), "restart", name=name))
        console.print(f"{name} is ready again")


def halt(name: str) -> None:
    """Stop one process of the running stack, such as `search-worker`, until it is resumed."""
    with told_plainly():
        asyncio.run(call(data_folder(), "halt", name=name))
        console.print(f"{name} is stopped")


def resume(name: str) -> None:
    """Start a process that was halted."""
    with told_plainly():
        asyncio.run(call(data_folder(), "resume", name=name))
        console.print(f"{name} is ready again")


def reindex() -> int:
    """Have the search index of the running stack rebuilt, and look on; an exit code."""
    with told_plainly():
        found = read_state(data_folder())["endpoints"]
        needed = {
            "AWS_ENDPOINT_URL": found["aws"],
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "REDIS_URL": found["redis"],
            "LOG_FORMAT": "console",
        }
        command = [sys.executable, "-m", "search_service", "reindex"]
        return subprocess.run(command, env={**os.environ, **needed}, check=False).returncode
    return 2


def kill(name: str, signal: str = "SIGKILL") -> None:
    """Kill one process of the running stack, to see what follows."""
    with told_plainly():
        asyncio.run(call(data_folder(), "kill", name=name, signal=signal))


def logs(name: str | None = typer.Argument(None), follow: bool = True) -> None:
    """Show the logs of the running stack, of all processes or of one."""

    async def show() -> None:
        async for entry in stream(data_folder(), "logs", name=name, follow=follow):
            if entry is None:
                continue
            print(f"{entry['name']} | {entry['line']}", flush=True)

    with told_plainly(), contextlib.suppress(KeyboardInterrupt):
        asyncio.run(show())


def clean() -> None:
    """Remove the stack's data."""
    from stack import PostgresServer

    with told_plainly():
        folder = data_folder()
        if is_running(folder):
            raise StackError("a stack runs on this data: stop it first with `make down`")
        PostgresServer(folder, 1, databases=DATABASES).remove()
        shutil.rmtree(folder, ignore_errors=True)


def endpoints_table(stack: LocalStack) -> Table:
    """Where clients reach the stack."""
    table = Table("what", "where", title="bookstore")
    for name in SERVICES:
        table.add_row(f"{name} API, with docs", f"{stack.endpoints[name]}/docs")
    table.add_row("mails that were sent", f"{stack.endpoints['notification']}/mailbox")
    table.add_row("Stripe simulator's ledger", f"{stack.endpoints['stripe']}/_simulator/ledger")
    table.add_row("AWS endpoint", stack.endpoints["aws"])
    return table


def _already_running() -> None:
    state = read_state(data_folder())
    ports = ", ".join(f"{name} {port}" for name, port in state["ports"].items())
    raise StackError(
        f"a stack already runs (pid {state['pid']}, ports: {ports}): use it, or stop it with "
        "`make down`"
    )

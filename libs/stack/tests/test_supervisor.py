"""The supervisor on real processes: order, readiness, crashes, restarts, the end."""

import asyncio
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from stack import (
    NEVER,
    Completed,
    Process,
    RestartPolicy,
    StackError,
    StartError,
    State,
    Supervisor,
)
from stack.runner import Event
from stack.supervisor import in_dependency_order

SLEEP = "import time; print('up'); time.sleep(60)"
Until = Callable[[Callable[[], object]], Awaitable[None]]
FAST = RestartPolicy(initial_delay_seconds=0.01, max_quick_crashes=3)


def python(name: str, code: str = SLEEP, **fields: Any) -> Process:
    return Process(name, (sys.executable, "-S", "-c", code), **{"restart": FAST, **fields})


async def test_a_process_starts_once_its_dependencies_are_ready(
    data_dir: Path, until: Until
) -> None:
    events: list[Event] = []
    allowed = asyncio.Event()

    async def database_is_ready() -> bool:
        return allowed.is_set()

    stack = [
        python("service", depends_on=("database", "cache")),
        python("database", readiness=database_is_ready),
        python("cache"),
    ]
    supervisor = Supervisor(stack, data_dir, on_event=events.append)
    starting = asyncio.create_task(supervisor.start())
    await until(lambda: ("cache", State.READY) in [(e.process, e.state) for e in events])
    assert "service" not in [event.process for event in events]
    allowed.set()
    await starting
    states = [(event.process, event.state) for event in events]
    assert states.index(("database", State.READY)) < states.index(("service", State.STARTING))
    await supervisor.stop()


async def test_stopping_ends_dependents_before_what_they_depend_on(data_dir: Path) -> None:
    events: list[Event] = []
    stack = [python("database"), python("service", depends_on=("database",))]
    async with Supervisor(stack, data_dir, on_event=events.append) as supervisor:
        pids = [supervisor.pid("database"), supervisor.pid("service")]
    stopped = [event.process for event in events if event.state is State.STOPPED]
    assert stopped == ["service", "database"]
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)


async def test_a_failed_start_shows_the_last_lines_and_leaves_nothing_running(
    data_dir: Path,
) -> None:
    pids: list[int] = []

    async def remember() -> None:
        pids.append(supervisor.pid("database") or 0)

    broken = python(
        "service", "print('no such table: orders'); raise SystemExit(3)", readiness=Completed()
    )
    stack = [python("database", provision=remember), broken]
    supervisor = Supervisor(stack, data_dir)
    with pytest.raises(StartError) as raised:
        await supervisor.start()
    headline, *tail = str(raised.value).splitlines()
    assert headline.startswith("service exited with code 3 before it was ready (log: ")
    assert tail == ["  service | no such table: orders"]
    assert not psutil.pid_exists(pids[0]) if pids else True
    assert not (data_dir / "stack.json").exists()


async def test_a_process_that_never_gets_ready_is_named_with_the_reason(data_dir: Path) -> None:
    async def no() -> bool:
        return False

    stack = [python("service", readiness=no, ready_timeout_seconds=0.3)]
    with pytest.raises(StartError, match=r"service was not ready within 0.3 s: its readiness"):
        await Supervisor(stack, data_dir).start()


async def test_a_missing_program_is_one_line(data_dir: Path) -> None:
    stack = [Process("service", ("/no/such/program",))]
    with pytest.raises(StartError, match=r"cannot start /no/such/program: .*No such file"):
        await Supervisor(stack, data_dir).start()


async def test_a_crashed_process_is_unready_until_its_successor_is_ready(
    data_dir: Path, until: Until
) -> None:
    ready_flags: dict[State, bool] = {}

    def note(event: Event) -> None:
        ready_flags[event.state] = supervisor.is_ready("service")

    supervisor = Supervisor([python("service")], data_dir, on_event=note)
    async with supervisor:
        first = supervisor.kill("service", signal.SIGKILL)
        await until(lambda: supervisor.pid("service") not in (first, None))
        await supervisor.wait_ready("service")
        assert supervisor.status()["processes"]["service"]["restarts"] == 1
        assert ready_flags[State.BACKOFF] is False
        assert ready_flags[State.STARTING] is False
        assert ready_flags[State.READY] is True


async def test_the_supervisor_gives_up_after_quick_crashes_and_a_restart_revives(
    data_dir: Path, until: Until
) -> None:
    sick = data_dir / "sick"
    code = f"import os, time; os.path.exists({str(sick)!r}) and os._exit(7); time.sleep(60)"

    async def lives() -> bool:
        await asyncio.sleep(0.2)
        return True

    events: list[Event] = []
    stack = [python("service", code, readiness=lives)]
    async with Supervisor(stack, data_dir, on_event=events.append) as supervisor:
        sick.touch()
        supervisor.kill("service")
        await until(lambda: events[-1].state is State.FAILED)
        assert "exited with code 7 before it was ready; gave up after 3" in events[-1].message
        sick.unlink()
        await supervisor.restart("service")
        assert supervisor.is_ready("service")


async def test_a_restart_on_demand_replaces_the_process_and_is_no_crash(data_dir: Path) -> None:
    async with Supervisor([python("service", restart=NEVER)], data_dir) as supervisor:
        first = supervisor.pid("service")
        await supervisor.restart("service")
        assert supervisor.is_ready("service")
        assert supervisor.pid("service") != first
        with pytest.raises(StackError, match="no process 'servce': there are service"):
            await supervisor.restart("servce")


async def test_a_halted_process_stays_away_until_it_is_resumed(data_dir: Path) -> None:
    async with Supervisor([python("service", restart=FAST)], data_dir) as supervisor:
        first = supervisor.pid("service")
        await supervisor.halt("service")
        assert supervisor.pid("service") is None
        assert supervisor.status()["processes"]["service"]["state"] == "stopped"
        with pytest.raises(StackError, match="service is stopped"):
            await supervisor.restart("service")
        await supervisor.resume("service")
        assert supervisor.is_ready("service")
        assert supervisor.pid("service") not in (None, first)
        await supervisor.resume("service")  # Harmless: it runs.


async def test_a_process_that_ignores_its_stop_signal_is_killed_after_its_grace(
    data_dir: Path, until: Until
) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)\n"
    code += "while True: time.sleep(1)"
    supervisor = Supervisor([python("service", code, stop_grace_seconds=0.2)], data_dir)
    await supervisor.start()
    await until(lambda: supervisor.log_tail("service", 1) == [("service", "deaf")])
    pid = supervisor.pid("service")
    await supervisor.stop()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert "did not stop within 0.2 s" in (data_dir / "logs" / "stack.log").read_text()


async def test_what_a_process_started_ends_with_it(data_dir: Path, until: Until) -> None:
    code = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid); time.sleep(60)"
    async with Supervisor([python("service", code)], data_dir) as supervisor:
        await until(lambda: supervisor.log_tail("service", 1))
        grandchild = int(supervisor.log_tail("service", 1)[0][1])
        supervisor.kill("service")
        await until(lambda: not alive(grandchild))


async def test_a_completed_step_lets_its_dependents_go(data_dir: Path) -> None:
    stack = [
        python("migrate", "print('migrated')", readiness=Completed()),
        python("service", depends_on=("migrate",)),
    ]
    async with Supervisor(stack, data_dir) as supervisor:
        states = {n: p["state"] for n, p in supervisor.status()["processes"].items()}
        assert states == {"migrate": "completed", "service": "ready"}


async def test_a_child_sees_only_what_is_declared(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    code = "import os, time; print(os.environ.get('AWS_PROFILE'), os.environ['MINE'])"
    stack = [python("service", code, env={"MINE": "1"}, readiness=Completed())]
    async with Supervisor(stack, data_dir) as supervisor:
        assert supervisor.log_tail("service", 5) == [("service", "None 1")]


async def test_logs_keep_every_byte_and_the_previous_run(data_dir: Path) -> None:
    def stack(word: str) -> list[Process]:
        return [python("service", f"print({word!r} * 100_000, end='')", readiness=Completed())]

    for word in ("first", "second"):
        async with Supervisor(stack(word), data_dir):
            pass
    assert (data_dir / "logs" / "service.log").read_text() == "second" * 100_000
    assert (data_dir / "logs" / "service.1.log").read_text() == "first" * 100_000


async def test_stopping_during_the_start_leaves_nothing(data_dir: Path, until: Until) -> None:
    async def no() -> bool:
        return False

    supervisor = Supervisor([python("a", readiness=no), python("b", depends_on=("a",))], data_dir)
    starting = asyncio.create_task(supervisor.start())
    await until(lambda: supervisor.status()["processes"] and supervisor.pid("a"))
    pid = supervisor.pid("a")
    supervisor.request_stop()
    with pytest.raises(StackError, match="stopped before everything was ready"):
        await starting
    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_a_cycle_is_refused_with_its_path() -> None:
    stack = [python("a", depends_on=("b",)), python("b", depends_on=("a",))]
    with pytest.raises(StackError, match="a -> b -> a"):
        in_dependency_order(stack)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_children_need_the_main_thread_because_they_die_with_the_thread(data_dir: Path) -> None:
    async def start() -> None:
        await Supervisor([python("a")], data_dir).start()

    errors: list[Exception] = []

    def run() -> None:
        try:
            asyncio.run(start())
        except StackError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


async def test_a_data_directory_that_cannot_be_made_is_one_line(data_dir: Path) -> None:
    (data_dir / "file").touch()
    with pytest.raises(StackError, match="cannot write to the data directory: "):
        await Supervisor([python("a")], data_dir / "file" / "deeper").start()


async def test_a_restart_during_a_start_waits_for_that_start(data_dir: Path) -> None:
    slow = asyncio.Event()

    async def prepare() -> None:
        await slow.wait()

    supervisor = Supervisor([python("service", prepare=prepare)], data_dir)
    starting = asyncio.create_task(supervisor.start())
    await asyncio.sleep(0)
    restarting = asyncio.create_task(supervisor.restart("service"))
    slow.set()
    await asyncio.gather(starting, restarting)
    assert supervisor.is_ready("service")
    await supervisor.stop()

"""A launched process dies at the armed point and nowhere else, and its clock can be set wrong."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.barriers import Barrier, arm, barrier_file, clock_file, disarm, write

WAIT_SECONDS = 20.0
# A service as small as can be: it comes to a point again and again, and says so.
STEPS = """
import asyncio, sys
from asyncpg.transaction import Transaction

async def run():
    for number in range(int(sys.argv[1])):
        try:
            await Transaction.commit(None)
        except AttributeError:
            pass  # There is none; the point before it is reached all the same.
        print(number, flush=True)
        sys.stdin.readline()
asyncio.run(run())
"""
CLOCKS = """
import sys, time
from datetime import UTC, datetime
while sys.stdin.readline():
    print(time.time(), datetime.now(UTC).timestamp(), time.time_ns() / 1e9, time.monotonic(),
          isinstance(datetime.now(), datetime), type(datetime(2026, 1, 1)).__name__, flush=True)
"""


class Launched:
    """A module in the launcher, step by step."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def step(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextmanager
def launched(folder: Path, code: str, *arguments: str) -> Iterator[Launched]:
    (folder / "small_service.py").write_text(code)
    process = subprocess.Popen(
        [sys.executable, "-m", "faults.barriers", str(folder), "it", "small_service", *arguments],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Launched(process)
    finally:
        process.kill()
        process.communicate()


def test_process_dies_at_the_nth_time_and_its_successor_does_not(tmp_path: Path) -> None:
    with launched(tmp_path, STEPS, "5") as it:
        assert it.line() == "0"
        arm(tmp_path, "it", "commit:before", 2)
        it.step()
        assert it.line() == "1"
        it.step()
        assert it.process.wait(WAIT_SECONDS) == -signal.SIGKILL
        assert it.line() == ""
    assert not disarm(tmp_path, "it")
    with launched(tmp_path, STEPS, "2") as successor:
        assert successor.line() == "0"
        successor.step()
        assert successor.line() == "1"
        successor.step()
        assert successor.process.wait(WAIT_SECONDS) == 0


def test_process_freezes_at_the_point_and_goes_on_from_there(tmp_path: Path) -> None:
    with launched(tmp_path, STEPS, "2") as it:
        assert it.line() == "0"
        arm(tmp_path, "it", "commit:before", 1, signal.SIGSTOP)
        it.step()
        _, status = os.waitpid(it.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        it.process.send_signal(signal.SIGCONT)
        assert it.line() == "1"


def test_barrier_of_another_point_or_process_does_nothing(tmp_path: Path) -> None:
    arm(tmp_path, "it", "put_events:after", 1)
    arm(tmp_path, "another", "commit:before", 1)
    with launched(tmp_path, STEPS, "1") as it:
        assert it.line() == "0"
        it.step()
        assert it.process.wait(WAIT_SECONDS) == 0
    assert disarm(tmp_path, "it")
    assert disarm(tmp_path, "another")


def test_disarmed_barrier_lets_pass(tmp_path: Path) -> None:
    barrier = Barrier(barrier_file(tmp_path, "it"))
    arm(tmp_path, "it", "commit:after", 1)
    assert disarm(tmp_path, "it")
    barrier.reach("commit:after")


async def test_point_after_is_reached_with_the_answer_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points: list[str] = []
    barrier = Barrier(barrier_file(tmp_path, "it"))
    monkeypatch.setattr(barrier, "reach", points.append)

    async def call(answer: str) -> str:
        if answer == "refused":
            raise ConnectionError
        return answer

    around = barrier.around(call, lambda _: "call")
    assert await around("granted") == "granted"
    with pytest.raises(ConnectionError):
        await around("refused")
    assert points == ["call:before", "call:after", "call:before"]


def test_clock_is_set_wrong_and_right_while_it_runs(tmp_path: Path) -> None:
    with launched(tmp_path, CLOCKS) as it:

        def wrong_by() -> float:
            it.step()
            wall, now, nanoseconds, _, is_datetime, kind = it.line().split()
            assert (is_datetime, kind) == ("True", "datetime")
            assert float(now) == pytest.approx(float(wall), abs=0.5)
            assert float(nanoseconds) == pytest.approx(float(wall), abs=0.5)
            return float(wall) - time.time()

        assert wrong_by() == pytest.approx(0, abs=2)
        for seconds in (300, -600):
            write(clock_file(tmp_path, "it"), str(seconds))
            time.sleep(0.1)
            assert wrong_by() == pytest.approx(seconds, abs=2)
        clock_file(tmp_path, "it").unlink()
        time.sleep(0.1)
        assert wrong_by() == pytest.approx(0, abs=2)


def test_arguments_missing_is_said(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "faults.barriers", str(tmp_path)], capture_output=True, text=True
    )
    assert process.returncode == 1
    assert "usage: python -m faults.barriers" in process.stderr

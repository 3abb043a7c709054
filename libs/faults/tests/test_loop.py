"""Virtual time: timers fire in their order, nobody waits, and the clocks are put back."""

import asyncio
import time

import pytest

from faults.loop import EPOCH, SKEW_SECONDS, Deadlock, VirtualLoop, run_virtually, wall_seconds

DAY_SECONDS = 86_400.0


def test_timers_fire_in_the_order_of_their_times() -> None:
    async def main(loop: VirtualLoop) -> list[str]:
        rung: list[str] = []
        for name, seconds in (("third", 3 * DAY_SECONDS), ("first", 0.1), ("second", 0.2)):
            loop.call_later(seconds, rung.append, name)
        await asyncio.sleep(4 * DAY_SECONDS)
        return rung

    assert run_virtually(main) == ["first", "second", "third"]


def test_days_pass_in_no_time() -> None:
    async def main(loop: VirtualLoop) -> float:
        for _ in range(30):
            await asyncio.sleep(DAY_SECONDS)
        return loop.time()

    began = time.perf_counter()

    assert run_virtually(main) == pytest.approx(30 * DAY_SECONDS)
    assert time.perf_counter() - began < DAY_SECONDS


def test_no_time_passes_while_somebody_is_ready() -> None:
    async def main(loop: VirtualLoop) -> float:
        for _ in range(1_000):
            await asyncio.sleep(0)
        return loop.time()

    assert run_virtually(main) < 0.001


def test_time_module_tells_the_loops_time() -> None:
    async def main(loop: VirtualLoop) -> None:
        await asyncio.sleep(90)
        assert time.time() == wall_seconds(loop) == pytest.approx(EPOCH + 90)
        assert time.time_ns() == pytest.approx((EPOCH + 90) * 1e9)
        assert time.monotonic() == loop.time()

    run_virtually(main)


def test_clocks_are_put_back_after_a_failure_too() -> None:
    async def main(loop: VirtualLoop) -> None:
        raise LookupError

    clocks = time.time, time.time_ns, time.monotonic
    with pytest.raises(LookupError):
        run_virtually(main)

    assert (time.time, time.time_ns, time.monotonic) == clocks


def test_skewed_clock_is_wrong_for_its_process_alone() -> None:
    async def shown() -> tuple[float, float]:
        return time.time(), time.monotonic()

    async def main(loop: VirtualLoop) -> None:
        SKEW_SECONDS.set(-120.0)
        behind = loop.create_task(shown())
        SKEW_SECONDS.set(0.0)
        right = loop.create_task(shown())
        (wall_behind, ticks_behind), (wall_right, ticks_right) = await asyncio.gather(behind, right)

        assert wall_right - wall_behind == pytest.approx(120)
        assert ticks_right == ticks_behind

    run_virtually(main)


def test_waiting_for_what_nobody_does_is_a_deadlock() -> None:
    async def main(loop: VirtualLoop) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(asyncio.current_task() is not None)

    ended: list[bool] = []
    with pytest.raises(Deadlock):
        run_virtually(main)

    assert ended == [True]


def test_what_is_left_running_is_cancelled() -> None:
    ended: list[str] = []

    async def linger() -> None:
        try:
            await asyncio.sleep(DAY_SECONDS)
        finally:
            ended.append("cancelled")

    async def main(loop: VirtualLoop) -> None:
        loop.create_task(linger())
        await asyncio.sleep(1)

    run_virtually(main)

    assert ended == ["cancelled"]


async def test_run_inside_of_a_running_loop_leaves_that_loop_running() -> None:
    async def main(loop: VirtualLoop) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    outer = asyncio.get_running_loop()

    assert run_virtually(main) is not outer
    assert asyncio.get_running_loop() is outer

"""What a fault does to a process: the effect, what is heard of it, who lives on."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from faults.gate import ProcessDead
from faults.loop import VirtualLoop, run_virtually
from faults.plan import Plan, Site
from faults.world import RESTART_SECONDS, Incarnation, World, in_process

PAUSE_SECONDS = 100.0
SITE = "clerk:write(book)"
Main = Callable[["Scene", Incarnation], Awaitable[None]]


class Lost(Exception):
    """What the clerk's client raises when the other side is out of reach."""


class Scene:
    """A world with one shelf, on which processes write their life's number."""

    def __init__(self, loop: VirtualLoop, plan: str, seed: int) -> None:
        self.world = World(
            loop,
            Plan.parse(plan),
            seed,
            pause_seconds=PAUSE_SECONDS,
            subject=lambda operation, detail: "+".join(detail),
            keep_trace=True,
        )
        self.shelf: list[tuple[int, float]] = []
        self.heard: list[Any] = []

    @property
    def writers(self) -> list[int]:
        return [number for number, _ in self.shelf]

    async def write(self, life: Incarnation, twists: tuple[str, ...] = ()) -> str:
        """Write through the gate of that life."""

        def effect(twist: str | None) -> str:
            self.shelf.append((life.number, self.world.loop.time()))
            return twist or "written"

        return await life.call("write", ["book"], effect, error=Lost, twists=twists)


async def write_once(scene: Scene, life: Incarnation) -> None:
    """A clerk: write, note what is heard, and stay."""
    try:
        scene.heard.append(await scene.write(life, ("late",)))
    except Lost as lost:
        scene.heard.append(str(lost))
    await asyncio.sleep(10_000)


def play(
    plan: str = "", *, clerk: Main = write_once, seconds: float = 1_000.0, seed: int = 0
) -> Scene:
    async def main(loop: VirtualLoop) -> Scene:
        scene = Scene(loop, plan, seed)
        scene.world.start("clerk", lambda life: clerk(scene, life))
        await asyncio.sleep(seconds)
        scene.world.stop()
        return scene

    return run_virtually(main)


def test_undisturbed_operation_takes_effect_once() -> None:
    scene = play()

    assert (scene.writers, scene.heard, scene.world.crashes) == ([1], ["written"], 0)


def test_crash_before_leaves_no_effect_and_the_next_life_acts() -> None:
    scene = play(f"{SITE}:crash_before")

    assert (scene.writers, scene.heard) == ([2], ["written"])
    assert scene.shelf[0][1] > RESTART_SECONDS


def test_crash_after_leaves_the_effect_and_tells_nobody() -> None:
    scene = play(f"{SITE}:crash_after")

    assert (scene.writers, scene.heard) == ([1, 2], ["written"])


def test_error_before_leaves_no_effect() -> None:
    scene = play(f"{SITE}:error_before")

    assert (scene.writers, scene.heard) == ([], ["it is out of reach"])


def test_error_after_hides_the_effect() -> None:
    scene = play(f"{SITE}:error_after")

    assert (scene.writers, scene.heard) == ([1], ["its answer was lost"])


def test_pause_before_delays_the_effect() -> None:
    scene = play(f"{SITE}:pause_before")

    assert scene.writers == [1]
    assert scene.shelf[0][1] >= PAUSE_SECONDS


def test_pause_after_delays_only_what_comes_next() -> None:
    scene = play(f"{SITE}:pause_after", seconds=PAUSE_SECONDS / 2)

    assert (scene.writers, scene.heard) == ([1], [])
    assert play(f"{SITE}:pause_after").heard == ["written"]


def test_pause_stops_the_whole_process_and_nobody_else() -> None:
    async def two_at_once(scene: Scene, life: Incarnation) -> None:
        await asyncio.gather(scene.write(life), scene.write(life))
        await asyncio.sleep(10_000)

    async def main(loop: VirtualLoop) -> Scene:
        scene = Scene(loop, f"{SITE}:pause_before", 0)
        scene.world.start("clerk", lambda life: two_at_once(scene, life))
        scene.world.start("other", lambda life: write_once(scene, life))
        await asyncio.sleep(1_000)
        scene.world.stop()
        return scene

    first, *others = [at for _, at in run_virtually(main).shelf]

    assert first < 1
    assert min(others) >= PAUSE_SECONDS


def test_twist_is_handed_to_the_effect() -> None:
    assert play(f"{SITE}:late").heard == ["late"]


def test_dead_incarnation_is_fenced() -> None:
    async def main(loop: VirtualLoop) -> Scene:
        scene = Scene(loop, f"{SITE}:crash_before", 0)
        scene.world.start("clerk", lambda life: write_once(scene, life))
        first = scene.world.life_of("clerk")
        await asyncio.sleep(1)
        with pytest.raises(ProcessDead):
            await scene.write(first)
        return scene

    assert run_virtually(main).writers == []


def test_operation_on_its_way_dies_with_its_process() -> None:
    async def two_at_once(scene: Scene, life: Incarnation) -> None:
        await asyncio.gather(scene.write(life), scene.write(life))
        await asyncio.sleep(10_000)

    # The second one strikes while the first one is under way.
    scene = play(f"{SITE}#2:crash_before", clerk=two_at_once)

    assert scene.writers == [2, 2]


def test_tasks_of_a_dead_process_are_cancelled_however_deep() -> None:
    beats: list[int] = []

    async def beat(life: Incarnation) -> None:
        while True:
            beats.append(life.number)
            await asyncio.sleep(0.5)

    async def nest(life: Incarnation) -> None:
        asyncio.create_task(beat(life))  # noqa: RUF006  # The loop keeps every task.
        await asyncio.sleep(10_000)

    async def clerk(scene: Scene, life: Incarnation) -> None:
        nested = asyncio.create_task(nest(life))
        await asyncio.sleep(1)
        await scene.write(life)
        await nested

    play(f"{SITE}:crash_before", clerk=clerk, seconds=20)

    last_of_first = len(beats) - beats[::-1].index(1)
    assert beats.count(1) <= 3
    assert set(beats[last_of_first:]) == {2}


def test_resources_are_freed_at_death() -> None:
    freed: list[int] = []

    async def clerk(scene: Scene, life: Incarnation) -> None:
        life.on_death.append(lambda: freed.append(life.number))
        await write_once(scene, life)

    play(f"{SITE}:crash_after", clerk=clerk)

    assert freed == [1]


def test_process_that_ends_by_itself_is_started_again() -> None:
    async def clerk(scene: Scene, life: Incarnation) -> None:
        await scene.write(life)
        if life.number < 3:
            raise LookupError("a bug")
        await asyncio.sleep(10_000)

    assert play(clerk=clerk).writers == [1, 2, 3]


def test_what_is_called_as_a_process_dies_with_it() -> None:
    async def main(loop: VirtualLoop) -> bool:
        scene = Scene(loop, f"{SITE}:crash_before", 0)
        scene.world.start("clerk", lambda life: write_once(scene, life))
        life = scene.world.life_of("clerk")
        asked = in_process(life, lambda: loop.create_task(asyncio.sleep(10)))
        await asyncio.wait([asked])
        return asked.cancelled()

    assert run_virtually(main)


def test_stopped_world_starts_nothing_again() -> None:
    async def main(loop: VirtualLoop) -> Scene:
        scene = Scene(loop, f"{SITE}:crash_before", 0)
        scene.world.start("clerk", lambda life: write_once(scene, life))
        await asyncio.sleep(RESTART_SECONDS / 2)
        scene.world.stop()
        await asyncio.sleep(1_000)
        return scene

    assert run_virtually(main).writers == []


def test_each_process_has_its_own_wrong_clock() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        scene, shown = Scene(loop, "", 0), []

        async def look(life: Incarnation) -> None:
            shown.append(time.time())
            await asyncio.sleep(10_000)

        for name, skew in (("right", 0.0), ("ahead", 60.0)):
            scene.world.start(name, look, skew_seconds=skew)
        await asyncio.sleep(1)
        scene.world.stop()
        return shown

    right, ahead = run_virtually(main)

    assert ahead - right == pytest.approx(60, abs=0.001)


def test_same_seed_gives_the_same_trace_and_another_seed_another() -> None:
    plan = f"{SITE}:crash_after {SITE}#2:pause_before"
    hashes = [play(plan, seed=seed).world.trace_hash for seed in (7, 7, 8)]

    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def test_visits_name_each_operation_and_what_it_could_have_met() -> None:
    (visit,) = play().world.visits

    assert visit.site == Site("clerk", "write", "book")
    assert set(visit.faults) >= {"crash_before", "error_after", "late"}
    assert "duplicate" not in visit.faults


def test_fault_at_an_operation_that_is_never_reached_is_not_met() -> None:
    scene = play(f"{SITE}#2:crash_before")

    assert (scene.world.met, scene.writers) == ([], [1])

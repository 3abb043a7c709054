"""Faults of servers and containers in the midst of orders: slower at most, never wrong."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bookstore.compose import ComposeStack, is_healthy
from bookstore.processes import until
from drive.load import Load
from drive.platform import Platform

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("mended")]

Fault = Callable[[], Awaitable[object]]


async def in_the_midst(load: Load, fault: Fault) -> None:
    """The load, and the fault when a random number of orders has been accepted."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(load.run())
        await load.reached(load.moment())
        await fault()


def lease_seconds(container: Any) -> float:
    """The longest for which a worker's claim on a message holds."""
    environment = dict(line.partition("=")[::2] for line in container["Config"]["Env"])
    return max(float(environment[name]) for name in ("VISIBILITY_SECONDS", "LEASE_SECONDS"))


async def healthy(compose: ComposeStack, service: str) -> None:
    async def is_it() -> bool:
        return is_healthy((await compose.container(service))["State"])

    await until(is_it, f"{service} is not healthy", 90)


async def unpublished(platform: Platform) -> int:
    answer = await platform.http.get(f"{platform.endpoints['order']}/ops/messages")
    return int(answer.json()["outbox"]["pending"])


async def test_emulator_that_forgets_everything_loses_nothing(
    platform: Platform, compose: ComposeStack
) -> None:
    """It is killed and started again, with an empty memory, while orders are on their way."""
    load = Load(platform, "forgetful emulator")

    async def forget() -> None:
        await compose.run("kill", "localstack")
        await compose.run("start", "localstack")
        await healthy(compose, "localstack")

    await in_the_midst(load, forget)
    await load.check()


async def test_messages_that_were_forgotten_in_a_queue_are_published_again(
    platform: Platform, compose: ComposeStack
) -> None:
    """Published and marked, and in the emulator's memory alone when that is lost."""
    load = Load(platform, "forgotten in the queue", orders=40)
    await compose.run("stop", "catalog-worker")
    await load.run()

    async def all_published() -> bool:
        return await unpublished(platform) == 0

    await until(all_published, "the outbox is not empty")
    await compose.run("restart", "--timeout", "0", "localstack")
    await healthy(compose, "localstack")
    await compose.run("start", "catalog-worker")
    await load.check()


async def test_emulator_that_is_down_at_start_is_waited_for(
    platform: Platform, compose: ComposeStack
) -> None:
    load = Load(platform, "late emulator", orders=20)
    services = [
        f"{name}-{role}" for name in ("order", "catalog", "payment") for role in ("web", "worker")
    ]
    await compose.run("stop", "localstack", *services)
    # By the daemon itself: Compose would start what they depend on.
    for service in services:
        await compose.docker("start", (await compose.container(service))["Id"])
    for service in services:
        await healthy(compose, service)
    await load.run()
    await compose.run("start", "localstack")
    await load.check()


async def test_postgres_restarted_under_load(platform: Platform, compose: ComposeStack) -> None:
    load = Load(platform, "restarted postgres")
    await in_the_midst(load, lambda: compose.run("restart", "postgres"))
    await load.check()


async def test_postgres_killed_under_load(platform: Platform, compose: ComposeStack) -> None:
    load = Load(platform, "killed postgres")

    async def crash() -> None:
        await compose.run("kill", "postgres")
        await compose.run("start", "postgres")

    await in_the_midst(load, crash)
    await load.check()


async def test_redis_flushed_under_load(platform: Platform, compose: ComposeStack) -> None:
    load = Load(platform, "flushed redis")
    await in_the_midst(
        load, lambda: compose.run("exec", "--no-TTY", "redis", "redis-cli", "flushall")
    )
    await load.check()


async def test_books_are_read_and_sold_without_redis(
    platform: Platform, compose: ComposeStack
) -> None:
    await compose.run("stop", "redis")
    book = await platform.list_book("Read without Redis", stock=1)
    answer = await platform.http.get(f"{platform.endpoints['catalog']}/books/{book['book_id']}")
    assert (answer.status_code, answer.json()["available"]) == (200, 1)
    load = Load(platform, "no redis")
    await load.run()
    await load.check()


@pytest.mark.parametrize("victim", ["order-worker", "catalog-worker", "payment-worker"])
async def test_worker_killed_and_started_again(
    platform: Platform, compose: ComposeStack, victim: str
) -> None:
    load = Load(platform, f"compose kill {victim}")

    async def kill() -> None:
        await compose.run("kill", victim)
        await compose.run("start", victim)

    await in_the_midst(load, kill)
    await load.check()


@pytest.mark.parametrize("victim", ["order-worker", "catalog-worker", "payment-worker"])
async def test_worker_that_stood_still_beyond_every_lease_does_no_harm(
    platform: Platform, compose: ComposeStack, victim: str
) -> None:
    """One of two; what it held is done by the other, and then it goes on with it."""
    await compose.run("up", "--no-build", "--wait", "--no-recreate", f"--scale={victim}=2")
    frozen = (await compose.container(victim))["Id"]
    lease = lease_seconds(await compose.container(victim))
    load = Load(platform, f"paused {victim}")
    paused_at = 0.0

    async def pause() -> None:
        nonlocal paused_at
        await compose.docker("pause", frozen)
        paused_at = time.monotonic()

    await in_the_midst(load, pause)
    await load.settled()

    async def lease_is_over() -> bool:
        return time.monotonic() - paused_at > 2 * lease

    await until(lease_is_over, "the clock stands still")
    await compose.docker("unpause", frozen)
    await load.check()
    await healthy(compose, victim)  # Its health checks stood still, too.


@pytest.mark.parametrize("service", ["order-worker", "catalog-worker", "payment-worker"])
async def test_stopped_worker_drains_within_its_grace(
    platform: Platform, compose: ComposeStack, service: str
) -> None:
    load = Load(platform, f"stopped {service}")
    seconds = 0.0

    async def stop_and_start() -> None:
        nonlocal seconds
        began = time.monotonic()
        await compose.run("stop", service)
        seconds = time.monotonic() - began
        state = (await compose.container(service))["State"]
        assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
        await compose.run("start", service)

    await in_the_midst(load, stop_and_start)
    assert seconds < 10
    await load.check()


async def test_roles_scale_apart(platform: Platform, compose: ComposeStack) -> None:
    await compose.run(
        *("up", "--no-build", "--wait", "--no-recreate"),
        *("--scale=catalog-worker=3", "--scale=order-worker=2"),
    )
    load = Load(platform, "scaled", orders=500, clients=60)
    await load.run()
    await load.check()
    running = [container["Name"] for container in await compose.containers("catalog-worker")]
    assert len(running) == 3

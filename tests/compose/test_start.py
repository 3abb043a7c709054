"""What keeps the stack from starting is said in words; and what starts has no more rights than due.

The projects here are small ones of their own, beside that of the other tests.
"""

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiobotocore.session import AioSession

from bookstore.compose import ComposeStack
from bookstore.processes import until
from contracts import load_topology
from drive.platform import REGION, ROOT, Platform, own_project
from stack import StackError

pytestmark = pytest.mark.timeout(300)


async def test_port_in_use_is_named(platform: Platform, compose: ComposeStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with own_project(REDIS_PORT=str(port)) as project:
            with pytest.raises(StackError, match=f"{port}.*(in use|allocated)"):
                await project.run("up", "--wait", "redis")


async def test_wrong_password_ends_the_migration_and_is_named(
    platform: Platform, compose: ComposeStack
) -> None:
    url = "postgresql+asyncpg://order_migration:wrong@postgres:5432/order"
    with pytest.raises(StackError, match='password authentication failed for user "order_migr'):
        await compose.run("run", "--rm", "--no-deps", "-e", f"DATABASE_URL={url}", "order-migrate")


async def test_wrong_password_makes_a_service_unhealthy_and_is_named(
    platform: Platform, compose: ComposeStack
) -> None:
    url = "postgresql+asyncpg://order:wrong@postgres:5432/order"
    name = (
        await compose.run(
            *("run", "--detach", "--no-deps", "-e", f"DATABASE_URL={url}"),
            "order-worker",
        )
    ).strip()
    try:

        async def says_so() -> bool:
            (container,) = json.loads(await compose.docker("inspect", name))
            checks = container["State"]["Health"]["Log"] or []
            return any("InvalidPassword" in check["Output"] for check in checks)

        await until(says_so, "the health check does not name the wrong password")
    finally:
        await compose.docker("rm", "--force", name)


async def test_topology_that_cannot_be_applied_makes_the_emulator_unhealthy_and_is_named() -> None:
    async with own_project(TOPOLOGY_ENDPOINT_URL="nowhere") as project:
        with pytest.raises(StackError, match=r"localstack.* is unhealthy"):
            await project.run("up", "--wait", "localstack")
        health = (await project.container("localstack"))["State"]["Health"]
    assert "the topology could not be applied" in health["Log"][-1]["Output"]
    assert "nowhere" in health["Log"][-1]["Output"]


async def test_another_emulator_takes_the_same_topology(
    platform: Platform, compose: ComposeStack
) -> None:
    image = "ministackorg/ministack:latest"
    try:
        await compose.docker("image", "inspect", image)
    except StackError:
        pytest.skip(f"{image} is not on this machine")
    async with own_project(AWS_EMULATOR_IMAGE=image, IMAGE_TAG="test-ministack") as project:
        await project.run("up", "--build", "--wait", "localstack")
        (address,) = (await project.run("port", "localstack", "4566")).split()
        session = AioSession()
        session.set_credentials("test", "test")
        async with session.create_client(
            "events", endpoint_url=f"http://{address}", region_name=REGION
        ) as events:
            rules = (await events.list_rules(EventBusName=load_topology().bus))["Rules"]
    await project.docker("image", "rm", "--no-prune", "bookstore/localstack:test-ministack")
    assert {rule["Name"] for rule in rules} == {rule.name for rule in load_topology().rules}


async def test_containers_have_no_more_rights_than_they_need(
    platform: Platform, compose: ComposeStack
) -> None:
    for container in await compose.containers():
        name = container["Config"]["Labels"]["com.docker.compose.service"]
        host = container["HostConfig"]
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["Memory"] > 0, name
        assert not container["State"]["OOMKilled"], name
        for bindings in (host["PortBindings"] or {}).values():
            assert {each["HostIp"] for each in bindings} == {"127.0.0.1"}, name
        if name != "localstack":
            assert host["ReadonlyRootfs"], name
            assert container["Config"]["User"] not in ("", "0", "root"), name


async def test_demo_keeps_every_invariant_in_containers(
    platform: Platform, compose: ComposeStack
) -> None:
    """Its exit code is 0 only if every order ends as expected and the balance sheet holds."""
    bookstore = Path(sys.executable).parent / "bookstore"
    process = await asyncio.create_subprocess_exec(
        str(bookstore), "demo", env=compose.environment, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert "payment-worker killed" in output.decode()

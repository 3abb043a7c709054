"""Running containers, and the database roles in them, may do what they have to and no more."""

import asyncpg
import pytest

from bookstore.compose import ComposeStack
from drive.platform import Platform


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


async def test_every_volume_has_a_name_by_which_it_is_removed(
    platform: Platform, compose: ComposeStack
) -> None:
    """`docker compose down -v` does not find one without, once its container was made anew."""
    for container in await compose.containers():
        labels = container["Config"]["Labels"]
        for mount in container["Mounts"]:
            if mount["Type"] == "volume":
                assert mount["Name"].startswith(labels["com.docker.compose.project"]), mount


async def test_running_service_cannot_change_its_schema(
    platform: Platform, compose: ComposeStack
) -> None:
    url = platform.endpoints["ORDER_DATABASE_URL"].replace("+asyncpg", "")
    connection = await asyncpg.connect(url)
    try:
        for statement in (
            "CREATE TABLE mine (id int)",
            "ALTER TABLE orders ADD COLUMN mine int",
            "DROP TABLE orders",
            "TRUNCATE orders",
            "CREATE TEMPORARY TABLE mine (id int)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_service_cannot_enter_another_services_database(
    platform: Platform, compose: ComposeStack
) -> None:
    url = platform.endpoints["ORDER_DATABASE_URL"].replace("+asyncpg", "")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(url.rpartition("/")[0] + "/catalog")

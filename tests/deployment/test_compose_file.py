"""docker-compose.yml keeps the rules of the house; read as data, without Docker."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chassis import Service, SqlService
from contracts import load_topology

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
PROJECT: dict[str, Any] = yaml.safe_load(TEXT)
CONTAINERS: dict[str, dict[str, Any]] = PROJECT["services"]
SERVICES = sorted(load_topology().services)


IN_PYTHON = [name for name in SERVICES if (ROOT / "services" / name / "pyproject.toml").exists()]


def _service(name: str) -> Service:
    service: Service = importlib.import_module(f"{name}_service.app").SERVICE
    return service


WITH_DATABASE = [name for name in IN_PYTHON if isinstance(_service(name), SqlService)]
JOBS = {"databases", *(f"{name}-migrate" for name in WITH_DATABASE)}
OURS = {"stripe", *JOBS, *(f"{name}-{role}" for name in SERVICES for role in ("web", "worker"))}
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def test_each_service_runs_by_role() -> None:
    assert set(CONTAINERS) >= OURS
    for name in SERVICES:
        for role in ("web", "worker"):
            container = CONTAINERS[f"{name}-{role}"]
            program = [f"{name}_service"] if name in IN_PYTHON else []
            assert container["command"] == [*program, role]
            # A fixed name or a published port of a worker would forbid a second one.
            assert "container_name" not in container
        assert "ports" not in CONTAINERS[f"{name}-worker"]


@pytest.mark.parametrize("name", WITH_DATABASE)
@pytest.mark.parametrize("role", ["web", "worker"])
def test_service_starts_once_its_schema_is_migrated(name: str, role: str) -> None:
    needed = CONTAINERS[f"{name}-{role}"]["depends_on"][f"{name}-migrate"]
    assert needed["condition"] == "service_completed_successfully"


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_container_has_no_more_rights_than_it_needs(name: str) -> None:
    container = CONTAINERS[name]
    assert container["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in container["security_opt"]
    assert container["mem_limit"]
    assert container["init"] is True
    assert not container.get("privileged")
    assert container["restart"] == ("no" if name in JOBS else "unless-stopped")


@pytest.mark.parametrize("name", sorted(OURS | {"postgres", "redis"}))
def test_root_file_system_is_read_only(name: str) -> None:
    assert CONTAINERS[name]["read_only"] is True


@pytest.mark.parametrize("name", sorted(CONTAINERS))
def test_ports_are_published_on_this_machine_alone_and_can_be_chosen(name: str) -> None:
    for port in CONTAINERS[name].get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{\w+_PORT:-\d+\}:\d+", port), port


def test_running_services_have_no_role_that_migrates() -> None:
    for name in WITH_DATABASE:
        for role in ("web", "worker"):
            url = CONTAINERS[f"{name}-{role}"]["environment"]["DATABASE_URL"]
            assert f"//{name}:" in url
        url = CONTAINERS[f"{name}-migrate"]["environment"]["DATABASE_URL"]
        assert f"//{name}_migration:" in url


def test_profiles_are_off_and_nothing_depends_on_them() -> None:
    optional = {name for name, each in CONTAINERS.items() if each.get("profiles")}
    assert {profile for name in optional for profile in CONTAINERS[name]["profiles"]} == {
        "search",
        "observability",
    }
    for name, container in CONTAINERS.items():
        assert not optional & set(container.get("depends_on", {})), name


def test_env_example_explains_each_variable_with_its_default() -> None:
    used: dict[str, str] = {}
    for line in TEXT.splitlines():
        for name, default in VARIABLE.findall(line):
            assert used.setdefault(name, default) == default, f"{name} has two defaults"
        # A variable without a value is handed through as the environment has it.
        if match := re.fullmatch(r" +([A-Z_]+):", line):
            used.setdefault(match[1], "")
    example = (ROOT / ".env.example").read_text()
    explained = dict(re.findall(r"^#([A-Z_]+)=(.*)$", example, re.MULTILINE))
    assert set(explained) - {"COMPOSE_PROFILES"} == set(used)
    assert {n: v for n, v in used.items() if v and explained[n] != v} == {}


def test_no_setting_is_active_in_env_example() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []

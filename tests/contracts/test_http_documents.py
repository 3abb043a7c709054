"""Each service's own OpenAPI document promises exactly what its contract promises."""

import pytest
from fastapi import FastAPI

from contract_gates.implementations import NOWHERE, web_app
from contract_gates.sources import ROOT
from contracts import load_topology
from contracts.openapi import differences, load_openapi

SERVICES = [
    name
    for name in sorted(load_topology().services)
    if (ROOT / "services" / name / "pyproject.toml").exists()
]


@pytest.fixture(autouse=True)
def nothing_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in NOWHERE.items():
        monkeypatch.setenv(variable, value)


@pytest.mark.parametrize("name", SERVICES)
async def test_implementation_promises_what_the_contract_promises(name: str) -> None:
    found = differences(load_openapi(name), FastAPI.openapi(await web_app(name)))
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize("name", SERVICES)
async def test_service_publishes_its_contract(name: str) -> None:
    assert (await web_app(name)).openapi() == load_openapi(name)

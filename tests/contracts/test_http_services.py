"""Each service's HTTP API, as it runs, keeps what its OpenAPI document promises.

Schemathesis sends valid and invalid requests of every kind that the document allows or forbids, and
follows what one answer says to the next request, with all its checks on. What it cannot know is in
http_hooks.py, with reasons.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bookstore.local_stack import WEBHOOK_SECRET
from contracts import load_topology
from drive.platform import Platform, running_platform

SERVICES = sorted(load_topology().services)
# The same requests each time; BOOKSTORE_SEED chooses others.
SEED = int(os.environ.get("BOOKSTORE_SEED", "20261126"))
EXAMPLES = 30
# Twenty times what it takes: the bound is for a service that hangs.
TIMEOUT_SECONDS = 100
# Those that the hooks take the place of.
REPLACED = "positive_data_acceptance,negative_data_rejection,response_schema_conformance"
# The secret that tests/drive gives notification, as the password that SNS would send.
SES_CREDENTIALS = "sns:ses-webhook-of-tests"


@pytest.fixture(scope="module")
async def platform() -> AsyncIterator[Platform]:
    """One of its own: what is left here in numbers is nothing that other tests reckon with."""
    async with running_platform() as platform:
        yield platform


@pytest.fixture(scope="module")
async def known_ids(platform: Any) -> dict[str, list[str]]:
    """Ids of an order, its payment and its book, by the parameters that they are values of."""
    book = await platform.list_book("Known", stock=50)
    answer = await platform.order(book, wait=20)
    assert answer.status_code == 201
    order = answer.json()
    return {
        "order_id": [order["order_id"]],
        "payment_id": [order["payment_id"]],
        "book_id": [book["book_id"]],
    }


@pytest.mark.parametrize("service", SERVICES)
async def test_running_service_keeps_its_contract(
    platform: Any, known_ids: dict[str, list[str]], service: str, tmp_path: Path
) -> None:
    url = platform.endpoints[service]
    arguments = [
        *("run", f"{url}/openapi.json", "--url", url),
        *("--checks", "all", "--exclude-checks", REPLACED),
        *("--max-examples", str(EXAMPLES), "--seed", str(SEED)),
        *("--warnings", "off", "--no-color", "--output-truncate", "false"),
    ]
    if service == "notification":
        arguments += ["--auth", SES_CREDENTIALS]
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        *arguments,
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parent),
            "SCHEMATHESIS_HOOKS": "http_hooks",
            "KNOWN_IDS": json.dumps(known_ids),
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    text = output.decode()
    print(f"seed {SEED}\n{text}")
    assert process.returncode == 0, f"the same again: BOOKSTORE_SEED={SEED}\n{text}"
    # Every operation was really tried, and the run was no empty one.
    promised = (await platform.http.get(f"{url}/openapi.json")).json()["paths"]
    operations = sum(
        len(item.keys() & {"get", "put", "post", "delete"}) for item in promised.values()
    )
    assert f"Tested: {operations}" in text

"""The running platform as a test sees it, and the three ways to one.

Guarantee: a platform that a test run has started is gone at its end, with its data; one that runs
elsewhere is left running.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiobotocore.session import AioSession

from bookstore.compose import ComposeStack
from bookstore.local_stack import DATABASES, local_stack
from bookstore.processes import Processes, SupervisedProcesses
from bookstore.target import Target, overridden, target
from stack import PortAllocator, PostgresServer, StackError

ROOT = Path(__file__).parents[2]
REGION = os.environ.get("AWS_REGION", "us-east-1")
# Killed workers' messages come back soon; reconciliation repairs nothing that a test looks at.
FAST = {
    "VISIBILITY_SECONDS": "4",
    "LEASE_SECONDS": "4",
    "RECONCILE_INTERVAL_SECONDS": "300",
    "LOG_LEVEL": "WARNING",
    # Else notification's webhook is closed.
    "SES_WEBHOOK_SECRET": "ses-webhook-of-tests",
}
COMPOSE_PORTS = (
    *("ORDER_PORT", "CATALOG_PORT", "PAYMENT_PORT", "SEARCH_PORT", "NOTIFICATION_PORT"),
    "FULFILLMENT_PORT",
    "STRIPE_SIMULATOR_PORT",
    *("AWS_EMULATOR_PORT", "POSTGRES_PORT", "REDIS_PORT"),
)


@dataclass(frozen=True)
class Platform:
    """Where it answers, and how to reach below its surface where that is possible."""

    endpoints: dict[str, str]
    http: httpx.AsyncClient
    processes: Processes | None = None
    trace_file: Path | None = None

    def needs(self, endpoint: str) -> str:
        """An endpoint below the public surface; skips the test where it is out of reach."""
        if endpoint not in self.endpoints:
            pytest.skip(f"{endpoint} of this stack is out of reach")
        return self.endpoints[endpoint]

    def needs_processes(self) -> Processes:
        """Skips the test where no process can be killed."""
        if self.processes is None:
            pytest.skip("the processes of this stack are out of reach")
        return self.processes

    def aws(self, service: str) -> Any:
        """A client of the emulator, or of AWS itself with the credentials at hand."""
        session = AioSession()
        if "aws" in self.endpoints:
            session.set_credentials("test", "test")
        return session.create_client(
            service, endpoint_url=self.endpoints.get("aws"), region_name=REGION
        )

    async def list_book(self, title: str, *, stock: int, price_minor: int = 1200) -> dict[str, Any]:
        """A book in the catalog, as a line's raw material."""
        book = {
            "title": title,
            "authors": ["Test Author"],
            "subjects": [],
            "language": "en",
            "price": {"amount_minor": price_minor, "currency": "EUR"},
            "initial_stock": stock,
        }
        answer = await self._once_available(
            "POST", f"{self.endpoints['catalog']}/books/batch", json={"books": [book]}
        )
        return {**book, "book_id": answer.json()["results"][0]["book_id"]}

    async def order(
        self,
        book: dict[str, Any],
        *,
        quantity: int = 1,
        card: str = "pm_card_visa",
        customer: str = "customer-1",
        wait: int = 0,
        key: str | None = None,
    ) -> httpx.Response:
        """Place an order for one book."""
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        if key:
            headers["Idempotency-Key"] = key
        line = {"book_id": book["book_id"], "quantity": quantity, "unit_price": book["price"]}
        return await self.http.post(
            f"{self.endpoints['order']}/orders",
            headers=headers,
            json={"customer_id": customer, "payment_method": card, "lines": [line]},
        )

    async def get_order(self, order_id: str) -> dict[str, Any]:
        """The order as the API shows it."""
        url = f"{self.endpoints['order']}/orders/{order_id}"
        answer = await self._once_available("GET", url)
        document: dict[str, Any] = answer.json()
        return document

    async def _once_available(self, method: str, url: str, **request: Any) -> httpx.Response:
        """The answer, once it is no 503, which says that a dependency is just coming back."""
        async with asyncio.timeout(30):
            while (answer := await self.http.request(method, url, **request)).status_code == 503:
                await asyncio.sleep(0.05)
        answer.raise_for_status()
        return answer


@asynccontextmanager
async def running_platform() -> AsyncIterator[Platform]:
    """The one that BOOKSTORE_STACK names."""
    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        match target():
            case Target.EMBEDDED:
                async with embedded() as (endpoints, folder, traces):
                    yield Platform(endpoints, http, SupervisedProcesses(folder), traces)
            case Target.COMPOSE:
                async with own_project() as stack:
                    await stack.run("up", "--build", "--wait")
                    yield Platform(await stack.endpoints(), http, stack)
            case Target.REMOTE:
                yield Platform(overridden({}), http)


@asynccontextmanager
async def embedded() -> AsyncIterator[tuple[dict[str, str], Path, Path]]:
    """On real servers, without Docker: endpoints, data folder, file of traces."""
    folder = Path(tempfile.mkdtemp(prefix="bookstore-e2e-"))
    folder.chmod(0o711)  # PostgreSQL's user passes through, when the tests run as root.
    traces = folder / "traces.jsonl"
    stack = local_stack(
        folder, pick_ports=True, service_environment={**FAST, "TRACE_FILE": str(traces)}
    )
    supervisor = stack.supervisor()
    try:
        await supervisor.start()
        yield stack.endpoints, folder, traces
    finally:
        await supervisor.stop()
        PostgresServer(folder, 1, databases=DATABASES).remove()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def own_project(**environment: str) -> AsyncIterator[ComposeStack]:
    """A Compose project of the test run's own, on free ports; nothing of it is started yet.

    At the end its logs are in `.local/compose-test`, and nothing else of it is left.
    """
    ports = PortAllocator()
    name = f"bookstore-test-{os.getpid()}-{ports.pick()}"
    stack = ComposeStack(
        ROOT,
        {
            **{variable: str(ports.pick()) for variable in COMPOSE_PORTS},
            **FAST,
            "COMPOSE_PROJECT_NAME": name,
            "COMPOSE_PROFILES": "",
            **environment,
        },
    )
    try:
        yield stack
    finally:
        logs = ROOT / ".local" / "compose-test"
        logs.mkdir(parents=True, exist_ok=True)
        (logs / f"{name}.log").write_text(await stack.run("logs", "--no-color", "--timestamps"))
        await stack.run("down", "--volumes", "--remove-orphans", "--timeout", "10")
        if left := await stack.leftovers():
            raise StackError(f"`docker compose down -v` left {', '.join(left)}")

"""The whole platform, once for the session: every service by role, on real servers.

Guarantee: its own data folder and ports, so that it runs beside a stack of the developer's; all of
it is stopped and removed at the end.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from bookstore.local_stack import SERVICES, local_stack
from stack import PostgresServer, Supervisor

# Killed workers' messages come back soon, and traces go to a file.
FAST = {
    "VISIBILITY_SECONDS": "4",
    "LEASE_SECONDS": "4",
    "RECONCILE_INTERVAL_SECONDS": "300",
    "LOG_LEVEL": "WARNING",
}


@dataclass(frozen=True)
class Platform:
    """The running platform as a test sees it."""

    supervisor: Supervisor
    endpoints: dict[str, str]
    trace_file: Path
    http: httpx.AsyncClient

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
        answer = await self.http.post(
            f"{self.endpoints['catalog']}/books/batch", json={"books": [book]}
        )
        answer.raise_for_status()
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
        answer = await self.http.get(f"{self.endpoints['order']}/orders/{order_id}")
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document


@pytest.fixture(scope="session")
async def platform() -> AsyncIterator[Platform]:
    folder = Path(tempfile.mkdtemp(prefix="bookstore-e2e-"))
    folder.chmod(0o711)  # PostgreSQL's user passes through, when the tests run as root.
    trace_file = folder / "traces.jsonl"
    stack = local_stack(
        folder, pick_ports=True, service_environment={**FAST, "TRACE_FILE": str(trace_file)}
    )
    supervisor = stack.supervisor()
    try:
        await supervisor.start()
        async with httpx.AsyncClient(timeout=60) as http:
            yield Platform(supervisor, stack.endpoints, trace_file, http)
    finally:
        await supervisor.stop()
        PostgresServer(folder, 1, databases=SERVICES).remove()
        shutil.rmtree(folder, ignore_errors=True)

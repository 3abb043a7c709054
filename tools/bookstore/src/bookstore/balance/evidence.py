"""Reads what the balance sheet is computed from, once nothing moves any more.

Guarantee: evidence is accepted only if the message counts before and after reading it are the same,
so orders, stock and money in it belong together.
"""

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import httpx

from bookstore.balance.checks import Check, Evidence, Movements, OrderRecord, sheet, still_moving
from bookstore.balance.endpoints import Endpoints
from bookstore.balance.mailbox import NoMailboxError, read_mailbox
from contracts import Topology, load_topology

REQUEST_TIMEOUT_SECONDS = 15.0
POLL_SECONDS = 0.1
UNAVAILABLE_SECONDS = 10.0
PAGE_ORDERS = 200  # The API's limit.


class UnreachableError(Exception):
    """A service that has to be asked does not answer; the message says which and where."""


async def balance_sheet(
    endpoints: Endpoints,
    *,
    acknowledged: Collection[str] = (),
    settle_seconds: float = 30.0,
    topology: Topology | None = None,
) -> list[Check]:
    """Wait for rest, read everything, check each invariant over all data there is.

    `acknowledged` are ids of orders that were answered with 2xx: they must exist, and none of them
    may be rejected for no business reason (without any, no order at all may). What still moves
    after `settle_seconds` shows up as checks that fail. Raises UnreachableError.
    """
    topology = topology or load_topology()
    deadline = time.monotonic() + settle_seconds
    async with _client() as client:
        while True:
            before = await _rest(client, endpoints, topology, deadline)
            evidence = await _read(client, endpoints, before)
            after = await _movements(client, endpoints)
            if after == before or time.monotonic() >= deadline:
                return sheet(evidence, topology, acknowledged)


async def wait_for_rest(
    endpoints: Endpoints, *, timeout_seconds: float = 30.0, topology: Topology | None = None
) -> list[str]:
    """Until no saga and no message is under way; returns what still is when the time is up."""
    topology = topology or load_topology()
    async with _client() as client:
        found = await _rest(client, endpoints, topology, time.monotonic() + timeout_seconds)
    return still_moving(found, topology)


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=REQUEST_TIMEOUT_SECONDS, trust_env=False)


async def _rest(
    client: httpx.AsyncClient, endpoints: Endpoints, topology: Topology, deadline: float
) -> Movements:
    """The message counts at rest, or those at the deadline."""
    while True:
        found = await _movements(client, endpoints)
        if not still_moving(found, topology) or time.monotonic() >= deadline:
            return found
        await asyncio.sleep(POLL_SECONDS)


async def _movements(client: httpx.AsyncClient, endpoints: Endpoints) -> Movements:
    sagas, *censuses = await asyncio.gather(
        _get(client, "order", f"{endpoints.order}/ops/sagas"),
        *(_get(client, name, f"{url}/ops/messages") for name, url in endpoints.services.items()),
    )
    return Movements(sagas, dict(zip(endpoints.services, censuses, strict=True)))


async def _read(client: httpx.AsyncClient, endpoints: Endpoints, movements: Movements) -> Evidence:
    balances = f"{endpoints.stripe}/_simulator/ledger/balances"
    orders, stock, mails, mailbox, shipments, by_order, by_payment = await asyncio.gather(
        _orders(client, endpoints),
        _get(client, "catalog", f"{endpoints.catalog}/ops/stock"),
        _get(client, "notification", f"{endpoints.notification}/ops/mails"),
        _mailbox(client, endpoints.aws),
        _get(client, "fulfillment", f"{endpoints.fulfillment}/ops/shipments"),
        _get(client, "stripe", balances, by="order_id"),
        _get(client, "stripe", balances, by="payment_id"),
    )
    return Evidence(
        orders=orders,
        movements=movements,
        stock=stock,
        mails=mails["by_kind"],
        mailbox=mailbox,
        shipments=shipments,
        ledger_by_order=by_order["balances"],
        ledger_by_payment=by_payment["balances"],
    )


async def _mailbox(client: httpx.AsyncClient, aws_url: str | None) -> list[str] | None:
    """The mail service's own count; None on AWS itself, which does not show what it has sent."""
    if aws_url is None:
        return None
    try:
        return await read_mailbox(client, aws_url)
    except (httpx.HTTPError, NoMailboxError) as error:
        reason = str(error) or type(error).__name__
        raise UnreachableError(f"the mailbox cannot be read: {reason}") from None


async def _orders(client: httpx.AsyncClient, endpoints: Endpoints) -> list[OrderRecord]:
    """All orders, by the public API's pages."""
    found: dict[str, OrderRecord] = {}
    page: Mapping[str, Any] = {"next_cursor": None}
    while "next_cursor" in page:
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
        page = await _get(
            client, "order", f"{endpoints.order}/orders", limit=str(PAGE_ORDERS), **cursor
        )
        found |= {record.order_id: record for record in map(_record, _views(page))}
    return list(found.values())


def _views(page: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    views: Iterable[Mapping[str, Any]] = page["orders"]
    return views


def _record(view: Mapping[str, Any]) -> OrderRecord:
    return OrderRecord(
        order_id=view["order_id"],
        payment_id=view["payment_id"],
        status=view["status"],
        reason=view.get("reason"),
        total_minor=view["total"]["amount_minor"],
        currency=view["total"]["currency"],
        copies=sum(line["quantity"] for line in view["lines"]),
    )


async def _get(client: httpx.AsyncClient, name: str, url: str, **query: str) -> Any:
    """What is there; a 503 says that a dependency is just coming back, and is asked again."""
    deadline = time.monotonic() + UNAVAILABLE_SECONDS
    try:
        response = await client.get(url, params=query)
        while response.status_code == 503 and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
            response = await client.get(url, params=query)
        response.raise_for_status()
        return response.json()
    except httpx.HTTPStatusError as error:
        raise UnreachableError(
            f"{name} answered {error.response.status_code} to GET {url}: look into its log"
        ) from None
    except (httpx.HTTPError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise UnreachableError(f"{name} does not answer at {url}: {reason}") from None

"""One order's trace is one connected tree, from the HTTP request to the last consumer, through the
service in TypeScript and back.
"""

import asyncio
import json
from typing import Any

import pytest

CONSUMERS = {
    "process ReserveStock",
    "process StockReserved",
    "process AuthorizePayment",
    "process PaymentAuthorized",
    "process CapturePayment",
    "process PaymentCaptured",
    "process OrderConfirmed",
    "process ShipmentDispatched",
    "process ShipmentDelivered",
}

SERVICES = {
    *("order-web", "order-worker", "catalog-worker", "payment-worker"),
    *("search-worker", "notification-worker", "fulfillment-worker"),
}


def orphans_of(spans: list[dict[str, Any]]) -> list[str]:
    """The names of spans whose parent is in no file."""
    ids = {span["context"]["span_id"] for span in spans}
    return [span["name"] for span in spans if span["parent_id"] and span["parent_id"] not in ids]


async def spans_of_trace(platform: Any, order_id: str) -> list[dict[str, Any]]:
    """All spans of the trace in which this order's messages were handled."""
    spans = [
        json.loads(line)
        for line in platform.trace_file.read_text().splitlines()
        if line.startswith("{")
    ]
    conversation = "messaging.message.conversation_id"
    traces = {
        s["context"]["trace_id"] for s in spans if s["attributes"].get(conversation) == order_id
    }
    assert len(traces) <= 1, "an order's messages are spread over several traces"
    return [s for s in spans if s["context"]["trace_id"] in traces]


async def test_trace_of_an_order_is_one_connected_tree(platform: Any) -> None:
    if platform.trace_file is None:
        pytest.skip("the spans of this stack go elsewhere")
    book = await platform.list_book("Traced", stock=10)
    placed = await platform.order(book, wait=30)
    assert placed.status_code == 201
    order_id = placed.json()["order_id"]
    async with asyncio.timeout(20):
        while True:
            spans = await spans_of_trace(platform, order_id)
            names = {span["name"] for span in spans}
            services = {span["resource"]["attributes"]["service.name"] for span in spans}
            # A span is exported when it ends, and so after those in it.
            if names >= CONSUMERS and services >= SERVICES and not orphans_of(spans):
                break
            await asyncio.sleep(0.1)
    roots = [span for span in spans if span["parent_id"] is None]
    assert [root["name"] for root in roots] == ["POST /orders"]
    # What the handlers asked of the database is in it, not only the messages.
    systems = {span["attributes"].get("db.system") for span in spans}
    assert "postgresql" in systems

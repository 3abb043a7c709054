"""What fulfillment makes of the demo: the way of one order's parcel, and where all of them are.

Guarantee: what is shown of a parcel is what the order service tells its customer, so it has been
through fulfillment's outbox, over the bus, and through order's inbox.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from bookstore.demo.report import plain_table
from bookstore.demo.shop import Shop

# Who tells whom of each step, by which message.
_TOLD_BY = {
    "confirmed": ("[green]order[/] → all", "OrderConfirmed"),
    "dispatched": ("fulfillment → [green]order[/]", "ShipmentDispatched"),
    "delivered": ("fulfillment → [green]order[/]", "ShipmentDelivered"),
}
_WHERE = (
    ("packing", "still packed"),
    ("dispatched", "on their way"),
    ("delivered", "delivered"),
    ("withdrawn", "withdrawn before they left"),
    ("recalled", "recalled on their way"),
)
PATIENCE_SECONDS = 20.0
POLL_SECONDS = 0.1


async def dispatched(shop: Shop, orders: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """An order as it is shown once its parcel is on its way; None if none was confirmed, or none
    left in time.
    """
    confirmed = [order["order_id"] for order in orders if order["status"] == "confirmed"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while confirmed and time.monotonic() < deadline:
        shown = await shop.order(confirmed[0])
        if "shipment" in shown:
            return shown
        await asyncio.sleep(POLL_SECONDS)
    return None


def parcels_table(order: Mapping[str, Any] | None, counts: Mapping[str, int]) -> RenderableType:
    """The way of that order's parcel; below it, how many parcels are where."""
    whose = f": {order['order_id']}, {order['shipment']['tracking_code']}" if order else ""
    table = plain_table(f"One parcel, by fulfillment in TypeScript{whose}")
    table.add_column("offset", justify="right", width=10)
    table.add_column("parcel", width=12)
    table.add_column("from → to", width=20)
    table.add_column("message", ratio=1)
    for status, offset in _steps(order) if order else ():
        table.add_row(offset, f"[bold]{status}[/]", *_TOLD_BY[status])
    shown = ", ".join(f"{counts[status]:,} {words}" for status, words in _WHERE if status in counts)
    table.caption = Text(f"all parcels: {shown}", "dim")
    table.caption_justify = "left"
    return table


def _steps(order: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What happened, and how long after the order was confirmed."""
    shipment = order["shipment"]
    confirmed = datetime.fromisoformat(order["updated_at"])
    steps = [("confirmed", confirmed)]
    for status in ("dispatched", "delivered"):
        if f"{status}_at" in shipment:
            steps.append((status, datetime.fromisoformat(shipment[f"{status}_at"])))
    return [(status, f"+{(at - confirmed).total_seconds() * 1000:,.0f} ms") for status, at in steps]

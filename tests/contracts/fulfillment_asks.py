"""What fulfillment, which is written in TypeScript, asks of the events that move its parcels.

Guarantee: the service runs as the Node process that it is, and what it made of an example is asked
of its own API.
"""

from .asks import ORDER_ID, Ask, an_id, customer, money, order_lines
from .fulfillment_scene import FulfillmentScene

# Its reader holds the envelope against the raw schema, so it wants all that this requires.
_ENVELOPE = {"datacontenttype": "application/json"}
_ORDER = {"order_id": an_id(ORDER_ID), "customer_id": customer()}


async def _is_packed(scene: FulfillmentScene) -> bool:
    return await _status(scene) == "packing"


async def _stays_in_the_house(scene: FulfillmentScene) -> bool:
    return await _status(scene) == "withdrawn"


async def _status(scene: FulfillmentScene) -> str | None:
    shipment = await scene.shipment()
    return shipment["status"] if shipment else None


ASKS = (
    Ask(
        "OrderConfirmed",
        {**_ORDER, "lines": order_lines(), "total": money()},
        shows=_is_packed,
        envelope=_ENVELOPE,
    ),
    Ask(
        "OrderCancelled",
        {**_ORDER, "refunded": money()},
        given=("OrderConfirmed",),
        shows=_stays_in_the_house,
        envelope=_ENVELOPE,
    ),
)

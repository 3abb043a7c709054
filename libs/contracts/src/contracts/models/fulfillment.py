"""Generated from contracts/ by `python -m contracts.generate`; never edited."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictStr


class ShipmentDelivered(BaseModel):
    """
    The parcel is with the customer.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    order_id: Annotated[
        StrictStr,
        Field(
            description="The order.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ]
    shipment_id: Annotated[
        StrictStr,
        Field(
            description="The parcel; an order has one.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ]
    customer_id: Annotated[
        StrictStr,
        Field(
            description="Who gets it.",
            max_length=64,
            min_length=1,
            pattern="^[A-Za-z0-9_-]+$",
        ),
    ]
    tracking_code: Annotated[
        StrictStr,
        Field(
            description="What the carrier knows the parcel by.",
            max_length=32,
            min_length=8,
            pattern="^[A-Z0-9]+$",
        ),
    ]
    delivered_at: Annotated[AwareDatetime, Field(description="When it arrived.")]


class ShipmentDispatched(BaseModel):
    """
    The parcel has left the house.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    order_id: Annotated[
        StrictStr,
        Field(
            description="The order.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ]
    shipment_id: Annotated[
        StrictStr,
        Field(
            description="The parcel; an order has one.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ]
    customer_id: Annotated[
        StrictStr,
        Field(
            description="Who gets it.",
            max_length=64,
            min_length=1,
            pattern="^[A-Za-z0-9_-]+$",
        ),
    ]
    tracking_code: Annotated[
        StrictStr,
        Field(
            description="What the carrier knows the parcel by.",
            max_length=32,
            min_length=8,
            pattern="^[A-Z0-9]+$",
        ),
    ]
    dispatched_at: Annotated[AwareDatetime, Field(description="When it left.")]

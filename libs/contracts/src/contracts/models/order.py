"""Generated from contracts/ by `python -m contracts.generate`; never edited."""

from __future__ import annotations

from typing import Annotated

from pydantic import MISSING, BaseModel, ConfigDict, Field, StrictInt, StrictStr

from . import common


class ContactErased(BaseModel):
    """
    The customer's contact is to be forgotten, everywhere.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    customer_id: Annotated[
        StrictStr,
        Field(
            description="The customer.",
            max_length=64,
            min_length=1,
            pattern="^[A-Za-z0-9_-]+$",
        ),
    ]
    version: Annotated[
        StrictInt,
        Field(
            description="Grows with each change of the customer's contact; a reader drops what is not newer than what it has.",
            ge=1,
            le=9007199254740991,
        ),
    ]


class ContactProvided(BaseModel):
    """
    Where and how a customer wants to be written to. Personal: it is not logged, and ContactErased ends its use.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    customer_id: Annotated[
        StrictStr,
        Field(
            description="The customer.",
            max_length=64,
            min_length=1,
            pattern="^[A-Za-z0-9_-]+$",
        ),
    ]
    version: Annotated[
        StrictInt,
        Field(
            description="Grows with each change of the customer's contact; a reader drops what is not newer than what it has.",
            ge=1,
            le=9007199254740991,
        ),
    ]
    contact: Annotated[
        common.Contact,
        Field(description="All of it: what is absent here is no longer known."),
    ]


class OrderCancelled(BaseModel):
    """
    A confirmed order was cancelled: the money is given back and the copies are in stock again.
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
    customer_id: Annotated[
        StrictStr,
        Field(
            description="Who ordered.",
            max_length=64,
            min_length=1,
            pattern="^[A-Za-z0-9_-]+$",
        ),
    ]
    refunded: Annotated[common.Money, Field(description="The amount given back.")]


class OrderConfirmed(BaseModel):
    """
    The order is paid and its copies are sold.
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
    customer_id: Annotated[
        StrictStr,
        Field(
            description="Who ordered.",
            max_length=64,
            min_length=1,
            pattern="^[A-Za-z0-9_-]+$",
        ),
    ]
    lines: Annotated[
        list[common.OrderLine],
        Field(description="What is ordered.", max_length=50, min_length=1),
    ]
    total: Annotated[common.Money, Field(description="Sum of the lines, as charged.")]


class OrderRejected(BaseModel):
    """
    The order failed; nothing is charged and nothing is reserved.
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
    customer_id: Annotated[
        StrictStr,
        Field(
            description="Who ordered.",
            max_length=64,
            min_length=1,
            pattern="^[A-Za-z0-9_-]+$",
        ),
    ]
    reason: Annotated[
        StrictStr,
        Field(
            description="Why, such as out_of_stock, card_declined or reserve_stock_timeout.",
            max_length=64,
            min_length=1,
            pattern="^[a-z][a-z0-9_]*$",
        ),
    ]
    detail: Annotated[
        StrictStr | MISSING,
        Field(description="Explanation for people.", max_length=1000, min_length=1),
    ] = MISSING

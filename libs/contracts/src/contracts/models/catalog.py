"""Generated from contracts/ by `python -m contracts.generate`; never edited."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    MISSING,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
)

from . import common


class ItemsRestocked(BaseModel):
    """
    The copies of the cancelled order are in stock again.
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


class ReleaseStock(BaseModel):
    """
    Give the reserved copies of an order back; harmless before, after or without the reservation.
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


class RestockItems(BaseModel):
    """
    Take the sold copies of a cancelled order back into stock.
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


class StockLevelChanged(BaseModel):
    """
    The number of copies that can be ordered changed.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    book_id: Annotated[
        StrictStr,
        Field(
            description="The book.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ]
    available: Annotated[
        StrictInt,
        Field(
            description="Copies on hand that are not reserved.",
            ge=0,
            le=9007199254740991,
        ),
    ]
    version: Annotated[
        StrictInt,
        Field(
            description="Grows with each change of the stock; a reader drops what is not newer than what it has.",
            ge=1,
            le=9007199254740991,
        ),
    ]


class StockReleased(BaseModel):
    """
    The order holds no stock, and no later reservation of it will succeed.
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


class StockReserved(BaseModel):
    """
    All copies of the order are set aside.
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
    reserved_until: Annotated[
        AwareDatetime,
        Field(
            description="When the reservation expires unless the order is confirmed."
        ),
    ]


class StockUnavailable(BaseModel):
    """
    The order cannot be reserved; nothing was set aside.
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
    reason: Annotated[
        Literal["unknown_book", "out_of_stock", "price_changed", "released"],
        Field(
            description="Why: no such book, too few copies, another price than ordered, or the order was released before."
        ),
    ]
    book_id: Annotated[
        StrictStr | MISSING,
        Field(
            description="The book that stands in the way, if it is one.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ] = MISSING
    detail: Annotated[
        StrictStr | MISSING,
        Field(description="Explanation for people.", max_length=1000, min_length=1),
    ] = MISSING


class ReconcileStock(BaseModel):
    """
    Compare reservations with what the orders expect and repair what differs.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    batch_id: Annotated[
        StrictStr,
        Field(
            description="This comparison.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ]
    expectations: Annotated[
        list[common.StockExpectation],
        Field(
            description="What the orders expect of their copies.",
            max_length=100,
            min_length=1,
        ),
    ]


class ReserveStock(BaseModel):
    """
    Set the copies of an order aside until it is paid.
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
    lines: Annotated[
        list[common.OrderLine],
        Field(description="What is ordered.", max_length=50, min_length=1),
    ]


class StockReconciled(BaseModel):
    """
    Result of a comparison with the orders; whatever had to be repaired is listed.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    batch_id: Annotated[
        StrictStr,
        Field(
            description="The comparison.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ]
    matched: Annotated[
        StrictInt,
        Field(
            description="Number of expectations that were met already.", ge=0, le=100
        ),
    ]
    repaired: Annotated[
        list[common.StockRepair],
        Field(description="What differed and what was done about it.", max_length=100),
    ]


class BookListed(BaseModel):
    """
    A book is offered for the first time.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    book: Annotated[common.Book, Field(description="The book as it is now.")]
    version: Annotated[
        StrictInt,
        Field(
            description="Grows with each change of the book; a reader drops what is not newer than what it has.",
            ge=1,
            le=9007199254740991,
        ),
    ]


class BookRevised(BaseModel):
    """
    A book's description or price changed.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    book: Annotated[common.Book, Field(description="The book as it is now.")]
    version: Annotated[
        StrictInt,
        Field(
            description="Grows with each change of the book; a reader drops what is not newer than what it has.",
            ge=1,
            le=9007199254740991,
        ),
    ]

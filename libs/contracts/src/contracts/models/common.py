"""Generated from contracts/ by `python -m contracts.generate`; never edited."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    MISSING,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    StrictInt,
    StrictStr,
)


class Author(RootModel[StrictStr]):
    model_config = ConfigDict(
        frozen=True,
    )
    root: Annotated[
        StrictStr,
        Field(description="Name of one author.", max_length=300, min_length=1),
    ]


class Subject(RootModel[StrictStr]):
    model_config = ConfigDict(
        frozen=True,
    )
    root: Annotated[
        StrictStr, Field(description="One subject.", max_length=200, min_length=1)
    ]


class Contact(BaseModel):
    """
    How to write to a customer.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    email: Annotated[
        StrictStr,
        Field(
            description="E-mail address: the form that HTML's input of this type takes, with a dot in the domain.",
            max_length=254,
            min_length=3,
            pattern="^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$",
        ),
    ]
    name: Annotated[
        StrictStr | MISSING,
        Field(
            description="How the customer wants to be addressed; one line.",
            max_length=100,
            min_length=1,
            pattern="^[^\\u0000-\\u001f\\u007f<>]+$",
        ),
    ] = MISSING
    locale: Annotated[
        StrictStr | MISSING,
        Field(
            description="BCP 47 language tag for texts, dates and amounts.",
            max_length=35,
            min_length=2,
            pattern="^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$",
        ),
    ] = MISSING


class Envelope(BaseModel):
    """
    The CloudEvents 1.0 envelope around every message: the Detail of an EventBridge entry.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    specversion: Annotated[Literal["1.0"], Field(description="CloudEvents version.")]
    id: Annotated[
        StrictStr,
        Field(
            description="The message. Stable: handling the same cause again yields the same id.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ]
    source: Annotated[
        StrictStr,
        Field(
            description="The sending service; equals the entry's Source.",
            max_length=64,
            pattern="^bookstore\\.[a-z][a-z0-9-]*$",
        ),
    ]
    type: Annotated[
        StrictStr,
        Field(
            description="The message's name; equals the entry's DetailType.",
            max_length=128,
            pattern="^[A-Z][A-Za-z0-9]*$",
        ),
    ]
    subject: Annotated[
        StrictStr,
        Field(
            description="Id of what the message is about: an order, a book or a batch.",
            max_length=128,
            min_length=1,
        ),
    ]
    time: Annotated[
        AwareDatetime, Field(description="When the message was written, in UTC.")
    ]
    datacontenttype: Annotated[
        Literal["application/json"], Field(description="Media type of data.")
    ]
    dataschema: Annotated[
        StrictStr,
        Field(
            description="The $id of the schema of data; its last part is the major version.",
            max_length=200,
            pattern="^urn:bookstore:[a-z][a-z0-9-]*:[A-Z][A-Za-z0-9]*:[1-9][0-9]{0,3}$",
        ),
    ]
    correlationid: Annotated[
        StrictStr,
        Field(
            description="Shared by all messages that follow from one request.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ]
    causationid: Annotated[
        StrictStr | MISSING,
        Field(
            description="The message whose handling wrote this one; absent on the first.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ] = MISSING
    traceparent: Annotated[
        StrictStr | MISSING,
        Field(
            description="W3C trace context of the sender.",
            max_length=55,
            min_length=55,
            pattern="^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
        ),
    ] = MISSING
    data: Annotated[
        dict[str, Any],
        Field(description="The message itself, as dataschema describes it."),
    ]


class FieldError(BaseModel):
    """
    What is wrong with one part of a request.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    pointer: Annotated[
        StrictStr,
        Field(
            description="Where it is: a JSON Pointer that starts with body, header, query or path; empty if it concerns the whole.",
            max_length=200,
        ),
    ]
    message: Annotated[
        StrictStr,
        Field(
            description="What is wrong and what would be right.",
            max_length=500,
            min_length=1,
        ),
    ]


class Money(BaseModel):
    """
    An amount in one currency.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    amount_minor: Annotated[
        StrictInt,
        Field(
            description="The amount in the currency's minor unit (cents of a euro).",
            ge=0,
            le=9999999999,
        ),
    ]
    currency: Annotated[
        StrictStr,
        Field(
            description="ISO 4217 alphabetic code.",
            max_length=3,
            min_length=3,
            pattern="^[A-Z]{3}$",
        ),
    ]


class OrderLine(BaseModel):
    """
    Copies of one book in an order, at the price that the customer saw.
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
    quantity: Annotated[
        StrictInt, Field(description="Number of copies.", ge=1, le=1000)
    ]
    unit_price: Annotated[Money, Field(description="Price of one copy.")]


class PaymentExpectation(BaseModel):
    """
    The state that an order expects its payment to be in.
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
    payment_id: Annotated[
        StrictStr,
        Field(
            description="The payment.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ]
    expected: Annotated[
        Literal["captured", "voided", "refunded"],
        Field(description="The expected state."),
    ]


class PaymentRepair(BaseModel):
    """
    A payment that differed from what its order expected.
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
    payment_id: Annotated[
        StrictStr,
        Field(
            description="The payment.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ]
    found: Annotated[
        StrictStr,
        Field(
            description="The state found at the gateway, such as authorized, captured, missing.",
            max_length=64,
            min_length=1,
            pattern="^[a-z][a-z0-9_]*$",
        ),
    ]
    action: Annotated[
        StrictStr,
        Field(
            description="What was done, such as captured, voided, refunded, none.",
            max_length=64,
            min_length=1,
            pattern="^[a-z][a-z0-9_]*$",
        ),
    ]


class Problem(BaseModel):
    """
    A problem document (RFC 9457).
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
    )
    type: Annotated[
        StrictStr,
        Field(
            description="URN that ends with the code.",
            max_length=128,
            pattern="^urn:bookstore:problem:[a-z][a-z0-9_]*$",
        ),
    ]
    title: Annotated[
        StrictStr,
        Field(
            description="Short summary, the same for each occurrence of the type.",
            max_length=200,
            min_length=1,
        ),
    ]
    status: Annotated[StrictInt, Field(description="The HTTP status.", ge=400, le=599)]
    detail: Annotated[
        StrictStr,
        Field(
            description="What happened this time and what to do.",
            max_length=1000,
            min_length=1,
        ),
    ]
    code: Annotated[
        StrictStr,
        Field(
            description="Machine-readable code.",
            max_length=64,
            min_length=1,
            pattern="^[a-z][a-z0-9_]*$",
        ),
    ]
    errors: Annotated[
        list[FieldError] | MISSING,
        Field(
            description="The single faults of an invalid request.",
            max_length=100,
            min_length=1,
        ),
    ] = MISSING


class StockExpectation(BaseModel):
    """
    The state that an order expects its copies to be in.
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
    expected: Annotated[
        Literal["sold", "released", "restocked"],
        Field(description="The expected state."),
    ]


class StockRepair(BaseModel):
    """
    An order's copies that were not in the state that the order expected.
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
    found: Annotated[
        StrictStr,
        Field(
            description="The state found, such as held, sold, expired, missing.",
            max_length=64,
            min_length=1,
            pattern="^[a-z][a-z0-9_]*$",
        ),
    ]
    action: Annotated[
        StrictStr,
        Field(
            description="What was done: sold, released, restocked, or none.",
            max_length=64,
            min_length=1,
            pattern="^[a-z][a-z0-9_]*$",
        ),
    ]


class Book(BaseModel):
    """
    A book as it is offered in the shop.
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
    isbn: Annotated[
        StrictStr | MISSING,
        Field(
            description="ISBN-13 without hyphens; absent for books that have none.",
            max_length=13,
            min_length=13,
            pattern="^[0-9]{13}$",
        ),
    ] = MISSING
    title: Annotated[
        StrictStr, Field(description="Title.", max_length=500, min_length=1)
    ]
    authors: Annotated[
        list[Author],
        Field(
            description="Authors in the order of the title page.",
            max_length=100,
            min_length=1,
        ),
    ]
    subjects: Annotated[
        list[Subject], Field(description="Subjects, possibly none.", max_length=100)
    ]
    language: Annotated[
        StrictStr,
        Field(
            description="BCP 47 language tag.",
            max_length=35,
            min_length=2,
            pattern="^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$",
        ),
    ]
    year: Annotated[
        StrictInt | MISSING,
        Field(
            description="Year of first publication; negative before the common era.",
            ge=-4000,
            le=2200,
        ),
    ] = MISSING
    price: Annotated[Money, Field(description="Price of one copy.")]

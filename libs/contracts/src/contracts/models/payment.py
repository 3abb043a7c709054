"""Generated from contracts/ by `python -m contracts.generate`; never edited."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import MISSING, BaseModel, ConfigDict, Field, StrictInt, StrictStr

from . import common


class AuthorizePayment(BaseModel):
    """
    Hold the order's total on the customer's payment method.
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
            description="The payment; also the idempotency key at the gateway.",
            pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        ),
    ]
    customer_id: Annotated[
        StrictStr,
        Field(
            description="Who pays.",
            max_length=64,
            min_length=1,
            pattern="^[A-Za-z0-9_-]+$",
        ),
    ]
    amount: Annotated[common.Money, Field(description="The order's total.")]
    payment_method: Annotated[
        StrictStr,
        Field(
            description="The gateway's token for the payment method; never card data.",
            max_length=255,
            min_length=4,
            pattern="^pm_[A-Za-z0-9_]+$",
        ),
    ]


class CapturePayment(BaseModel):
    """
    Take the held money. The order's pivot: it is sent again until it succeeds.
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


class PaymentAuthorized(BaseModel):
    """
    The money is held.
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
    amount: Annotated[common.Money, Field(description="The amount held.")]


class PaymentCaptured(BaseModel):
    """
    The money is taken.
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
    amount: Annotated[common.Money, Field(description="The amount taken.")]


class PaymentDeclined(BaseModel):
    """
    The money could not be held; the customer is not charged.
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
    reason: Annotated[
        Literal[
            "card_declined",
            "insufficient_funds",
            "expired_card",
            "authentication_required",
            "processing_error",
            "voided",
        ],
        Field(
            description="Why, as the gateway says it; voided if the payment was voided before it was authorized."
        ),
    ]
    detail: Annotated[
        StrictStr | MISSING,
        Field(description="Explanation for people.", max_length=1000, min_length=1),
    ] = MISSING


class PaymentRefundFailed(BaseModel):
    """
    The money could not be given back; people must look at it.
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
    detail: Annotated[
        StrictStr | MISSING,
        Field(description="Explanation for people.", max_length=1000, min_length=1),
    ] = MISSING


class PaymentRefunded(BaseModel):
    """
    The money is given back.
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
    amount: Annotated[common.Money, Field(description="The amount given back.")]
    customer_id: Annotated[
        StrictStr | MISSING,
        Field(
            description="Who gets it back; absent where payment was never told.",
            max_length=64,
            min_length=1,
            pattern="^[A-Za-z0-9_-]+$",
        ),
    ] = MISSING


class PaymentVoided(BaseModel):
    """
    No money is held for the payment, and no later authorization of it will succeed.
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


class PaymentsReconciled(BaseModel):
    """
    Result of a comparison with the gateway.
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
        list[common.PaymentRepair],
        Field(description="What differed and what was done about it.", max_length=100),
    ]


class ReconcilePayments(BaseModel):
    """
    Compare payments with the gateway and repair what differs from what the orders expect.
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
        list[common.PaymentExpectation],
        Field(
            description="What the orders expect of their payments.",
            max_length=100,
            min_length=1,
        ),
    ]


class RefundPayment(BaseModel):
    """
    Give the captured money back.
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


class VoidPayment(BaseModel):
    """
    Let go of the held money; harmless before, after or without the authorization.
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

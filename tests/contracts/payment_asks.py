"""What payment asks of the commands about money.

Guarantee: each example moves money at the Stripe simulator, through the service's own gateway.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from pydantic import SecretStr

from bookstore_world.gateway import API_KEY, WorldGateway
from faults.loop import VirtualLoop
from faults.stage import Process
from payment_service.app import SERVICE

from .asks import (
    BATCH_ID,
    ORDER_ID,
    PAYMENT_ID,
    Ask,
    an_id,
    customer,
    money,
    one_of,
    some_of,
    text_like,
)
from .scene import SETTLE_SECONDS, Detail, MemoryScene, play_in_memory, says

T = TypeVar("T")

_SETTINGS = {
    "stripe_api_key": SecretStr(API_KEY),
    "stripe_webhook_secret": SecretStr("whsec_nobody"),
}
_PROCESSES = (Process(SERVICE, settings=_SETTINGS),)
_PAYMENT = {"order_id": an_id(ORDER_ID), "payment_id": an_id(PAYMENT_ID)}
_EXPECTATION = {**_PAYMENT, "expected": one_of("captured", "voided", "refunded")}


class PaymentScene(MemoryScene):
    """The service and its gateway, which tells nothing by itself."""

    def __init__(
        self,
        loop: VirtualLoop,
        service: str,
        processes: Sequence[Process],
        examples: Mapping[str, Detail],
    ) -> None:
        super().__init__(loop, service, processes, examples)
        gateway = WorldGateway(self.stage.world, lambda: None, late_seconds=SETTLE_SECONDS)
        gateway.webhooks = False
        self.stage.connect = gateway.connect


ASKS = (
    Ask(
        "AuthorizePayment",
        {
            **_PAYMENT,
            "customer_id": customer(),
            "amount": money(),
            "payment_method": text_like("pm_card_visa", "^pm_[A-Za-z0-9_]+$"),
        },
        shows=says("PaymentAuthorized"),
    ),
    Ask("VoidPayment", _PAYMENT, given=("AuthorizePayment",), shows=says("PaymentVoided")),
    Ask("CapturePayment", _PAYMENT, given=("AuthorizePayment",), shows=says("PaymentCaptured")),
    Ask(
        "RefundPayment",
        _PAYMENT,
        given=("AuthorizePayment", "CapturePayment"),
        shows=says("PaymentRefunded"),
    ),
    Ask(
        "ReconcilePayments",
        {"batch_id": an_id(BATCH_ID), "expectations": some_of(_EXPECTATION)},
        given=("AuthorizePayment",),
        shows=says("PaymentsReconciled"),
    ),
)


async def play(script: Callable[[PaymentScene], Awaitable[T]], examples: Mapping[str, Detail]) -> T:
    """Run a script on a scene of its own."""
    return play_in_memory(lambda loop: PaymentScene(loop, "payment", _PROCESSES, examples), script)

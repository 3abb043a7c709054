"""The send_gift saga: take the giver's points, wrap the book, ship the parcel.

Guarantee: a gift is paid for and shipped, or neither.
"""

from datetime import timedelta

from pydantic import BaseModel

from contracts.models.common import Money, OrderLine
from gift_world.messages import (
    GiftCalledOff,
    GiftSent,
    GiftShipped,
    GiftUnwrapped,
    GiftWrapped,
    GivePointsBack,
    PaperUsedUp,
    PointsGivenBack,
    PointsRefused,
    PointsTaken,
    ShipGift,
    TakePoints,
    UnwrapGift,
    WrapGift,
)
from sagas import Refusal, Request, Saga, Step

# Two crashes, after each of which a message is back when its visibility (30 s) ends, and the work.
DEADLINE = timedelta(seconds=2 * 30 + 30)


class Gift(BaseModel):
    """What the saga knows."""

    gift_id: str
    giver: str
    book_id: str
    points: int

    @property
    def price(self) -> Money:
        return Money(amount_minor=self.points, currency="PTS")

    @property
    def lines(self) -> list[OrderLine]:
        return [OrderLine(book_id=self.book_id, quantity=1, unit_price=self.price)]


def take_points(gift: Gift) -> TakePoints:
    return TakePoints(
        order_id=gift.gift_id,
        payment_id=gift.gift_id,
        customer_id=gift.giver,
        amount=gift.price,
        payment_method="pm_points",
    )


def give_points_back(gift: Gift) -> GivePointsBack:
    return GivePointsBack(order_id=gift.gift_id, payment_id=gift.gift_id)


def wrap_gift(gift: Gift) -> WrapGift:
    return WrapGift(order_id=gift.gift_id, lines=gift.lines)


def unwrap_gift(gift: Gift) -> UnwrapGift:
    return UnwrapGift(order_id=gift.gift_id)


def ship_gift(gift: Gift) -> ShipGift:
    return ShipGift(order_id=gift.gift_id)


def say_sent(gift: Gift) -> GiftSent:
    return GiftSent(
        order_id=gift.gift_id, customer_id=gift.giver, lines=gift.lines, total=gift.price
    )


def say_called_off(gift: Gift, refusal: Refusal) -> GiftCalledOff:
    return GiftCalledOff(
        order_id=gift.gift_id, customer_id=gift.giver, reason=str(refusal["reason"])
    )


SEND_GIFT = Saga(
    name="send_gift",
    version=1,
    data=Gift,
    steps=[
        Step(
            "take_points",
            action=Request(take_points, success=PointsTaken, failure=PointsRefused),
            compensation=Request(give_points_back, success=PointsGivenBack),
            deadline=DEADLINE,
        ),
        Step(
            "wrap_gift",
            action=Request(wrap_gift, success=GiftWrapped, failure=PaperUsedUp),
            compensation=Request(unwrap_gift, success=GiftUnwrapped),
            deadline=DEADLINE,
        ),
        Step("ship_gift", action=Request(ship_gift, success=GiftShipped), deadline=DEADLINE),
    ],
    on_completed=say_sent,
    on_compensated=say_called_off,
)
GIFT = Gift(
    gift_id="7d1f9c52-6a0b-4b7e-9a53-5d1d3c1b7f10",
    giver="ada",
    book_id="0b0c7a3e-93a5-5d52-8d4e-0f6f1c2d3e4f",
    points=30,
)

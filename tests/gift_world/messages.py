"""The messages of the gift saga: the bookstore's contracts, under the names that they have here.

Guarantee: none of its own. There are no contracts but those in `contracts/`, and a world of tests
adds none; sites in plans and traces carry the contracts' names.
"""

from contracts.models import catalog, order, payment

TakePoints = payment.AuthorizePayment
PointsTaken = payment.PaymentAuthorized
PointsRefused = payment.PaymentDeclined
GivePointsBack = payment.VoidPayment
PointsGivenBack = payment.PaymentVoided

WrapGift = catalog.ReserveStock
GiftWrapped = catalog.StockReserved
PaperUsedUp = catalog.StockUnavailable
UnwrapGift = catalog.ReleaseStock
GiftUnwrapped = catalog.StockReleased

ShipGift = catalog.RestockItems
GiftShipped = catalog.ItemsRestocked

GiftSent = order.OrderConfirmed
GiftCalledOff = order.OrderRejected

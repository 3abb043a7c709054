"""A careful customer: repeats a request until it is answered, with the same key.

Guarantee: an order counts as acknowledged only once an answer with 2xx has arrived.
"""

from bookstore_world.stage import BOOK_ID, PRICE_MINOR, Stage
from contracts.models.common import OrderLine
from idempotency import StoredResponse
from order_service.domain import Refused
from order_service.orders import Orders

_ONE_COPY = {
    "book_id": BOOK_ID,
    "unit_price": {"amount_minor": PRICE_MINOR, "currency": "EUR"},
}


class Customer:
    """Talks to the order service's application as its HTTP routes do."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.acknowledged: list[str] = []
        self._keys: set[str] = set()

    @property
    def asked(self) -> int:
        """With how many different keys: there may be no more orders."""
        return len(self._keys)

    async def place(self, key: str, *, card: str, copies: int = 1) -> str:
        """Order some copies of the one book; the order's id. Raises Problem if it is refused."""
        self._keys.add(key)
        lines = [OrderLine.model_validate({**_ONE_COPY, "quantity": copies})]

        async def ask(orders: Orders) -> StoredResponse:
            return await orders.place(
                customer_id="ada",
                lines=lines,
                payment_method=card,
                idempotency_key=key,
                wait_seconds=0,
            )

        answer = await self._stage.ask("order-web", ask)
        order_id = str(answer.headers["Location"].rpartition("/")[2])
        # A repeat may find the order rejected already: then it exists all the same.
        self.acknowledged.append(order_id)
        return order_id

    async def cancel(self, order_id: str) -> None:
        """Ask for the cancellation until it is under way, done, or refused for good."""

        async def ask(orders: Orders) -> None:
            try:
                await orders.cancel(order_id, wait_seconds=0)
            except Refused as refusal:
                if refusal.code == "order_pending":
                    raise  # Not yet.

        await self._stage.ask("order-web", ask)

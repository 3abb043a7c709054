"""A customer's and an operator's view of the bookstore over HTTP: books, orders, gateway faults.

Guarantee: a request that fails is a value with its reason, never an exception of the HTTP library.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from bookstore.balance import Endpoints
from bookstore.demo.plan import Book, Fault

REQUEST_TIMEOUT_SECONDS = 40.0
PAGE = 200  # The APIs' limit.
MAX_BOOKS = 1_000
NO_ANSWER = "no answer"


class ShopError(Exception):
    """Something that the demo cannot do without did not answer; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; status 0 and `code` 'no answer' if there was none."""

    status: int
    document: Mapping[str, Any]

    @property
    def code(self) -> str:
        """A problem's code."""
        return str(self.document.get("code", f"HTTP {self.status}"))

    @property
    def accepted(self) -> bool:
        """Whether it acknowledges an order."""
        return 200 <= self.status < 300

    @property
    def order_id(self) -> str | None:
        """The order that it speaks of, refused or not."""
        found = self.document.get("order_id")
        return str(found) if found else None


class Shop:
    """Use it as `async with`. `titles` are those of the books that were read, by id."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.titles: dict[str, str] = {}
        self._endpoints = endpoints
        self._client = httpx.AsyncClient(
            timeout=REQUEST_TIMEOUT_SECONDS,
            trust_env=False,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=100),
        )

    async def __aenter__(self) -> "Shop":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def books(self) -> list[Book]:
        """The first thousand books, by id."""
        found: list[Book] = []
        query: dict[str, str] = {"limit": str(PAGE)}
        while len(found) < MAX_BOOKS:
            page = await self._must("GET", f"{self._endpoints.catalog}/books", params=query)
            found += [
                Book(
                    book_id=view["book_id"],
                    price_minor=view["price"]["amount_minor"],
                    currency=view["price"]["currency"],
                    available=view["available"],
                )
                for view in page["books"]
            ]
            self.titles |= {view["book_id"]: view["title"] for view in page["books"]}
            if "next_cursor" not in page:
                break
            query["cursor"] = page["next_cursor"]
        return found

    async def place(
        self, body: Mapping[str, Any], *, idempotency_key: str | None = None, wait_seconds: int = 0
    ) -> Answer:
        """POST /orders."""
        headers = {}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        if wait_seconds:
            headers["Prefer"] = f"wait={wait_seconds}"
        return await self._ask(
            "POST", f"{self._endpoints.order}/orders", json=body, headers=headers
        )

    async def give_contact(self, customer_id: str, contact: Mapping[str, str]) -> None:
        """PUT /customers/{id}/contact."""
        url = f"{self._endpoints.order}/customers/{customer_id}/contact"
        await self._must("PUT", url, json=contact)

    async def search(self, text: str) -> Mapping[str, Any]:
        """GET /search: the first few books."""
        url = f"{self._endpoints.search}/search"
        found: Mapping[str, Any] = await self._must("GET", url, params={"q": text, "limit": 3})
        return found

    async def view(self, customer_id: str, book_id: str) -> None:
        """POST /views."""
        body = {"customer_id": customer_id, "book_id": book_id}
        await self._must("POST", f"{self._endpoints.search}/views", json=body)

    async def recommendations(self, customer_id: str) -> Mapping[str, Any]:
        """GET /recommendations/{customer}: the first few."""
        url = f"{self._endpoints.search}/recommendations/{customer_id}"
        found: Mapping[str, Any] = await self._must("GET", url, params={"limit": 4})
        return found

    async def mails(self) -> Mapping[str, Mapping[str, int]]:
        """GET /ops/mails: by kind and state."""
        census = await self._must("GET", f"{self._endpoints.notification}/ops/mails")
        found: Mapping[str, Mapping[str, int]] = census["by_kind"]
        return found

    async def shipments(self) -> Mapping[str, int]:
        """GET /ops/shipments: by status."""
        found: Mapping[str, int] = await self._must(
            "GET", f"{self._endpoints.fulfillment}/ops/shipments"
        )
        return found

    async def cancel(self, order_id: str, *, wait_seconds: int) -> Answer:
        """POST /orders/{id}/cancellation."""
        return await self._ask(
            "POST",
            f"{self._endpoints.order}/orders/{order_id}/cancellation",
            headers={"Prefer": f"wait={wait_seconds}"},
        )

    async def orders_of(self, customer_id: str) -> list[Mapping[str, Any]]:
        """All orders of a customer, without their timelines."""
        found: list[Mapping[str, Any]] = []
        query = {"customer_id": customer_id, "limit": str(PAGE)}
        while True:
            page = await self._must("GET", f"{self._endpoints.order}/orders", params=query)
            found += page["orders"]
            if "next_cursor" not in page:
                return found
            query["cursor"] = page["next_cursor"]

    async def order(self, order_id: str) -> Mapping[str, Any]:
        """One order with its timeline."""
        found: Mapping[str, Any] = await self._must(
            "GET", f"{self._endpoints.order}/orders/{order_id}"
        )
        return found

    @contextlib.asynccontextmanager
    async def faults(self, wanted: Mapping[str, Fault]) -> AsyncIterator[Mapping[str, str]]:
        """Make the gateway fail as told; yields the faults' ids by name, and takes them back."""
        url = f"{self._endpoints.stripe}/_simulator/faults"
        ids: dict[str, str] = {}
        try:
            for name, fault in wanted.items():
                ids[name] = (await self._must("POST", url, json=fault))["id"]
            yield ids
        finally:
            for fault_id in ids.values():
                await self._ask("DELETE", f"{url}/{fault_id}")

    async def fired(self, fault_id: str) -> int:
        """How often a fault has struck."""
        listed = await self._must("GET", f"{self._endpoints.stripe}/_simulator/faults")
        return next((int(each["fired"]) for each in listed["faults"] if each["id"] == fault_id), 0)

    async def _ask(self, method: str, url: str, **request: Any) -> Answer:
        try:
            response = await self._client.request(method, url, **request)
            document = response.json() if response.content else {}
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            return Answer(0, {"code": NO_ANSWER, "detail": f"{method} {url}: {reason}"})
        except ValueError:
            return Answer(response.status_code, {"detail": response.text[:200]})
        return Answer(response.status_code, document)

    async def _must(self, method: str, url: str, **request: Any) -> Any:
        answer = await self._ask(method, url, **request)
        if not answer.accepted:
            detail = answer.document.get("detail", "")
            raise ShopError(f"{method} {url} was answered with {answer.code} {detail}".rstrip())
        return answer.document

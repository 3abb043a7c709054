"""The payment gateway: a thin wrapper around Stripe's SDK.

Guarantee: one effect per business key. A refusal comes back as a value; an answer that did not come
is looked up at the gateway before anything is sent again, and after 23 hours nothing is ever
sent again, only looked up.

    send(key) --answer--> done
        |  no answer, 5xx
        v
    look it up --found--> done
        |  not there
        +--> wait, send(key) again; the gateway replays a stored 5xx: send(key:2), ...

The chain of keys always starts from the first and so needs no memory: a key replays what it did.
Requests go through the SDK's `raw_request_async`, which leaves answers as plain dictionaries: its
typed objects cost 150 µs of CPU for one payment intent, dictionaries 10 µs.
"""

import asyncio
import logging
import random
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from datetime import datetime, timedelta
from typing import Any, TypeVar

from prometheus_client import Gauge, Histogram
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from chassis import HttpConnections
from messaging import DeadLetter, RetryLater
from payment_service.circuit import Circuit, State
from payment_service.documents import (
    created_between,
    created_since,
    error_of,
    intent_from,
    metadata_of,
    refund_from,
    refused_intent,
)
from payment_service.domain import Intent, Payment, Refund
from payment_service.sdk import KeptAliveClient, stripe
from payment_service.settings import PaymentSettings

log = logging.getLogger(__name__)
T = TypeVar("T")

PAGE_ITEMS = 100  # Stripe's limit for lists.
# A list shows an intent for a twentieth of what asking for it costs.
MAX_LISTED_PER_PAYMENT = 10
LISTED_AROUND = timedelta(seconds=5)
MAX_PAGES = 100
CONNECT_SECONDS = 3.0
STRIPE_API = "https://api.stripe.com"
# The gateway's clock and ours may differ by this much.
CLOCK_SKEW = timedelta(minutes=5)
_CANCELLABLE = frozenset({"requires_action", "requires_confirmation", "requires_payment_method"})


CIRCUIT_CLOSED = Gauge("payment_gateway_circuit_closed", "1 while the gateway is being asked")
REQUEST_SECONDS = Histogram(
    "payment_gateway_request_seconds",
    "Time until the gateway answered, by method",
    ["method"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10),
)


class Unanswered(RetryLater):
    """The outcome is unknown. `is_replay`: the gateway repeated an error stored under the key."""

    def __init__(self, what: str, *, is_replay: bool = False) -> None:
        super().__init__(f"the gateway did not answer: {what}", seconds=random.uniform(1, 4))
        self.is_replay = is_replay


class AccessRefused(RetryLater):
    """The gateway does not accept our API key: people must act, messages wait."""

    def __init__(self) -> None:
        super().__init__("the gateway refuses the API key: check STRIPE_API_KEY", seconds=30)


class KeyMisused(DeadLetter):
    """The gateway knows the payment's key for a request with other parameters."""

    code = "idempotency_key_misused"


class Gateway:
    """Holds, takes and gives back money. Close it when done.

    `connect` opens the connections; it takes what `HttpConnections` takes.
    """

    def __init__(
        self,
        settings: PaymentSettings,
        connect: Callable[..., HttpConnections] = HttpConnections,
    ) -> None:
        self._settings = settings
        self._connect = connect
        self.circuit = Circuit(
            failures=settings.circuit_failures, open_seconds=settings.circuit_open_seconds
        )
        CIRCUIT_CLOSED.set_function(lambda: float(self.circuit.state is State.CLOSED))
        self._slots = asyncio.Semaphore(settings.gateway_concurrency)
        self._opened: tuple[stripe.StripeClient, HttpConnections] | None = None

    def _client(self) -> stripe.StripeClient:
        """One client and one pool of connections, opened on first use (inside the loop)."""
        if self._opened is None:
            stripe.enable_telemetry = False  # It would tell Stripe about this machine.
            base = (self._settings.stripe_api_base or STRIPE_API).rstrip("/")
            attempt_seconds = self._settings.gateway_attempt_seconds
            connections = self._connect(
                base,
                limit=self._settings.gateway_concurrency,
                connect_seconds=min(CONNECT_SECONDS, attempt_seconds),
                answer_seconds=attempt_seconds,
            )
            client = stripe.StripeClient(
                self._settings.stripe_api_key.get_secret_value(),
                base_addresses={"api": base},
                http_client=KeptAliveClient(connections),
                max_network_retries=0,  # The one retrying layer is `_ask`.
            )
            self._opened = client, connections
        return self._opened[0]

    async def close(self) -> None:
        """Close the pooled connections."""
        if self._opened is not None:
            self._opened[1].close()

    async def authorize(
        self, payment: Payment, payment_method: str, *, look_first: bool
    ) -> Intent | None:
        """Hold the amount; a decline comes back as an intent with a refusal.

        None: too old to be sent again, and the gateway has no trace of it. Raises Unanswered,
        CircuitOpen, AccessRefused: the message waits; KeyMisused.
        """
        money = payment.money

        async def look() -> Intent | None:
            found = await self.find(payment)
            return next((i for i in found if i.is_hold), found[0] if found else None)

        async def send(key: str) -> Intent:
            try:
                intent = intent_from(
                    await self._call(
                        "post",
                        "/v1/payment_intents",
                        idempotency_key=key,
                        amount=money.amount_minor,
                        currency=money.currency.lower(),
                        capture_method="manual",
                        confirm=True,
                        error_on_requires_action=True,
                        payment_method=payment_method,
                        payment_method_types=["card"],
                        metadata=metadata_of(payment),
                    )
                )
                if intent.payment_id != payment.payment_id:
                    raise Unanswered("an answer about another payment")
                return intent
            except stripe.IdempotencyError as error:
                raise KeyMisused(str(error.user_message)) from None
            except (stripe.CardError, stripe.InvalidRequestError) as error:
                return refused_intent(error, payment)

        if payment.keys_expired:
            return await self._within_limit(look())
        return await self._ask(
            f"{payment.payment_id}:authorize", send=send, look=look, look_first=look_first
        )

    async def find(self, payment: Payment) -> list[Intent]:
        """All intents that carry the payment's id, newest first: of each attempt since it began."""
        since = payment.started_at - CLOCK_SKEW
        return [
            intent
            async for intent in self.intents(since)
            if intent.payment_id == payment.payment_id
        ]

    async def intents(self, since: datetime) -> AsyncIterator[Intent]:
        """Intents created since then, newest first."""
        async for document in self._pages("/v1/payment_intents", created=created_since(since)):
            yield intent_from(document)

    async def intents_of(self, payments: Collection[Payment]) -> dict[str, Intent]:
        """The intents of payments that began at about the same time, by id, from a few list calls.

        Not necessarily all of them: whoever misses one asks for it by itself.
        """
        started = [payment.started_at for payment in payments if payment.intent_id]
        if not started:
            return {}
        found: dict[str, Intent] = {}
        window = created_between(min(started) - LISTED_AROUND, max(started) + LISTED_AROUND)
        async for document in self._pages("/v1/payment_intents", created=window):
            intent = intent_from(document)
            found[intent.intent_id] = intent
            if len(found) >= MAX_LISTED_PER_PAYMENT * len(payments):
                break  # A busy time: from here on, asking one by one is cheaper.
        return found

    async def events(
        self, types: Sequence[str], since: datetime
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Events of those types since then, newest first (Stripe keeps 30 days of them)."""
        pages = self._pages("/v1/events", types=list(types), created=created_since(since))
        async for document in pages:
            yield document

    async def intent(self, intent_id: str) -> Intent:
        """The intent's current state; its status is 'missing' if the gateway has none."""
        try:
            return intent_from(await self._call("get", f"/v1/payment_intents/{intent_id}"))
        except stripe.InvalidRequestError as error:
            if error.http_status != 404:
                raise
            return Intent(intent_id, "missing", 0, "")

    async def capture(self, payment: Payment) -> Intent:
        """Take the held money; the intent says whether that was still possible."""
        return await self._move(payment, "capture", payment.intent_id or "")

    async def cancel(self, payment_id: str, intent_id: str) -> Intent:
        """Let go of a hold; the intent says whether there was one still."""
        return await self._move(payment_id, "cancel", intent_id)

    async def _move(self, payment: Payment | str, verb: str, intent_id: str) -> Intent:
        payment_id = payment if isinstance(payment, str) else payment.payment_id

        async def look() -> Intent | None:
            found = await self.intent(intent_id)
            movable = found.is_hold or (verb == "cancel" and found.status in _CANCELLABLE)
            return None if movable else found

        async def send(key: str) -> Intent:
            path = f"/v1/payment_intents/{intent_id}/{verb}"
            try:
                intent = intent_from(await self._call("post", path, idempotency_key=key))
                if intent.intent_id != intent_id:
                    raise Unanswered("an answer about another intent")
                return intent
            except stripe.InvalidRequestError as error:
                enclosed = error_of(error).get("payment_intent")
                return intent_from(enclosed) if enclosed else await self.intent(intent_id)

        return await self._ask(f"{payment_id}:{verb}:{intent_id}", send=send, look=look)

    async def refund(self, payment: Payment) -> Refund:
        """Give all of it back, once: looks first, since a key may be forgotten and a refund not."""
        intent_id = payment.intent_id or ""

        async def look() -> Refund | None:
            found = await self._call("get", "/v1/refunds", payment_intent=intent_id, limit=10)
            refunds = [refund_from(document) for document in found["data"]]
            return min(refunds, key=lambda r: r.status in ("failed", "canceled"), default=None)

        async def send(key: str) -> Refund:
            try:
                return refund_from(
                    await self._call(
                        "post",
                        "/v1/refunds",
                        idempotency_key=key,
                        payment_intent=intent_id,
                        metadata=metadata_of(payment),
                    )
                )
            except stripe.InvalidRequestError as error:
                detail = error_of(error).get("message", "refused")
                return await look() or Refund("", intent_id, "failed", failure=detail)

        return await self._ask(
            f"{payment.payment_id}:refund", send=send, look=look, look_first=True
        )

    async def find_refund(self, refund_id: str) -> Refund:
        """The refund's current state; its status is 'missing' if the gateway has none."""
        try:
            return refund_from(await self._call("get", f"/v1/refunds/{refund_id}"))
        except stripe.InvalidRequestError as error:
            if error.http_status != 404:
                raise
            return Refund(refund_id, "", "missing")

    async def _ask(
        self,
        key: str,
        *,
        send: Callable[[str], Awaitable[T]],
        look: Callable[[], Awaitable[T | None]],
        look_first: bool = False,
    ) -> T:
        """The one layer that asks again: with jitter, within the budget, never blindly."""
        number, must_look = 1, look_first
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(Unanswered),
            stop=stop_after_delay(self._settings.gateway_budget_seconds),
            wait=wait_random_exponential(multiplier=0.2, max=3),
            reraise=True,
        )

        async def once() -> T:
            nonlocal number, must_look
            found = await look() if must_look else None
            if found is not None:
                return found
            must_look = True
            try:
                return await send(key if number == 1 else f"{key}:{number}")
            except Unanswered as unanswered:
                number += unanswered.is_replay
                raise

        return await self._within_limit(attempts(once))

    async def _within_limit(self, asked: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._settings.gateway_hard_seconds):
                return await asked
        except TimeoutError:
            raise Unanswered("the hard timeout has passed") from None

    async def _call(self, method: str, path: str, **params: Any) -> Any:
        """One request, through the circuit breaker; raises Unanswered or the SDK's refusals."""
        self.circuit.check()
        async with self._slots:
            self.circuit.enter()
            began = time.monotonic()
            try:
                answer = await self._client().raw_request_async(method, path, **params)
            except (stripe.CardError, stripe.InvalidRequestError, stripe.IdempotencyError):
                self.circuit.succeeded()
                raise
            except (stripe.AuthenticationError, stripe.PermissionError) as error:
                self.circuit.succeeded()
                log.critical("the gateway refuses our API key: %s", type(error).__name__)
                raise AccessRefused from None
            except (stripe.StripeError, TimeoutError) as error:
                raise self._unanswered(error) from None
            except BaseException:
                self.circuit.abandoned()
                raise
            finally:
                REQUEST_SECONDS.labels(method).observe(time.monotonic() - began)
            self.circuit.succeeded()
            return answer.data

    def _unanswered(self, error: Exception) -> Unanswered:
        status = getattr(error, "http_status", None)
        headers: Mapping[str, str] = getattr(error, "headers", None) or {}
        if headers.get("idempotent-replayed") == "true":
            self.circuit.succeeded()  # An old error; the gateway itself is well.
            return Unanswered(f"it replays a stored {status}", is_replay=True)
        if status in (409, 429):  # Busy with the same key, or too many requests: it is alive.
            self.circuit.succeeded()
        else:
            self.circuit.failed()
        cause = error.__cause__ or error
        return Unanswered(f"status {status}" if status else type(cause).__name__)

    async def _pages(self, path: str, **params: Any) -> AsyncIterator[Mapping[str, Any]]:
        """Every object of a list; raises Unanswered when there are more pages than make sense."""
        cursor: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            page = await self._call("get", path, limit=PAGE_ITEMS, **params, **cursor)
            for document in page["data"]:
                yield document
            if not page["has_more"]:
                return
            cursor = {"starting_after": page["data"][-1]["id"]}
        raise Unanswered(f"{path} has more than {MAX_PAGES} pages")

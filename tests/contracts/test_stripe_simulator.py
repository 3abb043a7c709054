"""The Stripe simulator judged by Stripe's official SDK: every answer is what its classes publish.

Guarantee: every answer of every case is judged, errors and webhooks included, as it crossed the
wire.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import stripe
from aiohttp import web

from stripe_simulator.testing import RunningSimulator, running_simulator

from .stripe_shapes import differences

API_KEY, SECRET = "sk_test_pacts", "whsec_pacts"
REFUND_SECONDS = 600
METADATA = {"payment_id": "payment-1", "order_id": "order-1"}
HELD: dict[str, Any] = {
    "amount": 1699,
    "currency": "eur",
    "capture_method": "manual",
    "confirm": True,
    "error_on_requires_action": True,
    "payment_method": "pm_card_visa",
    "payment_method_types": ["card"],
    "metadata": METADATA,
}


class Wire(stripe.AIOHTTPClient):
    """The SDK's own client, which notes what it is answered."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.answers: list[Any] = []

    async def request_async(self, *request: Any, **options: Any) -> Any:
        """See the SDK."""
        content, status, headers = await super().request_async(*request, **options)
        self.answers.append(json.loads(content))
        return content, status, headers


@dataclass
class Gateway:
    """The SDK's view of a simulator, and what came over the wire to it."""

    simulator: RunningSimulator
    client: stripe.StripeClient
    wire: Wire

    async def ask(self, method: str, path: str, key: str | None = None, **params: Any) -> Any:
        """One request, as the payment service sends it."""
        options = {"idempotency_key": key} if key else {}
        answer = await self.client.raw_request_async(method, f"/v1/{path}", **params, **options)
        return answer.data

    async def hold(self, **changes: Any) -> Any:
        """Hold money on a card; the intent's id."""
        return (await self.ask("post", "payment_intents", **{**HELD, **changes}))["id"]

    async def captured(self, **changes: Any) -> Any:
        """Hold money and take it; the intent's id."""
        intent = await self.hold(**changes)
        await self.ask("post", f"payment_intents/{intent}/capture")
        return intent


@pytest.fixture(scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    environment = {
        "STRIPE_API_KEY": API_KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_SIMULATOR_REFUND_SECONDS": str(REFUND_SECONDS),
    }
    async with (
        running_simulator(environment=environment) as simulator,
        aiohttp.ClientSession() as session,
    ):
        wire = Wire(timeout=aiohttp.ClientTimeout(total=10), session=session)
        client = stripe.StripeClient(
            API_KEY, base_addresses={"api": simulator.url}, http_client=wire, max_network_retries=0
        )
        yield Gateway(simulator, client, wire)


Case = Callable[[Gateway], Awaitable[None]]


async def a_hold_that_is_captured(gateway: Gateway) -> None:
    await gateway.captured()


async def a_hold_that_is_let_go(gateway: Gateway) -> None:
    intent = await gateway.hold()
    await gateway.ask("post", f"payment_intents/{intent}/cancel", cancellation_reason="duplicate")


async def a_hold_that_expires(gateway: Gateway) -> None:
    intent = await gateway.hold()
    await gateway.simulator.advance(8 * 24 * 3600)
    await gateway.ask("get", f"payment_intents/{intent}")


async def a_payment_that_is_not_confirmed_yet(gateway: Gateway) -> None:
    form = {**HELD, "confirm": False, "payment_method": None, "error_on_requires_action": None}
    given = {name: value for name, value in form.items() if value is not None}
    intent = (await gateway.ask("post", "payment_intents", **given))["id"]
    await gateway.ask("post", f"payment_intents/{intent}/confirm", payment_method="pm_card_amex")


async def a_customer_who_has_to_pass_authentication(gateway: Gateway) -> None:
    intent = await gateway.hold(
        payment_method="pm_card_authenticationRequired", error_on_requires_action=False
    )
    await gateway.simulator.admin("POST", f"authenticate/{intent}", {"succeed": True})
    await gateway.ask("get", f"payment_intents/{intent}")


async def a_redirect_to_the_bank(gateway: Gateway) -> None:
    await gateway.hold(
        payment_method="pm_card_authenticationRequired",
        error_on_requires_action=False,
        return_url="https://shop.example/back",
    )


async def a_payment_by_any_method_that_fits(gateway: Gateway) -> None:
    form = {name: value for name, value in HELD.items() if name != "payment_method_types"}
    await gateway.ask(
        "post",
        "payment_intents",
        **{**form, "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}},
    )


async def a_charge_that_is_shown_in_its_intent(gateway: Gateway) -> None:
    intent = await gateway.captured()
    await gateway.ask("get", f"payment_intents/{intent}", expand=["latest_charge"])


async def a_refund_that_succeeds(gateway: Gateway) -> None:
    intent = await gateway.captured()
    refund = await gateway.ask("post", "refunds", payment_intent=intent, metadata=METADATA)
    await gateway.ask("get", f"refunds/{refund['id']}")


async def a_part_of_the_money_back(gateway: Gateway) -> None:
    intent = await gateway.captured()
    reason = "requested_by_customer"
    await gateway.ask("post", "refunds", payment_intent=intent, amount=100, reason=reason)


async def a_refund_that_takes_time(gateway: Gateway) -> None:
    await _settled(gateway, "pm_card_pendingRefund")


async def a_refund_that_comes_back(gateway: Gateway) -> None:
    await _settled(gateway, "pm_card_refundFail")


async def _settled(gateway: Gateway, card: str) -> None:
    intent = await gateway.captured(payment_method=card)
    refund = (await gateway.ask("post", "refunds", payment_intent=intent))["id"]
    await gateway.simulator.advance(REFUND_SECONDS + 1)
    await gateway.ask("get", f"refunds/{refund}")


async def lists_of_everything(gateway: Gateway) -> None:
    intent = await gateway.captured()
    await gateway.ask("post", "refunds", payment_intent=intent)
    await gateway.ask("get", "payment_intents", created={"gte": 1}, limit=3)
    await gateway.ask("get", "payment_intents/search", query="status:'succeeded'")
    await gateway.ask("get", "refunds", payment_intent=intent, limit=10)
    await gateway.ask("get", "charges", payment_intent=intent)
    await gateway.ask("get", "events", types=["charge.refunded", "refund.created"], limit=100)


CASES: list[Case] = [
    a_hold_that_is_captured,
    a_hold_that_is_let_go,
    a_hold_that_expires,
    a_payment_that_is_not_confirmed_yet,
    a_customer_who_has_to_pass_authentication,
    a_redirect_to_the_bank,
    a_payment_by_any_method_that_fits,
    a_charge_that_is_shown_in_its_intent,
    a_refund_that_succeeds,
    a_part_of_the_money_back,
    a_refund_that_takes_time,
    a_refund_that_comes_back,
    lists_of_everything,
]


@pytest.fixture
async def judged(gateway: Gateway) -> AsyncIterator[Gateway]:
    """The gateway, emptied; once the test is over, every answer and every event is judged."""
    await gateway.simulator.admin("POST", "reset")
    gateway.wire.answers.clear()
    yield gateway
    await gateway.ask("get", "events", limit=100)
    found = {each for answer in gateway.wire.answers for each in differences(answer)}
    assert gateway.wire.answers
    assert not found, "\n" + "\n".join(sorted(found))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_answers_are_what_stripe_publishes(judged: Gateway, case: Case) -> None:
    await case(judged)


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_chargeDeclinedVelocityLimitExceeded", "card_declined", "card_velocity_exceeded"),
        ("pm_card_radarBlock", "card_declined", "fraudulent"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", None),
        ("pm_card_authenticationRequired", "authentication_required", "authentication_required"),
    ],
)
async def test_a_declined_card_is_a_card_error_with_the_codes_that_stripe_lists(
    judged: Gateway, card: str, code: str, decline_code: str | None
) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await judged.hold(payment_method=card)
    error = declined.value
    assert (error.http_status, error.code) == (402, code)
    told: Any = error.json_body
    if decline_code is not None:
        assert told["error"]["decline_code"] == decline_code
    assert told["error"]["payment_intent"]["status"] == "requires_payment_method"


async def _unknown_card(gateway: Gateway) -> None:
    await gateway.hold(payment_method="pm_card_nobody")


async def _unknown_intent(gateway: Gateway) -> None:
    await gateway.ask("get", "payment_intents/pi_nobody")


async def _unknown_refund(gateway: Gateway) -> None:
    await gateway.ask("get", "refunds/re_nobody")


async def _too_little(gateway: Gateway) -> None:
    await gateway.hold(amount=1)


async def _unknown_parameter(gateway: Gateway) -> None:
    await gateway.hold(colour="blue")


async def _captured_twice(gateway: Gateway) -> None:
    intent = await gateway.captured()
    await gateway.ask("post", f"payment_intents/{intent}/capture")


async def _cancelled_too_late(gateway: Gateway) -> None:
    intent = await gateway.captured()
    await gateway.ask("post", f"payment_intents/{intent}/cancel")


async def _refunded_twice(gateway: Gateway) -> None:
    intent = await gateway.captured()
    await gateway.ask("post", "refunds", payment_intent=intent)
    await gateway.ask("post", "refunds", payment_intent=intent)


async def _refunded_too_much(gateway: Gateway) -> None:
    intent = await gateway.captured()
    await gateway.ask("post", "refunds", payment_intent=intent, amount=HELD["amount"] + 1)


async def _other_parameters_under_a_key(gateway: Gateway) -> None:
    await gateway.hold(key="payment-1")
    await gateway.hold(key="payment-1", amount=1700)


async def _a_wrong_api_key(gateway: Gateway) -> None:
    await gateway.ask("get", "events", api_key="sk_live_nobody")


async def _too_many_requests(gateway: Gateway) -> None:
    match = {"operation": "events", "times": 1}
    await gateway.simulator.fault(match, {"kind": "rate_limit"})
    await gateway.ask("get", "events")


async def _a_failure_of_stripes_own(gateway: Gateway) -> None:
    action = {"kind": "status", "status": 500, "when": "before"}
    await gateway.simulator.fault({"operation": "events", "times": 1}, action)
    await gateway.ask("get", "events")


UNEXPECTED = "payment_intent_unexpected_state"
REFUSALS: Mapping[Case, tuple[type[stripe.StripeError], int, str | None, str | None]] = {
    _unknown_card: (stripe.InvalidRequestError, 400, "resource_missing", "payment_method"),
    _unknown_intent: (stripe.InvalidRequestError, 404, "resource_missing", "intent"),
    _unknown_refund: (stripe.InvalidRequestError, 404, "resource_missing", "id"),
    _too_little: (stripe.InvalidRequestError, 400, "amount_too_small", "amount"),
    _unknown_parameter: (stripe.InvalidRequestError, 400, "parameter_unknown", "colour"),
    _captured_twice: (stripe.InvalidRequestError, 400, UNEXPECTED, None),
    _cancelled_too_late: (stripe.InvalidRequestError, 400, UNEXPECTED, None),
    _refunded_twice: (stripe.InvalidRequestError, 400, "charge_already_refunded", None),
    _refunded_too_much: (stripe.InvalidRequestError, 400, None, "amount"),
    _other_parameters_under_a_key: (stripe.IdempotencyError, 400, None, None),
    _a_wrong_api_key: (stripe.AuthenticationError, 401, None, None),
    _too_many_requests: (stripe.RateLimitError, 429, "rate_limit", None),
    _a_failure_of_stripes_own: (stripe.APIError, 500, None, None),
}


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.__name__.strip("_"))
async def test_a_refusal_is_the_sdks_own_error_with_status_code_and_param(
    judged: Gateway, case: Case
) -> None:
    kind, status, code, param = REFUSALS[case]
    with pytest.raises(stripe.StripeError) as refused:
        await case(judged)
    assert (type(refused.value), refused.value.http_status) == (kind, status)
    # Of some kinds the SDK's exception keeps no code; what it was told, it keeps of all.
    told: Any = refused.value.json_body
    assert (told["error"].get("code"), told["error"].get("param")) == (code, param)


async def test_webhooks_are_signed_events_that_stripe_publishes(judged: Gateway) -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        signature = request.headers["Stripe-Signature"]
        stripe.Webhook.construct_event(body, signature, SECRET, api_key=API_KEY)
        await arrived.put(body)
        return web.Response()

    application = web.Application()
    application.router.add_post("/webhooks", receive)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
        endpoint = {"url": url, "enabled_events": ["*"]}
        await judged.simulator.admin("POST", "webhooks", endpoint)
        intent = await judged.captured()
        await judged.ask("post", "refunds", payment_intent=intent)
        expected = {
            "charge.captured",
            "charge.refunded",
            "payment_intent.amount_capturable_updated",
            "payment_intent.succeeded",
            "refund.created",
        }
        seen: set[str] = set()
        async with asyncio.timeout(10):
            while not expected <= seen:
                event = json.loads(await arrived.get())
                assert differences(event) == []
                seen.add(event["type"])
    finally:
        await judged.simulator.admin("DELETE", "webhooks")
        await runner.cleanup()

"""Idempotency keys and faults: what a retry meets after each way to fail."""

import asyncio
from typing import Any

import aiohttp
import pytest
import stripe

AUTHORIZE = {"operation": "authorize"}


async def test_same_key_charges_once_and_replays_the_answer(gateway: Any) -> None:
    first = await gateway.authorize(key="payment-1")
    again = await gateway.authorize(key="payment-1")
    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["Original-Request"] == first.last_response.request_id
    assert await gateway.simulator.totals() == {"authorized": 1999}


async def test_a_decline_is_replayed(gateway: Any) -> None:
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            await gateway.authorize(key="k", payment_method="pm_card_visa_chargeDeclined")
    assert len((await gateway.intents.list_async()).data) == 1


async def test_same_key_with_other_parameters_is_refused(gateway: Any) -> None:
    held = await gateway.authorize(key="k")
    with pytest.raises(stripe.IdempotencyError, match="same parameters") as caught:
        await gateway.authorize(key="k", amount=2000)
    assert caught.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        await gateway.intents.capture_async(held.id, {}, {"idempotency_key": "k"})
    assert await gateway.simulator.totals() == {"authorized": 1999}


async def test_invalid_parameters_do_not_use_the_key_up(gateway: Any) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await gateway.authorize(key="k", amount=1)
    assert (await gateway.authorize(key="k")).status == "requires_capture"


async def test_key_in_use_is_a_conflict(gateway: Any) -> None:
    await gateway.simulator.fault({**AUTHORIZE, "nth": 1}, {"kind": "stall", "seconds": 0.4})
    first = asyncio.create_task(gateway.authorize(key="k"))
    async with asyncio.timeout(5):
        while not (await gateway.simulator.admin("GET", "faults"))["faults"][0]["fired"]:
            pass
    with pytest.raises(stripe.APIError) as caught:  # The SDK has no class of its own for a 409.
        await gateway.authorize(key="k")
    error: Any = caught.value.error
    assert (caught.value.http_status, error.code) == (409, "idempotency_key_in_use")
    assert (await first).status == "requires_capture"
    assert await gateway.simulator.totals() == {"authorized": 1999}


@pytest.mark.parametrize("forgetting", ["after a day", "at once"])
async def test_a_forgotten_key_charges_again(gateway: Any, forgetting: str) -> None:
    first = await gateway.authorize(key="k")
    if forgetting == "at once":
        assert await gateway.simulator.admin("POST", "forget", {"key": "k"}) == {"forgotten": 1}
    else:
        await gateway.simulator.advance(24 * 3600)
    assert (await gateway.authorize(key="k")).id != first.id


@pytest.mark.parametrize(("when", "charged"), [("before", {}), ("after", {"authorized": 1999})])
async def test_a_saved_500_is_replayed_whether_or_not_it_charged(
    gateway: Any, when: str, charged: dict[str, int]
) -> None:
    await gateway.simulator.fault({**AUTHORIZE, "times": 1}, {"kind": "status", "when": when})
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            await gateway.authorize(key="k")
        assert caught.value.http_status == 500
        assert await gateway.simulator.totals() == charged


@pytest.mark.parametrize(("when", "charged"), [("before", {}), ("after", {"authorized": 1999})])
async def test_a_dropped_connection_is_survived_by_retrying_with_the_key(
    gateway: Any, when: str, charged: dict[str, int]
) -> None:
    await gateway.simulator.fault({**AUTHORIZE, "times": 1}, {"kind": "drop", "when": when})
    with pytest.raises(stripe.APIConnectionError):
        await gateway.authorize(key="k")
    assert await gateway.simulator.totals() == charged
    assert (await gateway.authorize(key="k")).status == "requires_capture"
    assert await gateway.simulator.totals() == {"authorized": 1999}


async def test_a_client_that_gives_up_while_stalled_has_still_charged(gateway: Any) -> None:
    await gateway.simulator.fault(
        {**AUTHORIZE, "times": 1}, {"kind": "stall", "when": "after", "seconds": 30}
    )
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(gateway.authorize(key="k"), 0.3)
    assert await gateway.simulator.totals() == {"authorized": 1999}


async def test_a_rate_limit_executes_nothing_and_keeps_the_key_free(gateway: Any) -> None:
    await gateway.simulator.fault({**AUTHORIZE, "times": 1}, {"kind": "rate_limit"})
    with pytest.raises(stripe.RateLimitError) as caught:
        await gateway.authorize(key="k")
    assert caught.value.http_status == 429
    assert (await gateway.authorize(key="k")).status == "requires_capture"


async def test_faults_hit_only_what_they_match(gateway: Any) -> None:
    await gateway.simulator.fault(
        {"operation": "capture", "metadata": {"order_id": "b"}}, {"kind": "status", "status": 503}
    )
    spared = await gateway.authorize(metadata={"order_id": "a"})
    hit = await gateway.authorize(metadata={"order_id": "b"})
    assert (await gateway.intents.capture_async(spared.id)).status == "succeeded"
    with pytest.raises(stripe.APIError) as caught:
        await gateway.intents.capture_async(hit.id)
    assert caught.value.http_status == 503


async def test_a_seeded_fault_repeats_itself(gateway: Any) -> None:
    async def pattern() -> list[bool]:
        await gateway.simulator.fault(
            {"operation": "list", "probability": 0.5, "seed": 7}, {"kind": "rate_limit"}
        )
        hits = []
        for _ in range(20):
            try:
                await gateway.intents.list_async()
                hits.append(False)
            except stripe.RateLimitError:
                hits.append(True)
        await gateway.simulator.admin("DELETE", "faults")
        return hits

    first = await pattern()
    assert any(first)
    assert not all(first)
    assert await pattern() == first


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({}, "match must be an object"),
        ({"match": {"operation": "steal"}, "action": {"kind": "drop"}}, "match.operation"),
        ({"match": AUTHORIZE, "action": {"kind": "explode"}}, "action.kind"),
        ({"match": AUTHORIZE, "action": {"kind": "lose"}}, "action.kind"),
        ({"match": {"operation": "webhook"}, "action": {"kind": "drop"}}, "action.kind"),
        ({"match": AUTHORIZE, "action": {"kind": "stall"}}, "action.seconds is required"),
        ({"match": AUTHORIZE, "action": {"kind": "stall", "seconds": -1}}, "action.seconds"),
        ({"match": AUTHORIZE, "action": {"kind": "status", "status": 200}}, "action.status"),
        ({"match": {**AUTHORIZE, "nth": 0}, "action": {"kind": "drop"}}, "match.nth"),
        ({"match": {**AUTHORIZE, "colour": 1}, "action": {"kind": "drop"}}, "no field 'colour'"),
    ],
)
async def test_a_senseless_fault_is_explained(
    gateway: Any, document: dict[str, Any], complaint: str
) -> None:
    answer = await gateway.simulator.admin("POST", "faults", document, expect=400)
    assert complaint in answer["error"]["message"]
    assert await gateway.simulator.admin("GET", "faults") == {"faults": []}


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'"text"', b"x" * 100_000])
async def test_bad_administrative_bodies_get_a_400(gateway: Any, body: bytes) -> None:
    async with aiohttp.ClientSession() as session:
        address = f"{gateway.simulator.url}/_simulator/faults"
        async with session.post(address, data=body) as response:
            assert response.status == 400
            assert (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"amount": 1}', "application/json"),
        (b"amount=\xff", "application/x-www-form-urlencoded"),
        (b"amount=%FF", "application/x-www-form-urlencoded"),
        (b"amount[=1", "application/x-www-form-urlencoded"),
        (b"metadata=1&metadata[a]=2", "application/x-www-form-urlencoded"),
        (b"x" * 100_000, "application/x-www-form-urlencoded"),
        (
            b"&".join(b"a%d=1" % number for number in range(400)),
            "application/x-www-form-urlencoded",
        ),
    ],
)
async def test_bad_forms_get_a_400_in_stripes_format(
    gateway: Any, body: bytes, content_type: str
) -> None:
    headers = {"Authorization": "Bearer sk_test_bookstore", "Content-Type": content_type}
    async with aiohttp.ClientSession() as session:
        address = f"{gateway.simulator.url}/v1/payment_intents"
        async with session.post(address, data=body, headers=headers) as response:
            assert response.status == 400
            assert (await response.json())["error"]["type"] == "invalid_request_error"

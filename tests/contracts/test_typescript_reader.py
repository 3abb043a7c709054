"""The reader in TypeScript draws the line between valid and not where the schemas draw it.

Guarantee: payloads are drawn by the seed at the report's end, and judged by the running Node
process, its JSON parser and its validator: nothing in Python stands between them and its queue.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from contracts import load_topology
from contracts.registry import raw_schemas

from .conftest import SEED
from .fulfillment_scene import NAME, FulfillmentScene, play
from .participants import examples_for
from .payloads import known_part, payloads, samples, violations, violations_of
from .scene import Detail
from .server_scene import Servers

RECEIVED = sorted(load_topology().services[NAME].receives)
COUNT = 60

NewServers = Callable[[], Servers]


@pytest.mark.parametrize("message", RECEIVED)
async def test_every_payload_that_the_schema_allows_is_handled(
    on_servers: NewServers, message: str
) -> None:
    allowed = samples(payloads(_schema_asked_for(message)), COUNT, SEED)

    async def script(scene: FulfillmentScene) -> None:
        await scene.tell(_events(scene, message, allowed))
        assert scene.letters == []
        assert await scene.handled() == {message: len(allowed)}

    await play(script, examples_for(NAME), on_servers())


async def test_what_is_packed_is_what_was_ordered(on_servers: NewServers) -> None:
    schema = _schema_asked_for("OrderConfirmed")
    drawn = samples(payloads(schema), COUNT, SEED + 1)
    # Of an order that was drawn twice, the first is the one that counts.
    orders = {each["order_id"]: known_part(each, schema) for each in reversed(drawn)}

    async def script(scene: FulfillmentScene) -> None:
        await scene.tell(_events(scene, "OrderConfirmed", list(orders.values())))
        for order_id, order in orders.items():
            shipment = await scene.shipment(order_id)
            assert shipment is not None, order_id
            assert shipment["customer_id"] == order["customer_id"]
            assert shipment["lines"] == order["lines"]

    await play(script, examples_for(NAME), on_servers())


@pytest.mark.parametrize("message", RECEIVED)
async def test_whatever_the_schema_forbids_is_a_dead_letter_that_names_the_contract(
    on_servers: NewServers, message: str
) -> None:
    schema = _schema_asked_for(message)
    every_way = violations_of(examples_for(NAME)[message]["data"], schema)
    broken = every_way + samples(violations(schema), COUNT, SEED)

    async def script(scene: FulfillmentScene) -> None:
        events = _events(scene, message, [each.payload for each in broken])
        await scene.tell(events)
        # Those that were let through: by what is wrong with them.
        refused = [letter.detail for letter in scene.letters]
        pairs = zip(broken, events, strict=True)
        assert [str(each) for each, event in pairs if event not in refused] == []
        assert {letter.reason_code for letter in scene.letters} == {"contract_violation"}
        assert await scene.handled() == {}

    await play(script, examples_for(NAME), on_servers())


def _schema_asked_for(message: str) -> Mapping[str, Any]:
    """That of the version that the service is sent."""
    return raw_schemas()[examples_for(NAME)[message]["dataschema"]]


def _events(scene: FulfillmentScene, message: str, drawn: list[dict[str, Any]]) -> list[Detail]:
    """The payloads in envelopes of the scene."""
    example = examples_for(NAME)[message]
    return [{**scene.fill_in(example), "data": payload} for payload in drawn]

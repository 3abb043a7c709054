"""The service as a whole: schema, API, operators' figures, composition root."""

import os
import subprocess
import sys
import uuid

from chassis.migrations import drift
from payment_service.store import METADATA


async def test_migrations_and_tables_agree(world):
    assert await drift(world.database_url, METADATA) == []


async def test_unknown_payment_and_malformed_id_are_problems(shop):
    unknown = await shop.http.get(f"/payments/{uuid.uuid4()}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "payment_not_found")
    malformed = await shop.http.get("/payments/one")
    assert (malformed.status_code, malformed.json()["code"]) == (422, "invalid_request")


async def test_figures_follow_the_money(shop, purchase):
    async def captured() -> int:
        figures = (await shop.http.get("/ops/payments")).json()
        return figures["captured_minor"].get("EUR", 0) - figures["refunded_minor"].get("EUR", 0)

    before, order = await captured(), purchase()
    await shop.ask(order.authorize())
    await shop.ask(order.capture())
    assert await captured() == before + 1999
    await shop.ask(order.refund())
    assert await captured() == before


def test_composition_root_needs_no_environment():
    environment = {"PATH": os.environ["PATH"]}
    code = "import payment_service.app, sys; sys.exit('stripe' not in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)

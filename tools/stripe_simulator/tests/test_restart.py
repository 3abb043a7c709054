"""The process: what survives a crash, and how it starts and stops."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import aiohttp


async def test_a_crash_keeps_ledger_objects_and_keys(start: Any, journal: Path) -> None:
    async with start("--data", str(journal)) as before:
        held = await before.authorize(key="held")
        taken = await before.captured(payment_method="pm_card_pendingRefund")
        made = await before.refunds.create_async({"payment_intent": taken.id})
        ledger = await before.simulator.admin("GET", "ledger")
        await before.simulator.kill()
    with journal.open("ab") as torn:
        torn.write(b'{"intents":[{"id":"pi_to')  # A line cut short by the crash.
    async with start("--data", str(journal)) as after:
        assert await after.simulator.admin("GET", "ledger") == ledger
        assert (await after.authorize(key="held")).id == held.id
        assert (await after.intents.capture_async(held.id)).status == "succeeded"
        assert (await after.refunds.retrieve_async(made.id)).status == "pending"
        await after.simulator.advance(601)
        assert (await after.refunds.retrieve_async(made.id)).status == "succeeded"
        assert len((await after.events.list_async({"limit": 100})).data) > 5


async def test_a_charge_that_nobody_heard_of_survives_a_crash(start: Any, journal: Path) -> None:
    async with start("--data", str(journal)) as before:
        await before.simulator.fault(
            {"operation": "authorize"}, {"kind": "stall", "when": "after", "seconds": 60}
        )
        unheard = asyncio.create_task(before.authorize(key="k"))
        async with asyncio.timeout(5):
            while not await before.simulator.totals():
                pass
        await before.simulator.kill()
        await asyncio.gather(unheard, return_exceptions=True)
    async with start("--data", str(journal)) as after:
        assert (await after.authorize(key="k")).status == "requires_capture"
        assert await after.simulator.totals() == {"authorized": 1999}


async def test_health_answers_and_sigterm_stops_cleanly(start: Any) -> None:
    async with start() as gateway, aiohttp.ClientSession() as session:
        for probe in ("live", "ready"):
            async with session.get(f"{gateway.simulator.url}/health/{probe}") as response:
                assert response.status == 200
        gateway.simulator.process.terminate()
        assert await gateway.simulator.process.wait() == 0


async def test_a_port_in_use_is_one_line(gateway: Any) -> None:
    port = gateway.simulator.url.rpartition(":")[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stripe_simulator", "--port", port, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    assert process.returncode == 2
    assert complaint.count(b"\n") == 1
    assert b"choose another with --port" in complaint

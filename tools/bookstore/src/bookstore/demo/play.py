"""Plays a plan against a running stack: orders arrive, faults strike, a worker is killed.

Guarantee: each planned request ends in exactly one Result, within the time given; the faults are
taken back whatever happens.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bookstore.demo.outcomes import Result, outcome_of
from bookstore.demo.plan import Plan, PlannedOrder
from bookstore.demo.shop import Answer, Shop, ShopError
from bookstore.processes import Processes
from stack import StackError

SETTLE_SECONDS = 60.0
POLL_SECONDS = 0.12
CANCEL_WAIT_SECONDS = 30
VICTIM = "payment-worker"
_SETTLED = frozenset({"confirmed", "rejected", "cancelled"})


@dataclass(slots=True)
class Progress:
    """What is to be seen while it runs; `on_event` is told what happens, in words."""

    plan: Plan
    on_event: Callable[[float, str], None]
    began: float = field(default_factory=time.monotonic)
    orders: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by id, newest view
    scenario_of: dict[str, str] = field(default_factory=dict)  # order id -> scenario
    sent: dict[str, int] = field(default_factory=dict)  # requests by scenario
    results: list[Result] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.began

    @property
    def unsettled(self) -> int:
        """Orders that still are on their way."""
        return sum(view["status"] not in _SETTLED for view in self.orders.values())

    def tell(self, text: str) -> None:
        """Something worth a line has happened."""
        self.on_event(self.seconds, text)

    def counts(self, scenario: str | None = None) -> dict[str, int]:
        """Orders by status, of one scenario or of all."""
        found: dict[str, int] = {}
        for order_id, view in self.orders.items():
            if scenario is None or self.scenario_of.get(order_id) == scenario:
                found[view["status"]] = found.get(view["status"], 0) + 1
        return found


class Player:
    """One run of a plan. `acknowledged` holds the ids of all orders answered with 2xx.

    Without `processes` no worker is killed; the gateway's faults strike all the same.
    """

    def __init__(self, shop: Shop, processes: Processes | None, progress: Progress) -> None:
        self._shop = shop
        self._processes = processes
        self._progress = progress
        self._plan = progress.plan
        self._seen = asyncio.Condition()
        self.acknowledged: set[str] = set()

    async def play(self) -> None:
        """Run until every request has its result; raises ShopError or StackError."""
        watching = asyncio.create_task(self._watch())
        failure: Exception | None = None
        try:
            async with self._shop.faults(self._plan.faults) as faults, asyncio.TaskGroup() as tasks:
                tasks.create_task(self._crash(faults["crash"]))
                tasks.create_task(self._tell_of_stall(faults["stalled"]))
                for planned in self._plan.orders:
                    tasks.create_task(self._one(planned))
            await self._look()
        except* (ShopError, StackError) as failures:
            failure = failures.exceptions[0]
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        if failure is not None:
            raise failure

    async def _one(self, planned: PlannedOrder) -> None:
        await asyncio.sleep(max(0.0, planned.at_seconds - self._progress.seconds))
        began = time.monotonic()
        answer = await self._place(planned, planned.body)
        seconds = time.monotonic() - began
        if planned.wait_seconds:
            outcome = f"{answer.status} {_said(answer)}"
            self._end(Result(planned.scenario, outcome, seconds, answer.order_id))
            return
        if not answer.accepted or answer.order_id is None:
            self._end(Result(planned.scenario, answer.code, seconds))
            return
        for body in planned.repeats:
            await self._repeat(planned, body, answer.order_id)
        await self._settle(planned, answer.order_id)

    async def _place(self, planned: PlannedOrder, body: Mapping[str, Any]) -> Answer:
        self._progress.sent[planned.scenario] = self._progress.sent.get(planned.scenario, 0) + 1
        answer = await self._shop.place(
            body, idempotency_key=planned.idempotency_key, wait_seconds=planned.wait_seconds
        )
        if answer.order_id is not None:
            self._progress.scenario_of.setdefault(answer.order_id, planned.scenario)
            if answer.accepted:
                self.acknowledged.add(answer.order_id)
        return answer

    async def _repeat(self, planned: PlannedOrder, body: Mapping[str, Any], order_id: str) -> None:
        began = time.monotonic()
        answer = await self._place(planned, body)
        if not answer.accepted:
            outcome = f"{answer.status} {answer.code}"
        else:
            outcome = "same_order" if answer.order_id == order_id else "another order"
        self._end(Result(planned.scenario, outcome, time.monotonic() - began))

    async def _settle(self, planned: PlannedOrder, order_id: str) -> None:
        view = await self._settled(order_id)
        if not planned.cancel or view.get("status") != "confirmed":
            self._end(Result(planned.scenario, outcome_of(view), _seconds_of(view), order_id))
            return
        began = time.monotonic()
        answer = await self._shop.cancel(order_id, wait_seconds=CANCEL_WAIT_SECONDS)
        outcome = str(answer.document.get("status", answer.code))
        self._end(Result(planned.scenario, outcome, time.monotonic() - began, order_id))

    async def _settled(self, order_id: str) -> Mapping[str, Any]:
        """The order once it is settled, or as it is when the time is up."""

        def settled() -> bool:
            return self._progress.orders.get(order_id, {}).get("status") in _SETTLED

        try:
            async with asyncio.timeout(SETTLE_SECONDS), self._seen:
                await self._seen.wait_for(settled)
        except TimeoutError:
            return self._progress.orders.get(order_id) or {"status": "not listed"}
        return self._progress.orders[order_id]

    def _end(self, result: Result) -> None:
        self._progress.results.append(result)

    async def _watch(self) -> None:
        """Look at all orders of the run, again and again, with one request."""
        while True:
            # A look that fails is repeated; orders that stay out of sight end as they were seen.
            with contextlib.suppress(ShopError):
                await self._look()
            async with self._seen:
                self._seen.notify_all()
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self) -> None:
        views = await self._shop.orders_of(self._plan.customer_id)
        self._progress.orders.update({view["order_id"]: view for view in views})

    async def _tell_of_stall(self, fault_id: str) -> None:
        stalled = self._expected("stalled")
        if await self._struck(fault_id, stalled):
            self._progress.tell(f"the gateway stalls, {stalled} orders wait for it")
        await self._all_of("stalled")
        self._progress.tell("the gateway has recovered, the stalled orders are settled")

    async def _crash(self, fault_id: str) -> None:
        """Kill the worker while it holds charges whose outcome it does not know."""
        await self._all_of("wait")
        await self._all_of("stalled")
        charged = await self._struck(fault_id, self._expected("crash"))
        if self._processes is None:
            self._progress.tell(f"{VICTIM} is out of reach, so that it is not killed")
            return
        victim = await self._processes.kill(VICTIM)
        killed = time.monotonic()
        self._progress.tell(
            f"{VICTIM} killed (SIGKILL, {victim}) with {charged} charges done and not yet noted"
        )
        await self._processes.wait_ready(VICTIM)
        self._progress.tell(f"{VICTIM} restarted after {time.monotonic() - killed:.1f} s")
        await self._all_of("crash")
        self._progress.tell(
            "what it had in its hands came back to it and is settled, "
            f"{time.monotonic() - killed:.1f} s after the kill"
        )

    async def _struck(self, fault_id: str, times: int) -> int:
        """Wait until a fault has struck that often, within reason; how often it was."""
        deadline = time.monotonic() + SETTLE_SECONDS / 4
        while (count := await self._shop.fired(fault_id)) < times:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(POLL_SECONDS)
        return count

    def _expected(self, scenario: str) -> int:
        return sum(each.scenario == scenario for each in self._plan.orders)

    async def _all_of(self, scenario: str) -> None:
        """Until the scenario has all its results."""
        async with self._seen:
            await self._seen.wait_for(
                lambda: (
                    sum(each.scenario == scenario for each in self._progress.results)
                    >= self._expected(scenario)
                )
            )


def _said(answer: Answer) -> str:
    if answer.status in (200, 201):
        return str(answer.document.get("status"))
    return "pending" if answer.accepted else answer.code


def _seconds_of(view: Mapping[str, Any]) -> float | None:
    """From accepted to settled, by the service's own clock."""
    try:
        created, updated = (
            datetime.fromisoformat(view[name]) for name in ("created_at", "updated_at")
        )
    except (KeyError, ValueError):
        return None
    return (updated - created).total_seconds()

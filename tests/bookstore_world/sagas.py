"""The courses of the bookstore's sagas that are hit: confirmed, refused, cancelled.

Guarantee: a scenario is a pure function of plan and seed; what it expects of an order is the
business's outcome, unless a fault lasted as long as a deadline.
"""

import asyncio
import logging
import random
from dataclasses import dataclass, replace

from bookstore_world.customer import Customer, Unanswered
from bookstore_world.invariants import StepInvariants, at_rest, broken_at_rest
from bookstore_world.stage import Stage
from faults.loop import VirtualLoop, run_virtually
from faults.plan import Plan, Strike
from faults.scenario import Outcome, Repairer
from order_service.store import ORDERS, SAGAS_TABLE

GOOD_CARD = "pm_card_visa"
DECLINED_CARD = "pm_card_visa_chargeDeclined"
# Faults that last as long as a deadline, or take a message away: an order may then be refused.
LONG_FAULTS = frozenset({"pause_before", "pause_after", "late", "lose"})
# Beyond all resends of all steps (15 minutes each) and what reconciliation takes.
LIMIT_SECONDS = 3_600.0
LOOK_SECONDS = 10.0
SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Course:
    """One order's way. `expected` is its status at the end when no fault was long."""

    name: str
    expected: str
    card: str = GOOD_CARD
    stock: int = 5
    cancelled: bool = False
    reconcile: bool = True
    reads: bool = False

    def is_worth(self, plan: Plan) -> bool:
        """With reconciliation on, short faults of the saga are over before it may begin (its grace
        age), so it finds what it finds in a single: only long ones meet it, and its own.
        """
        if not self.reconcile:
            return True
        if any(strike.fault in LONG_FAULTS for strike in plan.strikes):
            return True
        return all(_is_of_reconciliation(strike) for strike in plan.strikes)

    def run(self, plan: Plan, seed: int, *, keep_trace: bool = False) -> Outcome:
        """Play it in a new world."""
        random.seed(seed)
        logging.disable(logging.CRITICAL)
        try:
            return run_virtually(lambda loop: self._play(loop, plan, seed, keep_trace))
        finally:
            logging.disable(logging.NOTSET)

    async def _play(self, loop: VirtualLoop, plan: Plan, seed: int, keep_trace: bool) -> Outcome:
        stage = Stage(
            loop, plan, seed, reconcile=self.reconcile, reads=self.reads, keep_trace=keep_trace
        )
        world = stage.world
        steps = StepInvariants(stage)
        if self.cancelled:
            # What may befall the order before it is confirmed, the other courses show.
            world.armed = False
            world.on_step.append(lambda process, operation: _arm_once_confirmed(stage))
        await stage.open(stock=self.stock)
        customer = Customer(stage)
        broken = []
        try:
            order_id = await customer.place("key-1", card=self.card)
            if self.cancelled and order_id is not None:
                await customer.cancel(order_id)
            await _rest(stage)
        except Unanswered:
            broken.append("I9 acknowledged: nobody answers any more")
        except TimeoutError:
            broken.append(f"I4 terminal: still moving after {LIMIT_SECONDS:.0f} s")
        rested_at = loop.time()
        broken += steps.broken
        broken += list(broken_at_rest(stage, customer.acknowledged))
        broken += self._unexpected(stage)
        broken += [f"stand-in: {what} is not supported" for what in stage.aws.unsupported]
        world.stop()
        return Outcome(
            met=tuple(world.met),
            visits=tuple(world.visits),
            after_last=world.last_met_at,
            violations=tuple(dict.fromkeys(broken)),
            seconds=rested_at,
            recovery_seconds=rested_at - world.last_met_seconds,
            repairer=_repairer(stage, bool(broken)),
            trace_hash=world.trace_hash,
            reached=frozenset(),
            trace=tuple(world.trace or ()),
        )

    def _unexpected(self, stage: Stage) -> list[str]:
        """I8: an order comes to the business's outcome unless a fault was as long as a deadline."""
        if any(strike.fault in LONG_FAULTS for strike in stage.world.met):
            return []
        orders = stage.databases["order"].rows(ORDERS)
        sagas = stage.databases["order"].rows(SAGAS_TABLE)
        passed = [
            entry["step"]
            for saga in sagas
            for entry in saga["state"]["history"]
            if entry["event"] == "deadline_passed"
        ]
        return [
            *(
                f"I8 outcome: the order is {order['status']} ({order['reason']})"
                for order in orders
                if order["status"] != self.expected
            ),
            *(f"I8 deadline: {step} took longer than any fault" for step in passed),
        ]


def _is_of_reconciliation(strike: Strike) -> bool:
    return "econcile" in strike.site.subject or "sweeps" in strike.site.subject


def _arm_once_confirmed(stage: Stage) -> None:
    if not stage.world.armed and any(
        order["status"] != "pending" for order in stage.databases["order"].rows(ORDERS)
    ):
        stage.world.armed = True


async def _rest(stage: Stage) -> None:
    """Return once nothing moves any more; raises TimeoutError."""
    async with asyncio.timeout(LIMIT_SECONDS):
        await asyncio.sleep(SETTLE_SECONDS)
        while True:
            if at_rest(stage):
                # Once more: between two messages everything looks at rest for a moment.
                await asyncio.sleep(SETTLE_SECONDS)
                if at_rest(stage):
                    return
            await asyncio.sleep(LOOK_SECONDS)


def _repairer(stage: Stage, broken: bool) -> Repairer:
    if broken:
        return Repairer.HUMAN
    sagas = stage.databases["order"].rows(SAGAS_TABLE)
    events = [entry["event"] for saga in sagas for entry in saga["state"]["history"]]
    if any(detail["data"].get("repaired") for _, detail in stage.aws.published):
        return Repairer.RECONCILER
    if "deadline_passed" in events:
        return Repairer.DEADLINE
    return Repairer.RETRY if stage.world.met else Repairer.NOBODY


_COURSES = (
    Course("confirmed", "confirmed"),
    Course("declined", "rejected", card=DECLINED_CARD),
    Course("out-of-stock", "rejected", stock=0),
    Course("cancelled", "cancelled", cancelled=True),
)
# Each with reconciliation and without, so that it cannot cover up for the sagas.
COURSES = (
    *(replace(course, name=f"{course.name}/alone", reconcile=False) for course in _COURSES),
    *_COURSES,
)

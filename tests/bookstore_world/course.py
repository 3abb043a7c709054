"""A course of events that can be hit: what customers wish for, played in a new world.

Guarantee: a course is a pure function of plan and seed; what it expects of the orders is the
business's outcome, unless a fault lasted as long as a deadline.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from bookstore_world.customer import Customer
from bookstore_world.invariants import NOTHING, Leftovers, StepInvariants, at_rest, broken_at_rest
from bookstore_world.stage import Stage
from bookstore_world.witness import reached
from faults.invariants import deadlines_passed, repairer_of, sagas_of
from faults.loop import VirtualLoop
from faults.memory.database import MemoryDatabase
from faults.plan import Plan, Strike
from faults.play import outcome_of, play, rest
from faults.postgres.database import connected
from faults.scenario import Outcome, Repairer
from faults.stage import Unanswered
from order_service.store import ORDERS

CARDS: Mapping[str, str] = {
    "good": "pm_card_visa",
    "declined": "pm_card_visa_chargeDeclined",
    "refund-pending": "pm_card_pendingRefund",
    "refund-fails": "pm_card_refundFail",
}
# Faults that last as long as deadlines (the shortest is 90 s), or take a message away: so many
# deadlines of an order may pass for them, and it may then be refused.
LONG_FAULTS: Mapping[str, int] = {
    "pause_before": 3, "pause_after": 3, "late": 1, "lose": 1, "forget": 3,
}  # fmt: skip
# Reasons of the business; any other says that a fault cost a customer the order.
BUSINESS_REASONS = frozenset({"out_of_stock", "card_declined", "refund_failed", None})
# Beyond all resends of all steps (15 minutes each) and what reconciliation takes.
LIMIT_SECONDS = 3_600.0
# Customers come so soon after each other that their orders meet at every service.
APART_SECONDS = 0.004
_WISH = re.compile(r"([a-z-]+)\*(\d+)(!?)")


@dataclass(frozen=True, slots=True)
class Wish:
    """One order: `copies` of the book on a card, cancelled once it is confirmed if so wished."""

    card: str = "good"
    copies: int = 1
    cancel: bool = False

    def __str__(self) -> str:
        return f"{self.card}*{self.copies}{'!' if self.cancel else ''}"

    @classmethod
    def parse(cls, text: str) -> "Wish":
        """Read what `str` wrote; raises ValueError."""
        found = _WISH.fullmatch(text)
        if found is None or found.group(1) not in CARDS:
            raise ValueError(f"{text!r} is no wish; one looks like good*1 or declined*2!")
        if not 1 <= int(found.group(2)) <= 1000:
            raise ValueError(f"{text!r} is no wish: one has 1 to 1000 copies")
        return cls(found.group(1), int(found.group(2)), bool(found.group(3)))


Act = Callable[[Stage, Customer], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class Course:
    """Some wishes at once, on a shelf with `stock` copies.

    `expected` are the orders' statuses at the end, sorted, when no fault was long; None where they
    depend on who is first. `act` is what else happens; it answers what it found broken. `replay`:
    at rest, all that was ever published comes once more, and has to change nothing. `postgres`
    is the URL of the server to play it on instead of in memory. The rest as in Stage.
    """

    name: str
    wishes: tuple[Wish, ...]
    expected: tuple[str, ...] | None = None
    stock: int = 5
    act: Act | None = None
    leftovers: Leftovers = NOTHING
    replay: bool = False
    armed_once_confirmed: bool = False
    reconcile: bool = True
    workers: int = 1
    forgetful: bool = False
    skews: tuple[tuple[str, float], ...] = ()
    reads: bool = False
    postgres: str = ""

    def on_postgres(self, url: str) -> "Course":
        """The same on a PostgreSQL server instead of the database in memory."""
        return replace(self, postgres=url)

    def is_worth(self, plan: Plan) -> bool:
        """Which pairs are played with reconciliation on, beside all of those without it.

        It asks about orders that have ended, and not before a grace age: by then short faults are
        over, and it finds what it finds in a single. So only long faults can meet it, and faults of
        its own. How far the gateway's sweep has come is kept for its speed alone.
        """
        if not self.reconcile:
            return True
        if any("gateway_sweeps" in strike.site.subject for strike in plan.strikes):
            return False
        return all(_deadlines_of(s) or _is_of_reconciliation(s) for s in plan.strikes)

    def run(self, plan: Plan, seed: int, *, keep_trace: bool = False) -> Outcome:
        """Play it in a new world."""
        return play(lambda loop: self._play(loop, plan, seed, keep_trace), seed)

    async def _play(self, loop: VirtualLoop, plan: Plan, seed: int, keep_trace: bool) -> Outcome:
        stage = Stage(
            loop,
            plan,
            seed,
            reconcile=self.reconcile,
            workers=self.workers,
            forgetful=self.forgetful,
            skews=self.skews,
            reads=self.reads,
            keep_trace=keep_trace,
            database=connected(self.postgres).database if self.postgres else MemoryDatabase,
        )
        world = stage.world
        steps = StepInvariants(stage)
        if self.armed_once_confirmed:
            # What may befall the order before it is confirmed, other courses show.
            world.armed = False
            world.on_step.append(lambda process, operation: _arm_once_confirmed(stage))
        await stage.set_out(stock=self.stock)
        customer = Customer(stage)
        broken: list[str] = []
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                found = await asyncio.gather(*self._customers(stage, customer))
                broken += [each for several in found for each in several]
                await rest(lambda: at_rest(stage))
                if self.replay:
                    broken += await _replayed(stage)
        except Unanswered:
            broken.append("I9 acknowledged: nobody answers any more")
        except TimeoutError:
            broken.append(f"I4 terminal: still moving after {LIMIT_SECONDS:.0f} s")
        rested_at = loop.time()
        broken += steps.broken
        broken += broken_at_rest(stage, customer, self._leftovers(stage))
        broken += self._unexpected(stage)
        broken += [f"stand-in: {what} is not supported" for what in stage.aws.unsupported]
        world.stop()
        return outcome_of(
            world,
            broken=broken,
            rested_at=rested_at,
            repairer=_repairer(stage, bool(broken)),
            reached=reached(stage),
        )

    def _leftovers(self, stage: Stage) -> Leftovers:
        """What is expected. A fault may end the order before anybody meddles with it, and then
        there is nothing to park: no saga may be left moving, in any case.
        """
        parked = any(saga["status"] == "parked" for saga in sagas_of(stage))
        return self.leftovers if not self.leftovers.sagas or parked else NOTHING

    def _customers(self, stage: Stage, customer: Customer) -> list[Awaitable[list[str]]]:
        async def fulfil(number: int, wish: Wish) -> list[str]:
            if number:
                await asyncio.sleep(number * APART_SECONDS)
            order_id = await customer.place(
                f"key-{number}", card=CARDS[wish.card], copies=wish.copies
            )
            if wish.cancel:
                await customer.cancel(order_id)
            return []

        wishes: list[Awaitable[list[str]]] = [
            fulfil(number, wish) for number, wish in enumerate(self.wishes)
        ]
        return [*wishes, self.act(stage, customer)] if self.act is not None else wishes

    def _unexpected(self, stage: Stage) -> list[str]:
        """I8: an order comes to the business's outcome unless a fault was as long as a deadline."""
        if stage.meddled:
            return []
        passed = deadlines_passed(stage)
        allowed = sum(_deadlines_of(strike) for strike in stage.world.met) * len(self.wishes)
        if len(passed) > allowed:
            return [f"I8 deadline: {', '.join(passed)} took longer than any fault"]
        if passed:
            return []
        orders = stage.databases["order"].rows(ORDERS)
        statuses = tuple(sorted(order["status"] for order in orders))
        broken = [
            f"I8 outcome: an order is {order['status']} for {order['reason']}"
            for order in orders
            if order["reason"] not in BUSINESS_REASONS
        ]
        if self.expected is not None and statuses != self.expected:
            broken.append(f"I8 outcome: {', '.join(statuses)}, not {', '.join(self.expected)}")
        return broken


def story(text: str) -> Course:
    """A course from one line, `stock=2 workers=2 good*1 good*2! declined*1`; raises ValueError."""
    given = {"stock": 5, "workers": 1, "reconcile": 0}
    wishes = []
    for word in text.split():
        name, equals, value = word.partition("=")
        if not equals:
            wishes.append(Wish.parse(word))
        elif name in given:
            if not value.isdigit() or int(value) > 1_000_000:
                raise ValueError(f"{word!r} is no {name}: give a number up to a million")
            given[name] = int(value)
        else:
            raise ValueError(f"{name!r} is none of {', '.join(given)}")
    if not wishes or not given["workers"]:
        raise ValueError("a story has a wish and a worker, as in 'stock=2 workers=1 good*1'")
    return Course(
        text,
        tuple(wishes),
        stock=given["stock"],
        workers=given["workers"],
        reconcile=bool(given["reconcile"]),
    )


def _deadlines_of(strike: Strike) -> int:
    """How many deadlines may pass for it. None for a lost or late event of the gateway's: the sweep
    asks for what it would have told.
    """
    return LONG_FAULTS.get(strike.fault, 0) if strike.site.operation != "deliver" else 0


def _is_of_reconciliation(strike: Strike) -> bool:
    return "econcile" in strike.site.subject or strike.site.operation == "gateway_get"


def _arm_once_confirmed(stage: Stage) -> None:
    if not stage.world.armed and any(
        order["status"] != "pending" for order in stage.databases["order"].rows(ORDERS)
    ):
        stage.world.armed = True


async def _replayed(stage: Stage) -> list[str]:
    """I10: everything that was ever published comes again, when the ledger has forgotten it too."""
    before = stage.snapshot()
    for table in stage.topology.tables:
        stage.aws.table(table.name).items.clear()
    stage.replay()
    await rest(lambda: at_rest(stage))
    after = stage.snapshot()
    return [f"I10 replay: {name} changed" for name in before if before[name] != after[name]]


def _repairer(stage: Stage, broken: bool) -> Repairer:
    repairs = [
        repair["action"]
        for _, detail in stage.aws.published
        for repair in detail["data"].get("repaired", ())
    ]
    if repairs and not broken:
        return Repairer.HUMAN if "none" in repairs else Repairer.RECONCILER
    return repairer_of(stage, broken)

"""The courses of one order's mails that are hit, by name.

Guarantee: a course is a pure function of plan and seed. COURSES are hit at every operation once,
EXHAUSTIVE twice.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from pydantic import SecretStr

from contracts import load_topology
from faults.loop import VirtualLoop
from faults.plan import Plan
from faults.play import outcome_of, play, rest
from faults.scenario import Outcome, Repairer
from faults.stage import Process, Stage
from mail_world.script import Script, payload_of
from mail_world.watch import LEDGER, Watch, arrivals, mails, rows
from notification_service.app import SERVICE

# Longer than the lease of a mail (60 s) and a message's visibility (30 s).
PAUSE_SECONDS = 200.0
# A day in production; here longer than pauses and retries, and shorter to play.
GRACE_SECONDS = 1_800.0
# Beyond the grace of a mail and what pauses and the sweep add to it.
LIMIT_SECONDS = 7_200.0
# Faults after which events may come in another order: a course may then end otherwise.
LONG_FAULTS = frozenset({"pause_before", "pause_after", "late", "reorder"})
_SETTINGS = {
    "unsubscribe_key": SecretStr("the key of the mail world"),
    "contact_grace_seconds": GRACE_SECONDS,
}


@cache
def _processes(workers: int) -> tuple[Process, ...]:
    """Once for all runs: reading a process's settings takes longer than starting it."""
    names = ["notification-worker", *(f"notification-worker-{n}" for n in range(2, workers + 1))]
    return tuple(Process(SERVICE, settings=_SETTINGS, name=name) for name in names)


@dataclass(frozen=True, slots=True)
class Course:
    """One order's life, told by a script (see there), and the mails that come of it.

    `expected` are the mails' ends, `<kind> <state>[ <reason>]`, when no fault was long; a mail may
    always end as unknown where a fault has hit it. `prompt_seconds`: so soon after the last event
    everything is settled when nothing was hit. `replay`: at rest, all that was ever published comes
    once more, and has to change nothing.
    """

    name: str
    script: str
    expected: tuple[str, ...] | None = None
    workers: int = 1
    prompt_seconds: float = 30.0
    replay: bool = False
    reads: bool = False

    def is_worth(self, plan: Plan) -> bool:
        """Nothing here covers up for the service, so every plan may show something."""
        return True

    def on_postgres(self, url: str) -> "Course":
        """The same: the service has no SQL."""
        return self

    def run(self, plan: Plan, seed: int, *, keep_trace: bool = False) -> Outcome:
        """Play it in a new world."""
        return play(lambda loop: self._play(loop, plan, seed, keep_trace), seed)

    async def _play(self, loop: VirtualLoop, plan: Plan, seed: int, keep_trace: bool) -> Outcome:
        stage = Stage(
            loop,
            plan,
            seed,
            processes=_processes(self.workers),
            topology=load_topology().only({"notification"}),
            pause_seconds=PAUSE_SECONDS,
            reads=self.reads,
            keep_trace=keep_trace,
        )
        world, script = stage.world, Script(stage, self.script)
        watch = Watch(stage, grace_seconds=GRACE_SECONDS)
        broken: list[str] = []
        world.armed = False
        stage.open()
        world.start("script", script.run)
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await rest(lambda: script.is_over and _is_at_rest(stage))
                if self.replay:
                    broken += await _replayed(stage)
        except TimeoutError:
            broken.append(f"I4 terminal: still moving after {LIMIT_SECONDS:.0f} s")
        rested_at = loop.time()
        broken += [*watch.broken, *watch.broken_at_rest(), *self._unexpected(stage, rested_at)]
        world.stop()
        return outcome_of(
            world,
            broken=broken,
            rested_at=rested_at,
            repairer=_repairer(stage, broken),
            reached=watch.reached(),
        )

    def _unexpected(self, stage: Stage, rested_at: float) -> Iterable[str]:
        """I8: mails end as the business wants it, and soon, unless a fault was in the way."""
        if LONG_FAULTS.intersection(strike.fault for strike in stage.world.met):
            return
        ends = {
            kind: f"{kind} {record['state']} {record.get('reason', '')}".strip()
            for kind, record in mails(stage).items()
        }
        for each in self.expected or ():
            end = ends.get(each.split()[0], "absent")
            if end != each and not end.endswith(" unknown"):
                yield f"I8 outcome: {end}, not {each}"
        told_at = stage.aws.published[-1][0]
        if not stage.world.met and not self.replay and rested_at - told_at > self.prompt_seconds:
            yield f"I8 time: settled {rested_at - told_at:.0f} s after the last event"


def _is_at_rest(stage: Stage) -> bool:
    if stage.world.is_frozen or not stage.aws.is_idle():
        return False
    return not any(
        row["pk"] == "due" or row.get("state") in ("waiting", "sending") for row in rows(stage)
    )


def _repairer(stage: Stage, broken: list[str]) -> Repairer:
    if broken:
        return Repairer.HUMAN
    return Repairer.RETRY if stage.world.met else Repairer.NOBODY


async def _replayed(stage: Stage) -> list[str]:
    """I10: everything that was ever published comes again, when the ledger has forgotten it too."""

    def snapshot() -> str:
        return json.dumps([list(rows(stage)), [kind for kind, _ in arrivals(stage)]])

    before = snapshot()
    stage.aws.table(LEDGER).items.clear()
    for _, detail in list(stage.aws.published):
        stage.put("notification", detail)
    await rest(lambda: _is_at_rest(stage))
    return [] if snapshot() == before else ["I10 replay: what was settled has changed"]


def told(script: str) -> Course:
    """A course from a script of one's own, `contact@1 confirmed 5 cancelled`; raises ValueError."""
    words = [word for word in script.split() if not word.isdigit()]
    if not words:
        raise ValueError("a script tells of something, as in 'contact@1 confirmed'")
    for word in words:
        payload_of(word)
    return Course(script, script)


_BOTH_SENT = ("confirmed sent", "cancelled sent")
CONFIRMED = Course("mails/confirmed", "contact@1 confirmed", ("confirmed sent",))
AT_ONCE = Course("mails/at-once", "contact@1 5 confirmed refunded cancelled")
TWO_WORKERS = Course("mails/two-workers", "contact@1 5 confirmed 2 cancelled", workers=2)
ERASED = Course("mails/erased-at-once", "contact@1 5 confirmed erased@2 contact@1", workers=2)
COURSES = (
    CONFIRMED,
    AT_ONCE,
    TWO_WORKERS,
    ERASED,
    Course("mails/cancelled", "contact@1 60 confirmed 60 cancelled", _BOTH_SENT, replay=True),
    Course(
        "mails/backwards",
        "contact@1 60 cancelled 60 confirmed",
        ("cancelled sent", "confirmed withheld superseded"),
    ),
    Course("mails/rejected", "contact@1 rejected", ("rejected sent",), replay=True),
    Course(
        "mails/contact-late", "confirmed refunded 60 contact@1", ("confirmed sent", "refunded sent")
    ),
    Course("mails/contact-comes", "confirmed contact@1 cancelled", workers=2),
    Course("mails/contact-changes", "contact@1 contact@2 60 confirmed contact@3", workers=2),
    Course(
        "mails/erased",
        "confirmed 60 erased@2 60 contact@3 60 cancelled",
        ("confirmed withheld erased", "cancelled sent"),
    ),
    Course(
        "mails/no-contact",
        "confirmed",
        ("confirmed withheld no_contact",),
        prompt_seconds=GRACE_SECONDS + 120.0,
    ),
    Course("mails/reads", "contact@1 confirmed", ("confirmed sent",), reads=True),
)
EXHAUSTIVE = (CONFIRMED, TWO_WORKERS, ERASED)

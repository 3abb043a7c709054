"""The gift saga under fault: `python -m faults gift_world.trial explore --depth 2`."""

from functools import partial

from faults.trial import Databases, Process, Stage, Trial
from gift_world import gifts, parcels, points
from gift_world.send_gift_saga import GIFT, SEND_GIFT
from gift_world.topology import gift_topology


async def send(sheets: int, stage: Stage) -> None:
    await stage.fill("points", points.ACCOUNTS, owner=GIFT.giver, balance=100)
    await stage.fill("parcels", parcels.PAPER, colour="red", sheets=sheets)
    await stage.ask("gifts-web", lambda application: application.send(GIFT))


def all_is_paid(databases: Databases) -> list[str]:
    spent = 100 - databases["points"].rows(points.ACCOUNTS)[0]["balance"]
    shipped = [row["status"] for row in databases["parcels"].rows(parcels.PARCELS)].count("shipped")
    return [] if spent == GIFT.points * shipped else [f"I1 points: {spent} for {shipped} parcels"]


PROCESSES = [Process(gifts.SERVICE, "web"), *(Process(s.SERVICE) for s in (gifts, points, parcels))]
trial = partial(Trial, saga=SEND_GIFT, processes=PROCESSES, topology=gift_topology)
TRIALS = [
    trial("sent", start=partial(send, 1), invariants=[all_is_paid]),
    trial("no-paper", start=partial(send, 0), invariants=[all_is_paid], expected=("compensated",)),
]

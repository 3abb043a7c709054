"""What must hold of any saga on this platform: I3, I4, I5 and I8 of the fault catalogue.

Guarantee: each compares what is kept in different places (a sender's outbox with a receiver's
inbox, a saga's row with what it may be); a team adds what its own rows have to come to.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from faults.plan import Strike
from faults.scenario import Repairer
from faults.stage import Stage

# Faults that last as long as a deadline, or take a message away: a saga may then be undone.
LONG_FAULTS = frozenset({"pause_before", "pause_after", "late", "lose", "forget"})
# Where a saga may go from where it is; written down here on purpose, not read from the engine.
SAGA_MOVES: Mapping[str, str] = {
    "running": "compensating completed compensated parked",
    "compensating": "compensated parked",
    "parked": "running compensating completed compensated",
    "completed": "",
    "compensated": "",
}


def sagas_of(stage: Stage) -> list[Mapping[str, Any]]:
    """The rows of every service's saga table."""
    return [
        row
        for name, service in stage.services.items()
        if (table := service.metadata.tables.get("sagas")) is not None
        for row in stage.databases[name].rows(table)
    ]


class SagaMoves:
    """I3 after every step: no saga leaves its state machine, and ends are ends."""

    def __init__(self, stage: Stage) -> None:
        self.broken: list[str] = []
        self._stage = stage
        self._seen: dict[tuple[str, str], str] = {}
        stage.world.on_step.append(self._look)

    def _look(self, process: str, operation: str) -> None:
        for saga in sagas_of(self._stage):
            key = (saga["saga"], saga["id"])
            before, now = self._seen.get(key), saga["status"]
            self._seen[key] = now
            if before not in (None, now) and now not in SAGA_MOVES[str(before)].split():
                self.broken.append(f"I3 transition: {saga['saga']} went from {before} to {now}")


def is_at_rest(stage: Stage) -> bool:
    """Whether nothing is under way any more, nor will be by itself."""
    return is_quiet(stage) and not has_deadline(stage)


def is_quiet(stage: Stage) -> bool:
    """Whether no message is on its way, and no process stands still that will go on."""
    if stage.world.is_frozen or not stage.aws.is_idle():
        return False
    return all(row["parked_reason"] for row in unsent(stage))


def has_deadline(stage: Stage) -> bool:
    """Whether some saga will be moved by its deadline."""
    return any(saga["deadline_at"] for saga in sagas_of(stage))


def unsent(stage: Stage) -> list[Mapping[str, Any]]:
    """What stands in the services' outboxes and has not been taken by the bus."""
    return [
        row
        for name, service in stage.services.items()
        for row in stage.databases[name].rows(service.tables.unsent)
    ]


def died(stage: Stage) -> Iterator[str]:
    """B: no process ends by itself, or each crash of its own making would look like one of ours."""
    for ended in stage.world.ended:
        yield f"B process: {ended}"


def left_over(stage: Stage, letters: Sequence[str]) -> Iterator[str]:
    """I4: every saga has ended, and of dead letters there are those for the reasons `letters`."""
    for saga in sagas_of(stage):
        if saga["status"] not in ("completed", "compensated"):
            yield f"I4 terminal: {saga['saga']} is left {saga['status']}"
    found = sorted(reason for name in stage.services for _, reason in stage.dead_letters(name))
    if found != sorted(letters):
        yield f"I4 parked: dead letters for {', '.join(found)}, not {', '.join(letters)}"


def unheard(stage: Stage, parked: Sequence[str] = ()) -> Iterator[str]:
    """I5: what was written is what was handled, by each who should have.

    `parked` are the bus's reasons of the outbox rows that have to be parked.
    """
    left = unsent(stage)
    reasons = sorted(str(row["parked_reason"]) for row in left)
    if reasons != sorted(parked):
        yield f"I5 messages: outbox rows are parked for {reasons}, not {sorted(parked)}"
    unpublished = {row["message_id"] for row in left}
    # What the bus has confirmed and lost cannot arrive; that the saga ends well is the point then.
    lost = {
        kind
        for strike in stage.world.met
        if strike.fault == "lose"
        for kind in strike.site.subject.split("+")
    }
    for receiver, service in stage.services.items():
        inbox = stage.databases[receiver].rows(service.tables.inbox)
        received = {row["message_id"] for row in inbox}
        settled = received | unpublished
        settled |= {message_id for message_id, _ in stage.dead_letters(receiver)}
        known = set(stage.told)
        for sender, other in stage.services.items():
            for row in stage.databases[sender].rows(other.tables.outbox):
                if receiver not in stage.topology.receivers_of(row["type"]):
                    continue
                known.add(row["id"])
                if row["id"] not in settled and row["type"] not in lost:
                    yield f"I5 messages: {receiver} never handled {row['type']}"
        if received - known:
            yield f"I5 messages: {receiver} handled what nobody wrote"


def unexpected(stage: Stage, saga: str, expected: Sequence[str]) -> Iterator[str]:
    """I8: as many sagas as were begun, ended as expected unless a fault was deadline-long."""
    rows = [row for row in sagas_of(stage) if row["saga"] == saga]
    statuses = sorted(row["status"] for row in rows)
    if len(statuses) != len(expected):
        yield f"I9 acknowledged: there are {len(statuses)} sagas, and {len(expected)} were begun"
    if is_long(stage.world.met):
        return
    if statuses != sorted(expected):
        yield f"I8 outcome: {', '.join(statuses)}, not {', '.join(sorted(expected))}"
    for step in deadlines_passed(stage):
        yield f"I8 deadline: {step} took longer than any fault"


def deadlines_passed(stage: Stage) -> list[str]:
    """The steps of all sagas whose deadlines passed, each as often as it did."""
    history = _history(sagas_of(stage))
    return [entry["step"] for entry in history if entry["event"] == "deadline_passed"]


def is_long(strikes: Sequence[Strike]) -> bool:
    """Whether one of these faults lasts as long as a deadline."""
    return any(strike.fault in LONG_FAULTS for strike in strikes)


def repairer_of(stage: Stage, broken: bool) -> Repairer:
    """Who brought the run to its end."""
    if broken:
        return Repairer.HUMAN
    if deadlines_passed(stage):
        return Repairer.DEADLINE
    return Repairer.RETRY if stage.world.met else Repairer.NOBODY


def reached_by(stage: Stage) -> frozenset[str]:
    """The interesting states that the run came through."""
    sagas = sagas_of(stage)
    published = [detail["id"] for _, detail in stage.aws.published]
    seen = {
        "a process died": stage.world.crashes > 0,
        "a message was delivered twice": len(set(published)) < len(published),
        "a command was sent again": any(e["event"] == "sent_again" for e in _history(sagas)),
        "a saga was compensated": any(saga["status"] == "compensated" for saga in sagas),
        "a saga was parked": any(saga["status"] == "parked" for saga in sagas),
    }
    return frozenset(name for name, was in seen.items() if was)


def _history(sagas: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [entry for saga in sagas for entry in saga["state"]["history"]]

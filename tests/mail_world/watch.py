"""What must hold of the mails: I3, I5, I6, I7 and I10 of the fault catalogue, from the outside.

Guarantee: mails are counted where they arrive, events where they were published, and what the
service's table says is held against both; nothing here asks the service's code.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from email.parser import BytesHeaderParser
from typing import Any

from faults.invariants import died
from faults.loop import EPOCH
from faults.memory.ses import Arrival
from faults.plan import Strike
from faults.stage import Stage
from mail_world.script import OUTCOMES, address

MAILS, LEDGER = "bookstore-mails", "bookstore-ledger"
# Where a mail may go from where it is, and which come later in an order's life: written down here
# on purpose, not read from the service. Nothing here refuses a mail for good.
_MOVES: Mapping[str, str] = {
    "waiting": "sending withheld",
    "sending": "sent unknown waiting",
    "sent": "",
    "unknown": "",
    "withheld": "",
}
_STAGES: Mapping[str, int] = {"confirmed": 1, "refunded": 2, "cancelled": 3}
_SETTLED = frozenset({"sent", "unknown", "withheld"})
# After these the sender knows that nothing was sent, and may ask again.
_DEFINITE = frozenset({"refuse", "error_before"})
LEASE_SECONDS = 60.0
_HEADERS = BytesHeaderParser()

STATES = (
    "a process died",
    "a message was delivered twice",
    "a mail ended as unknown",
    "a mail ended as unknown, and had arrived",
    "a mail was overtaken, and withheld",
    "a mail was withheld from who is to be forgotten",
    "a mail was withheld for want of a contact",
    "a mail was begun twice",
)

Record = Mapping[str, Any]


class Watch:
    """Looks at the mails' records after every step."""

    def __init__(self, stage: Stage, *, grace_seconds: float) -> None:
        self.broken: list[str] = []
        self._stage = stage
        self._grace_seconds = grace_seconds
        self._seen: dict[str, Record] = {}
        self._begun: Counter[str] = Counter()
        # Addresses that were the newest known when a mail was begun, by its kind.
        self._newest: dict[str, set[str | None]] = {}
        self._version = 0
        stage.world.on_step.append(self._look)

    def _look(self, process: str, operation: str) -> None:
        if operation in ("tell", "receive_message", "delete_message_batch", "send_raw_email"):
            return
        self._version = max(self._version, int(profile(self._stage).get("version", 0)))
        records = mails(self._stage)
        for kind in self._seen.keys() - records.keys():
            self.broken.append(f"I3 transition: the {kind} mail's record is gone")
        for kind, record in records.items():
            before, self._seen[kind] = self._seen.get(kind), record
            if before is None or before["state"] != record["state"]:
                self._moved(kind, before, record)

    def _moved(self, kind: str, before: Record | None, record: Record) -> None:
        state = record["state"]
        if before is None:
            if state != "waiting":
                self.broken.append(f"I3 transition: a {kind} mail began as {state}")
            return
        if state not in _MOVES[before["state"]].split():
            self.broken.append(
                f"I3 transition: a {kind} mail went from {before['state']} to {state}"
            )
        if state == "sending":
            self._begun[kind] += 1
            contact = contacts(self._stage).get(self._version)
            self._newest.setdefault(kind, set()).add(contact)
        elif state == "unknown" and not self._is_hit(before):
            self.broken.append(f"I6 unknown: a {kind} mail was given up, and nothing had hit it")
        elif state == "withheld" and not self._is_owed_no_more(kind, record):
            self.broken.append(f"I5 attempted: a {kind} mail is withheld: {record['reason']}")

    def _is_hit(self, sending: Record) -> bool:
        """Whether a fault struck a worker since it began the mail, and left the outcome open; or
        had stopped it before, and stopped it still.
        """
        world = self._stage.world
        begun_at = sending["lease_ends_ms"] / 1000 - LEASE_SECONDS - EPOCH - 0.001
        return any(
            at + (world.pause_seconds if strike.fault.startswith("pause") else 0) >= begun_at
            and _leaves_open(strike)
            for strike, at in zip(world.met, world.met_at, strict=True)
        )

    def _is_owed_no_more(self, kind: str, record: Record) -> bool:
        reason = record["reason"]
        if reason == "superseded":
            stage = _STAGES.get(kind)
            return stage is not None and any(_STAGES.get(k, 0) > stage for k in self._begun)
        if reason == "erased":
            return "ContactErased" in published(self._stage)
        if reason == "no_contact":
            age_seconds = self._stage.world.loop.time() + EPOCH - record["created_ms"] / 1000
            return age_seconds >= self._grace_seconds and "email" not in profile(self._stage)
        return False

    def broken_at_rest(self) -> Iterator[str]:
        """Every invariant of a world at rest that does not hold."""
        records = mails(self._stage)
        arrived = arrivals(self._stage)
        yield from self._told(records, arrived)
        yield from _in_order(arrived)
        yield from _heard(self._stage)
        yield from _accounted(self._stage, records)
        yield from died(self._stage)
        yield from (f"stand-in: {what} is not supported" for what in self._stage.aws.unsupported)

    def _told(
        self, records: Mapping[str, Record], arrived: list[tuple[str, Arrival]]
    ) -> Iterator[str]:
        """I5 and I6: each outcome has a mail that came to an end, and that arrived as it says."""
        owed = {OUTCOMES[kind] for kind in published(self._stage) if kind in OUTCOMES}
        for kind in sorted(owed | records.keys()):
            state = records[kind]["state"] if kind in records else "absent"
            if state not in _SETTLED:
                yield f"I5 attempted: a {kind} mail is {state}"
        counts = Counter(kind for kind, _ in arrived)
        for kind in sorted(counts.keys() | records.keys()):
            state = records[kind]["state"] if kind in records else "absent"
            if counts[kind] > 1:
                yield f"I6 twice: {counts[kind]} {kind} mails arrived"
            if state == "sent" and not counts[kind]:
                yield f"I6 told: a {kind} mail is {state}, and none arrived"
            if state in ("absent", "waiting", "withheld") and counts[kind]:
                yield f"I6 told: a {kind} mail is {state}, and arrived"
        for kind, arrival in arrived:
            if not set(arrival.to) <= self._newest.get(kind, set()):
                yield f"I7 contact: a {kind} mail went to an address that was out of date"

    def reached(self) -> frozenset[str]:
        """Those of STATES that the run came through."""
        records = mails(self._stage)
        arrived = {kind for kind, _ in arrivals(self._stage)}
        unknown = {kind for kind, record in records.items() if record["state"] == "unknown"}
        reasons = {record.get("reason") for record in records.values()}
        handled = Counter(detail["id"] for _, detail in self._stage.aws.published)
        seen = {
            "a process died": self._stage.world.crashes > 0,
            "a message was delivered twice": max(handled.values()) > 1
            or "duplicate" in [strike.fault for strike in self._stage.world.met],
            "a mail ended as unknown": bool(unknown),
            "a mail ended as unknown, and had arrived": bool(unknown & arrived),
            "a mail was overtaken, and withheld": "superseded" in reasons,
            "a mail was withheld from who is to be forgotten": "erased" in reasons,
            "a mail was withheld for want of a contact": "no_contact" in reasons,
            "a mail was begun twice": max(self._begun.values(), default=0) > 1,
        }
        return frozenset(name for name, was in seen.items() if was)


def _leaves_open(strike: Strike) -> bool:
    if not strike.site.process.startswith("notification-"):
        return False
    return not (strike.site.operation == "send_raw_email" and strike.fault in _DEFINITE)


def _in_order(arrived: list[tuple[str, Arrival]]) -> Iterator[str]:
    """I7: whoever was told a later outcome is told of no earlier one any more."""
    latest = ""
    for kind, _ in arrived:
        if _STAGES.get(kind, 0) < _STAGES.get(latest, 0) and kind in _STAGES:
            yield f"I7 causality: a {kind} mail arrived after the {latest} one"
        latest = max(latest, kind, key=lambda each: _STAGES.get(each, 0))


def _heard(stage: Stage) -> Iterator[str]:
    """I5: the inbox holds, and has counted, what was published; and nothing is a dead letter."""
    letters = stage.dead_letters("notification")
    if letters:
        yield f"I4 parked: dead letters for {', '.join(reason for _, reason in letters)}"
    ids = {detail["id"]: detail["type"] for _, detail in stage.aws.published}
    scope = "notification-inbox#"
    items = stage.aws.table(LEDGER).items
    recorded = {key.removeprefix(scope) for key in items if key.startswith(scope)} - {""}
    if recorded != ids.keys():
        yield f"I5 messages: {len(recorded)} are recorded as handled, of {len(ids)} published"
    counts = {
        name.removeprefix("handled."): int(value["N"])
        for name, value in items.get(scope, {}).items()
        if name.startswith("handled.")
    }
    if counts != Counter(ids.values()):
        yield f"I5 messages: {counts} are counted, of {dict(Counter(ids.values()))} published"


def _accounted(stage: Stage, records: Mapping[str, Record]) -> Iterator[str]:
    """What is kept beside the records agrees with them: counts, places, holds, the contact."""
    counts: Counter[str] = Counter()
    for item in rows(stage):
        if item["pk"] == "census":
            counts.update({k: v for k, v in item.items() if k not in ("pk", "sk")})
        if item["pk"] == "due":
            yield "I4 timer: a mail is settled, and is to be looked after"
        if "hold_owner" in item and "lease_ends_ms" not in item:
            held_until = item["hold_ends_ms"] / 1000 - EPOCH
            if held_until > max(
                stage.world.loop.time(), stage.world.last_met_seconds + 2 * LEASE_SECONDS
            ):
                yield "I4 timer: an order is held, and no mail of it is on its way"
    states = Counter(f"{kind}#{record['state']}" for kind, record in records.items())
    counted = {name: count for name, count in counts.items() if count and name != "out_of_order"}
    if counted != states:
        yield f"I5 counts: {counted} are counted, and the records are {dict(states)}"
    known = contacts(stage)
    if known:
        newest = max(known)
        if profile(stage).get("version") != newest:
            yield f"I7 contact: version {profile(stage).get('version')} is kept, not {newest}"
        if profile(stage).get("email") != known[newest]:
            yield "I7 contact: the address that is kept is not the newest one"


def rows(stage: Stage, prefix: str = "") -> Iterator[dict[str, Any]]:
    """The items of the service's table whose sort key begins so, as plain values."""
    for key, item in stage.aws.table(MAILS).items.items():
        if key.partition("\n")[2].startswith(prefix):
            yield {
                name: int(value["N"]) if "N" in value else next(iter(value.values()))
                for name, value in item.items()
            }


def mails(stage: Stage) -> dict[str, Record]:
    """The mails' records by their kind."""
    return {row["sk"].rpartition("#")[2]: row for row in rows(stage, "mail#")}


def profile(stage: Stage) -> Record:
    """What is known of the customer."""
    return next(rows(stage, "profile"), {})


def published(stage: Stage) -> set[str]:
    """The types of what the bus has taken."""
    return {detail["type"] for _, detail in stage.aws.published}


def contacts(stage: Stage) -> dict[int, str | None]:
    """The addresses that were published, by the contact's version; None where it was erased."""
    return {
        detail["data"]["version"]: (
            address(detail["data"]["version"]) if detail["type"] == "ContactProvided" else None
        )
        for _, detail in stage.aws.published
        if detail["type"].startswith("Contact")
    }


def arrivals(stage: Stage) -> list[tuple[str, Arrival]]:
    """The kinds of the mails that have arrived, in their order."""
    found = []
    for arrival in stage.aws.mails:
        headers = _HEADERS.parsebytes(arrival.raw.partition(b"\r\n\r\n")[0])
        name = str(headers["X-Bookstore-Mail"])
        found.append((name.partition("/")[2], arrival))
    return found

"""All state of one simulator, and the one step that applies what a request changed.

Guarantee: objects, events, ledger and saved answer of a request become visible together, and reach
the journal before the answer leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from stripe_simulator import intents, refunds
from stripe_simulator.changes import Changes
from stripe_simulator.charges import Charge
from stripe_simulator.clock import Agenda, Clock
from stripe_simulator.encoding import compact_json
from stripe_simulator.events import Event
from stripe_simulator.idempotency import Keys, Saved
from stripe_simulator.ids import new_id
from stripe_simulator.intents import Intent
from stripe_simulator.journal import Journal
from stripe_simulator.ledger import Ledger, Move
from stripe_simulator.pages import Log
from stripe_simulator.refunds import Refund
from stripe_simulator.settings import Settings


class Store:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.agenda = Agenda(self.clock)
        self.publish: Callable[[Event], None] = lambda event: None
        self._clear()
        self._journal: Journal | None = None
        if settings.data_file is not None:
            self._journal = Journal(settings.data_file)
            for line in self._journal.replay():
                self._restore(line)
            self._schedule_all()

    def _clear(self) -> None:
        self.intents: Log[Intent] = Log("payment_intent")
        self.charges: Log[Charge] = Log("charge")
        self.refunds: Log[Refund] = Log("refund")
        self.events: Log[Event] = Log("event", self.settings.event_history)
        self.keys = Keys(self.settings.key_lifetime_seconds)
        self.ledger = Ledger()

    def reset(self) -> None:
        """Forget everything, the journal included. The clock keeps its offset."""
        self.agenda.clear()
        self._clear()
        if self._journal is not None:
            self._journal.clear()

    def close(self) -> None:
        self.agenda.stop()
        if self._journal is not None:
            self._journal.close()

    def charge_of(self, intent: Intent) -> Charge | None:
        return None if intent.latest_charge is None else self.charges.find(intent.latest_charge)

    def commit(
        self,
        changes: Changes,
        *,
        request_id: str | None = None,
        key: str | None = None,
        saved: Saved | None = None,
    ) -> None:
        """Apply one request's changes; `saved` is journalled here but finished by the caller."""
        for subject in changes.touched.values():
            self._keep(subject)
        moves = [self.ledger.record(changes.at, *move) for move in changes.moves]
        created = int(changes.at)
        events = [
            Event(new_id("evt_"), created, event_type, body, metadata, request_id, key)
            for event_type, body, metadata in changes.events
        ]
        for event in events:
            self.events.append(event)
        if self._journal is not None and (events or moves or saved):
            self._journal.append(_line(changes, events, moves, saved))
        for event in events:
            self.publish(event)

    def _keep(self, subject: object) -> None:
        """Add a new object to its log, and note what time will do to it."""
        if isinstance(subject, Intent):
            if self.intents.find(subject.id) is None:
                self.intents.append(subject)
            if subject.status == "requires_capture":
                self._schedule_expiry(subject)
        elif isinstance(subject, Charge):
            if self.charges.find(subject.id) is None:
                self.charges.append(subject)
        elif isinstance(subject, Refund) and self.refunds.find(subject.id) is None:
            self.refunds.append(subject)
            if subject.settles:
                self._schedule_settlement(subject)

    def _schedule_expiry(self, intent: Intent) -> None:
        charge = self.charge_of(intent)
        held_since = intent.created if charge is None else charge.created
        due = held_since + self.settings.authorization_lifetime_seconds
        self.agenda.add(due, partial(self._expire, intent))

    def _schedule_settlement(self, made: Refund) -> None:
        due = made.created + self.settings.refund_settles_seconds
        self.agenda.add(due, partial(self._settle, made))

    def _schedule_all(self) -> None:
        for intent in self.intents:
            if intent.status == "requires_capture":
                self._schedule_expiry(intent)
        for made in self.refunds:
            if made.settles:
                self._schedule_settlement(made)

    def _expire(self, intent: Intent) -> None:
        changes = Changes(self.clock.now())
        intents.expire(intent, self.charge_of(intent), changes)
        self.commit(changes)

    def _settle(self, made: Refund) -> None:
        intent, charge = self.intents.find(made.payment_intent), self.charges.find(made.charge)
        if intent is None or charge is None:
            return
        changes = Changes(self.clock.now())
        refunds.settle(made, intent, charge, changes)
        self.commit(changes)

    def _restore(self, line: dict[str, Any]) -> None:
        for name, kind, log in (
            ("intents", Intent, self.intents),
            ("charges", Charge, self.charges),
            ("refunds", Refund, self.refunds),
        ):
            for document in line[name]:
                _restore_object(log, kind(**document))
        for document in line["events"]:
            document["subject"] = compact_json(document["subject"])
            self.events.append(Event(**document))
        for document in line["moves"]:
            self.ledger.moves.append(Move(**document))
        saved = line["saved"]
        if saved is not None:
            saved["form"] = saved["form"].encode()
            saved["response"] = compact_json(saved["response"])
            self.keys.finish(Saved(**saved))


def _restore_object(log: Log[Any], restored: Any) -> None:
    known = log.find(restored.id)
    if known is None:
        log.append(restored)
        return
    for name in restored.__slots__:
        setattr(known, name, getattr(restored, name))


def _line(
    changes: Changes, events: list[Event], moves: list[Move], saved: Saved | None
) -> dict[str, Any]:
    subjects = changes.touched.values()
    return {
        "intents": [subject for subject in subjects if isinstance(subject, Intent)],
        "charges": [subject for subject in subjects if isinstance(subject, Charge)],
        "refunds": [subject for subject in subjects if isinstance(subject, Refund)],
        "events": [
            {
                "id": event.id,
                "created": event.created,
                "type": event.type,
                "subject": orjson.Fragment(event.subject),
                "metadata": event.metadata,
                "request_id": event.request_id,
                "idempotency_key": event.idempotency_key,
            }
            for event in events
        ],
        "moves": moves,
        "saved": None
        if saved is None
        else {
            "key": saved.key,
            "path": saved.path,
            "form": saved.form.decode("ascii"),
            "status": saved.status,
            "response": orjson.Fragment(saved.response),
            "request_id": saved.request_id,
            "at": saved.at,
        },
    }

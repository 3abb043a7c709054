"""Topologies of two releases: does every message that is under way still find its queue?

One guarantee: what this finds nothing against can be applied to the last release's topology while
its processes run, and no message of theirs gets lost.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from contract_gates.diff.messages import Release
from contract_gates.diff.notes import Cause, Notes, Place
from contract_gates.findings import Level

Topology = Mapping[str, Any]
_DERIVATION = Place("libs/contracts/src/contracts/generate/routes.py")
_QUEUES = ("queue", "dead_letters", "undelivered")
_DRAIN = "Take it back, or drain and move what is in the old one (docs/contracts.md)"


def compare_topologies(
    old: Topology, new: Topology, base: Release, head: Release, notes: Notes
) -> None:
    """What a change of the derived topology loses or leaves behind."""
    _bus(old, new, notes)
    _tables(old, new, notes)
    for name, was in old["services"].items():
        now = new["services"].get(name)
        if now is None:
            text = "the service {subjects} is gone, and what is in its queue {hit} with it"
            _note(
                notes,
                Place("contracts"),
                "service-removed",
                text,
                _DRAIN,
                name,
                was["queue"]["name"],
            )
            continue
        _queues(name, was, now, notes)
        place = notes.at(head.document(name), "operations")
        _receives(name, was, now, head, place, notes)
        _routes(name, was, now, head, place, notes)


def _bus(old: Topology, new: Topology, notes: Notes) -> None:
    if old["bus"] != new["bus"]:
        text = (
            f"the bus is {new['bus']} instead of {{subjects}}: old producers and new consumers no "
            "longer meet"
        )
        _note(notes, _DERIVATION, "bus-changed", text, "Keep its name", old["bus"])
    was, now = old["archive"], new["archive"]
    if was["name"] != now["name"]:
        text = (
            f"the archive is {now['name']} instead of {{subjects}}, so that what was kept cannot "
            "be replayed"
        )
        _note(notes, _DERIVATION, "archive-renamed", text, "Keep its name", was["name"])
    if now["retention_days"] < was["retention_days"]:
        days = f"{now['retention_days']} days instead of {was['retention_days']}"
        text = f"{{subjects}} keeps events {days}"
        remedy = "Keep the longer time: a replay reaches back as far as that"
        _note(notes, _DERIVATION, "retention-lowered", text, remedy, was["name"])
    if old.get("mail_domain") != new.get("mail_domain"):
        text = f"mails come from {new.get('mail_domain')} instead of {{subjects}}"
        remedy = "Have the new domain verified with the mail service before"
        _note(notes, _DERIVATION, "mail-domain-changed", text, remedy, str(old.get("mail_domain")),
              level="warning")  # fmt: skip


def _tables(old: Topology, new: Topology, notes: Notes) -> None:
    tables = {table["name"]: table for table in new["tables"]}
    for was in old["tables"]:
        now = tables.get(was["name"])
        if now is None:
            text = "the table {subjects} is gone, which processes of the last release still use"
            remedy = "Keep it for one release more, unused"
            _note(notes, _DERIVATION, "table-removed", text, remedy, was["name"])
            continue
        for part in ("key", "sort_key", "ttl_attribute"):
            if was.get(part) != now.get(part):
                text = (
                    f"the table {{subjects}} has the {part} {now.get(part)} instead of "
                    f"{was.get(part)}, which processes of the last release write"
                )
                remedy = "A key cannot be changed in place: make a new table and copy into it"
                _note(notes, _DERIVATION, "table-key-changed", text, remedy, was["name"])


def _queues(service: str, was: Topology, now: Topology, notes: Notes) -> None:
    for part in _QUEUES:
        old, new = was[part], now[part]
        if old["name"] != new["name"]:
            text = (
                f"the queue {{subjects}} of {service} is called {new['name']}: what is in the old "
                "one is left behind"
            )
            _note(notes, _DERIVATION, "queue-renamed", text, _DRAIN, old["name"])
        for field, rule, level, why in _LOWERED:
            if field in old and new[field] < old[field]:
                text = f"{{subjects}}: {field} is {new[field]} instead of {old[field]}; {why}"
                _note(
                    notes, _DERIVATION, rule, text, "Keep the larger one", old["name"], level=level
                )
    if was["queue"]["visibility_seconds"] != now["queue"]["visibility_seconds"]:
        seconds = now["queue"]["visibility_seconds"]
        before = was["queue"]["visibility_seconds"]
        text = (
            f"{{subjects}}: visibility_seconds is {seconds} instead of {before}, which workers of "
            "the last release count on"
        )
        remedy = "Make sure that their handlers end, or extend it, in less than the shorter time"
        _note(notes, _DERIVATION, "visibility-changed", text, remedy, was["queue"]["name"],
              level="warning")  # fmt: skip


_LOWERED: tuple[tuple[str, str, Level, str], ...] = (
    ("retention_seconds", "retention-lowered", "error",
     "what has been in it for longer is lost when this is applied"),
    ("max_receive_count", "receive-count-lowered", "error",
     "messages that have been tried that often become dead letters at once"),
)  # fmt: skip


def _receives(
    service: str, was: Topology, now: Topology, head: Release, place: Place, notes: Notes
) -> None:
    for name in sorted(set(was["receives"]) - set(now["receives"])):
        if name not in head.contracts.messages:
            continue  # It is gone altogether, which is reported as such.
        text = (
            f"{service} receives {{subjects}} no longer: what is in its queue becomes dead "
            "letters, and its workers of the last release get no more"
        )
        remedy = "Stop sending it first, and receive it for one release more"
        _note(notes, place, "receive-removed", text, remedy, name)
    for name in sorted(set(now["receives"]) - set(was["receives"])):
        text = (
            f"{service} receives {{subjects}} from now on; a worker of the last release beside the "
            "new ones, on the same queue, puts it among the dead letters"
        )
        remedy = f"Replace all workers of {service} before the topology and the senders, or redrive"
        _note(notes, place, "receive-added", text, remedy, name, level="warning")


def _routes(
    service: str, was: Topology, now: Topology, head: Release, place: Place, notes: Notes
) -> None:
    old, new = dict(_led(was)), dict(_led(now))
    for (name, source), retry in old.items():
        if name not in head.contracts.messages or name not in now["receives"]:
            continue  # Reported as such.
        if (name, source) not in new:
            text = (
                f"{{subjects}} from {source} is led to {service} no longer: what producers of the "
                "last release still send is lost"
            )
            remedy = f"Let {source} be able to send it for one release more"
            _note(notes, place, "source-removed", text, remedy, name)
            continue
        for field, value in retry.items():
            if new[name, source][field] < value:
                lower = new[name, source][field]
                text = f"{{subjects}}: the bus delivers with {field} {lower} instead of {value}"
                remedy = "Keep the larger one: it is what bridges an outage"
                _note(
                    notes, _DERIVATION, "retry-lowered", text, remedy, f"from {source} to {service}"
                )


def _led(service: Topology) -> Iterator[tuple[tuple[str, str], Mapping[str, int]]]:
    """Which message from which source comes to the service, and how stubbornly."""
    for rule in service["rules"]:
        for name in rule["pattern"]["detail-type"]:
            for source in rule["pattern"]["source"]:
                yield (name, source), rule["retry"]


def _note(
    notes: Notes,
    place: Place,
    rule: str,
    text: str,
    remedy: str,
    subject: str,
    hit: str | None = None,
    *,
    level: Level = "error",
) -> None:
    notes.add(
        Cause(place, f"diff/{rule}", text, remedy, level), subject, [] if hit is None else [hit]
    )

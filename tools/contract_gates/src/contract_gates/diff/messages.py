"""Messages of two releases: does each release's reader accept what the other's writer writes?

One guarantee: every message that the last release declares is either still declared in that very
version, and compared in both directions, or reported.

    old consumer    reads with the last release's schema what new producers write
    old message     written with the last release's schema, in a queue, among dead letters or in the
                    archive for up to 30 days, is read with the new one
"""

from collections.abc import Iterable
from dataclasses import dataclass

from contract_gates.diff.documents import Folder, Located
from contract_gates.diff.inclusion import FIELD_UNWRITTEN, NOTES, Reason, accepts, meaning
from contract_gates.diff.notes import Cause, Notes, Place, at, plain
from contract_gates.findings import Level
from contracts.generate.source import Contracts, Message

OUTSIDE = "whoever listens outside"
NEW_VERSION = (
    'Take it back, or add it as a new version beside this one (docs/contracts.md, "Evolve one")'
)
_ENVELOPE = "common/envelope.json"


@dataclass(frozen=True)
class Release:
    """One release's contracts, as both readings of them: what they declare, and where."""

    contracts: Contracts
    folder: Folder

    @property
    def messages(self) -> dict[tuple[str, int], Message]:
        """Every version of every message."""
        return {(each.name, each.version): each for each in self.contracts.all_messages}

    def schema(self, message: Message) -> Located:
        """The message's schema, its `$ref`s followed."""
        return self.folder.read(schema_file(message))

    def document(self, service: str) -> Located:
        """A service's AsyncAPI document; references to others' channels stay in their place."""
        return self.folder.read(f"{service}/asyncapi.yaml")

    def receivers(self, name: str) -> list[str]:
        """The services that receive a message; for a public event, others, too."""
        found = [s for s, names in self.contracts.receives.items() if name in names]
        message = self.contracts.messages.get(name)
        return [*found, OUTSIDE] if message is not None and message.public else found

    def senders(self, name: str) -> list[str]:
        """The services that send a message."""
        return [s for s, names in self.contracts.sends.items() if name in names]

    def versions_sent(self, service: str, name: str) -> set[int]:
        """What an operation may put on the bus: `messages` names some, else all the channel has."""
        versions: set[int] = set()
        for operation in self.document(service)["operations"].values():
            if operation["action"] == "send" and operation["channel"].get("address") == name:
                carried = operation.get("messages") or operation["channel"]["messages"].values()
                versions |= {int(each["payload"].document.data["$id"].rpartition(":")[2])
                             for each in carried}  # fmt: skip
        return versions


def schema_file(message: Message) -> str:
    """A message's schema by its name in the contracts folder."""
    return f"{message.owner}/schemas/{message.model}.json"


def compare_messages(base: Release, head: Release, notes: Notes) -> None:
    """What the messages' own schemas break, in both directions."""
    for key, old in base.messages.items():
        new = head.messages.get(key)
        if new is None:
            if key[0] not in head.contracts.messages:
                _removed(base, head, old, notes)
            continue  # Else another version of it is left: see versions.py.
        if head.contracts.messages[old.name].version > old.version:
            _kept(base, head, new, notes)
        else:
            _both_ways(base, head, new, notes)
    _envelope(base, head, notes)


def _both_ways(base: Release, head: Release, message: Message, notes: Notes) -> None:
    name = message.name
    old, new = base.schema(base.messages[name, message.version]), head.schema(message)
    readers = base.receivers(name)
    _forward(accepts(old, new), name, readers, head.senders(name), notes)
    _backward(accepts(new, old), name, head.receivers(name), notes)


def _envelope(base: Release, head: Release, notes: Notes) -> None:
    """It is around every message, and read by every service."""
    old, new = base.folder.read(_ENVELOPE), head.folder.read(_ENVELOPE)
    _forward(accepts(old, new), "every message's envelope", base.contracts.services,
             head.contracts.services, notes)  # fmt: skip
    _backward(accepts(new, old), "every message's envelope", head.contracts.services, notes)


def _forward(
    reasons: Iterable[Reason], name: str, readers: list[str], senders: list[str], notes: Notes
) -> None:
    if not readers:
        return
    for reason in reasons:
        place = notes.place_of(reason, is_reader_ours=False)
        why = plain(reason.text)
        if reason.kind == FIELD_UNWRITTEN:
            text = "{subjects} is no longer written, and old consumers may read it: {hit}"
            remedy = "Make sure that none of them needs it, or keep the field"
            cause = Cause(place, "diff/field-removed", text, remedy, "warning")
            notes.add(cause, at(name, reason.pointer), readers)
        elif reason.kind not in NOTES:
            text = (
                f"{{subjects}}: {why}; new producers ({{by}}) break the last release's "
                "consumers, who put such a message among their dead letters: {hit}"
            )
            cause = Cause(place, f"diff/old-consumer-{reason.kind}", text, NEW_VERSION)
            notes.add(cause, at(name, reason.pointer), readers, senders)


def _backward(reasons: Iterable[Reason], name: str, readers: list[str], notes: Notes) -> None:
    if not readers:
        return
    for reason in reasons:
        if reason.kind in NOTES:
            continue
        place = notes.place_of(reason, is_reader_ours=True)
        why = plain(reason.text)
        text = (
            f"{{subjects}}: {why}; messages of the last release that still lie in queues, "
            "dead letters or the archive break the new consumers: {hit}"
        )
        cause = Cause(place, f"diff/old-message-{reason.kind}", text, NEW_VERSION)
        notes.add(cause, at(name, reason.pointer), readers)


def _kept(base: Release, head: Release, message: Message, notes: Notes) -> None:
    """A version beside a newer one is history: it says what old messages are like."""
    old, new = base.schema(base.messages[message.name, message.version]), head.schema(message)
    if meaning(old) != meaning(new):
        text = (
            f"{{subjects}} version {message.version} differs from the last release's, "
            f"though version {head.contracts.messages[message.name].version} stands beside it"
        )
        remedy = "Leave the old version's schema as it was, and change the newest one"
        notes.add(Cause(notes.at(new), "diff/version-edited", text, remedy), message.name)


def _removed(base: Release, head: Release, old: Message, notes: Notes) -> None:
    readers, senders = base.receivers(old.name), base.senders(old.name)
    if not readers:
        return
    # Announced by the last release: whoever goes on now knows what is lost.
    level: Level = "warning" if base.schema(old).get("deprecated") else "error"
    place = Place(f"contracts/{old.owner}/asyncapi.yaml")
    if old.owner in head.contracts.sends:
        place = notes.at(head.document(old.owner), "channels")
    if not senders:
        text = (
            "{subjects} is gone, which nobody of the last release sends; what is still in the "
            "archive or among dead letters can no longer be handled by: {hit}"
        )
        remedy = "Empty the dead-letter queues first (docs/contracts.md)"
        notes.add(Cause(place, "diff/message-removed", text, remedy, "warning"), old.name, readers)
        return
    text = (
        "{subjects} is gone, which {by} sent: what is in queues can no longer be handled, and "
        "consumers of the last release wait for it in vain: {hit}"
    )
    remedy = (
        "Announce it first by `deprecated: true` in its schema, for a release; then stop the "
        "senders and drain the queues before this goes out"
    )
    cause = Cause(place, "diff/message-removed", text, remedy, level)
    notes.add(cause, old.name, readers, senders)

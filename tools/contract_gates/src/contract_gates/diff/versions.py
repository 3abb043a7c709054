"""A second major version beside the first: may it come in this release?

One guarantee: where this finds nothing, each version of a message that was ever sent and may still
arrive is either read by its own handler or turned into a newer one by a registered upcaster whose
result satisfies the newer schema, for the old schema's examples and for generated payloads alike.

    release n      version 1 sent and received
    release n + 1  version 2 beside it, received; the sending operation's `messages` names version 1
    release n + 2  version 2 sent; version 1 still received, through its upcaster
    release n + 3  version 1 goes, once its last messages have left queues and archive
"""

from typing import Any

import jsonschema_rs
from hypothesis import HealthCheck, Phase, given, settings

from contract_gates.diff.inclusion import meaning
from contract_gates.diff.messages import Release, schema_file
from contract_gates.diff.notes import Cause, Notes, plain
from contract_gates.diff.payloads import payloads
from contracts import Upcaster, Upcasters
from contracts.generate.source import Message

GENERATED_PAYLOADS = 100


def compare_versions(base: Release, head: Release, upcasters: Upcasters, notes: Notes) -> None:
    """What a new version, or the end of an old one, breaks."""
    for old in base.contracts.all_messages:
        if old.name in head.contracts.messages and (old.name, old.version) not in head.messages:
            _ended(base, head, old, notes)
    for new in head.contracts.all_messages:
        if new.name in base.contracts.messages and (new.name, new.version) not in base.messages:
            _sent_early(base, head, new, notes)
    for older in head.contracts.older:
        _upcast(head, older, upcasters, notes)


def _ended(base: Release, head: Release, old: Message, notes: Notes) -> None:
    readers = base.receivers(old.name)
    senders = [s for s in base.senders(old.name) if old.version in base.versions_sent(s, old.name)]
    if not readers or not senders:
        return
    newest = head.contracts.messages[old.name]
    text = (
        f"{{subjects}} version {old.version} is gone, which {{by}} of the last release may send: "
        "in queues, dead letters and the archive it can no longer be handled by: {hit}"
    )
    remedy = (
        f"Keep {schema_file(old)} as it was in the last release, on the same channel, and put "
        f"version {newest.version} beside it"
    )
    place = notes.at(head.schema(newest), "$id")
    notes.add(Cause(place, "diff/version-removed", text, remedy), old.name, readers, senders)


def _sent_early(base: Release, head: Release, new: Message, notes: Notes) -> None:
    readers = base.receivers(new.name)
    for sender in head.senders(new.name) if readers else ():
        if new.version not in head.versions_sent(sender, new.name):
            continue
        text = (
            f"{sender} may send {{subjects}} version {new.version}, which consumers of the last "
            "release do not know and put among their dead letters: {hit}"
        )
        remedy = (
            "In this release let it be received only: name the older version alone in the sending "
            "operation's `messages`; send the new one in the next release"
        )
        operations = notes.at(head.document(sender), "operations", f"send{new.name}")
        notes.add(Cause(operations, "diff/version-early", text, remedy), new.name, readers)


def _upcast(head: Release, older: Message, upcasters: Upcasters, notes: Notes) -> None:
    readers = head.receivers(older.name)
    step = (older.name, older.version)
    target = head.messages.get((older.name, older.version + 1))
    place = notes.at(head.schema(older), "$id")
    if target is None:
        text = (
            f"{{subjects}} version {older.version} stands here, and version {older.version + 1} not"
        )
        remedy = "Keep every version from the oldest one on: upcasters lead from one to the next"
        notes.add(Cause(place, "diff/version-gap", text, remedy), older.name)
    elif step not in upcasters:
        text = (
            f"{{subjects}} version {older.version} may still be in queues, and no upcaster leads "
            f"from it to version {target.version}: it ends among the dead letters of: {{hit}}"
        )
        remedy = (
            f'Register UPCASTERS["{older.name}", {older.version}] in '
            "libs/contracts/src/contracts/upcasters.py"
        )
        notes.add(Cause(place, "diff/upcaster-missing", text, remedy), older.name, readers)
    elif fault := upcaster_fault(upcasters[step], head.schema(older), head.schema(target)):
        text = (
            f"the upcaster of {{subjects}} from version {older.version} to {target.version} fails "
            f"{plain(fault)}; such messages end among the dead letters of: {{hit}}"
        )
        remedy = (
            "Mend it: whatever the old schema lets through must become valid (contracts.upcasters)"
        )
        notes.add(Cause(place, "diff/upcaster-wrong", text, remedy), older.name, readers)


def upcaster_fault(upcaster: Upcaster, old: dict[str, Any], new: dict[str, Any]) -> str | None:
    """What the upcaster makes of an old payload that is not right, in words; None if all is."""
    valid = jsonschema_rs.Draft202012Validator(meaning(new), validate_formats=True)

    def fault(data: Any) -> str | None:
        try:
            made = upcaster(data)
        except Exception as error:  # Whatever it raises, a handler would meet.
            return f"on {data}: {type(error).__name__}: {error}"
        for wrong in valid.iter_errors(made):
            return f"on {data}: it makes {made}, in which {wrong.message}"
        return None

    for example in old.get("examples", ()):
        if found := fault(example):
            return found
    return _generated_fault(fault, old)


def _generated_fault(fault: Any, old: dict[str, Any]) -> str | None:
    """The simplest of the generated payloads that the upcaster fails on."""
    failed: list[str] = []

    @settings(
        max_examples=GENERATED_PAYLOADS,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(payloads(old))
    def judge(data: Any) -> None:
        if found := fault(data):
            failed.append(found)
            raise _FaultFoundError

    try:
        judge()
    except _FaultFoundError:
        return failed[-1]
    return None


class _FaultFoundError(Exception):
    """Tells Hypothesis that a payload is one to make simpler."""

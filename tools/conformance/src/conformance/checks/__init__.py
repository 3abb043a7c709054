"""The rules, one file each; CHECKS has them in the order in which they are checked.

Guarantee: the order is from what all else stands on (it starts, it handles) to what is hardest on
the participant; `envelopes` comes after much has been sent, since it looks at all of it.
"""

from conformance.checks import (
    drain,
    duplicates,
    envelopes,
    handles,
    health,
    kill,
    outage,
    oversized,
    poison,
    reordering,
    stable_ids,
    traces,
    two_instances,
    unknown_fields,
    unknown_messages,
)
from conformance.verdicts import Check

CHECKS: tuple[Check, ...] = (
    health.CHECK,
    handles.CHECK,
    duplicates.CHECK,
    reordering.CHECK,
    unknown_fields.CHECK,
    unknown_messages.CHECK,
    poison.CHECK,
    oversized.CHECK,
    envelopes.CHECK,
    traces.CHECK,
    two_instances.CHECK,
    outage.CHECK,
    drain.CHECK,
    kill.CHECK,
    stable_ids.CHECK,
)

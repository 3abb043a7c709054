"""Two contracts folders: everything that the newer breaks.

One guarantee: where `compare` finds no error, processes of both releases can run side by side on
the same queues, and old clients and old messages are served.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contract_gates.diff.documents import Folder
from contract_gates.diff.http import compare_http
from contract_gates.diff.messages import Release, compare_messages
from contract_gates.diff.notes import Notes
from contract_gates.diff.topology import compare_topologies
from contract_gates.diff.versions import compare_versions
from contract_gates.findings import Finding
from contracts import UPCASTERS, Upcasters
from contracts.generate.routes import topology
from contracts.generate.source import read_contracts


def compare(
    base: Path,
    head: Path,
    *,
    upcasters: Upcasters = UPCASTERS,
    base_topology: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """What `head` breaks of what `base` promised, by file and line; both are contracts folders.

    `base_topology` is the document that the base was run with, where it is known: what is not in
    the contracts but in the derivation, such as retention times, is then compared as well. Raises
    ContractsError where one of the folders contradicts itself.
    """
    return compare_releases(
        read_release(base), read_release(head), upcasters=upcasters, base_topology=base_topology
    )


def compare_releases(
    old: Release,
    new: Release,
    *,
    upcasters: Upcasters = UPCASTERS,
    base_topology: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """As `compare`, of folders that have been read."""
    notes = Notes(new.folder.root)
    compare_messages(old, new, notes)
    compare_versions(old, new, upcasters, notes)
    compare_http(old, new, notes)
    old_topology = topology(old.contracts) if base_topology is None else base_topology
    compare_topologies(old_topology, topology(new.contracts), old, new, notes)
    return notes.findings


def read_release(folder: Path) -> Release:
    """A contracts folder, ready to be compared; raises ContractsError."""
    return Release(read_contracts(folder), Folder(folder))

"""Older versions of messages in the form of the newer: what still lies in queues stays of use.

One guarantee: only data that satisfy their own version's schema reach an upcaster, so an upcaster
may rely on all that the old contract promises.

    version 1 --UPCASTERS["ReserveStock", 1]--> version 2 --UPCASTERS["ReserveStock", 2]--> ...

An upcaster is a pure function from one version's data to those of the next. It lives for as long as
messages of its version may arrive: in queues, among dead letters, from the archive.
"""

from collections.abc import Callable, Mapping
from typing import Any

from contracts.validation import validate

Data = dict[str, Any]
Upcaster = Callable[[Mapping[str, Any]], Data]
Upcasters = Mapping[tuple[str, int], Upcaster]

# By the message's name and the version that the upcaster starts from.
UPCASTERS: Upcasters = {}


class NoUpcasterError(LookupError):
    """No upcaster leads from a version to the next; `name` and `version` say which is missing."""

    code = "no_upcaster"

    def __init__(self, name: str, version: int) -> None:
        super().__init__(
            f"no upcaster leads from {name} version {version} to version {version + 1}: register "
            f'UPCASTERS["{name}", {version}] in contracts.upcasters'
        )
        self.name = name
        self.version = version


def upcast(
    name: str, version: int, data: Data, *, to: int, upcasters: Upcasters | None = None
) -> Data:
    """The data of one version in the form of a newer one, step by step, each step checked.

    Raises NoUpcasterError; ContractViolationError where the data break their own version's schema;
    UnknownMessageError where the contracts no longer hold that version.
    """
    known = UPCASTERS if upcasters is None else upcasters
    for step in range(version, to):
        validate(name, step, data)
        if (name, step) not in known:
            raise NoUpcasterError(name, step)
        data = known[name, step](data)
    return data

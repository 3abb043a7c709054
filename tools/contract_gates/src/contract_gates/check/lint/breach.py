"""What a rule of the house says about a part of the contracts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from contract_gates.sources import Part, Sources


@dataclass(frozen=True, slots=True)
class Breach:
    """A part that breaks a rule, and what to do about it."""

    part: Part
    what: str
    remedy: str


# A rule's name is its function's; its docstring says which outage or confusion it keeps away.
Rule = Callable[[Sources], Iterator[Breach]]

"""Bugs that the fault tests have found in their subject, as the report tells of them.

Guarantee: none of its own.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bug:
    """One bug that was found and mended.

    `plan` is the shortest that shows it, with its scenario in front, or empty where it was found
    otherwise. `layer` says which test found it, `invariant` which invariant broke ('I6').
    """

    title: str
    cause: str
    plan: str
    layer: str
    invariant: str

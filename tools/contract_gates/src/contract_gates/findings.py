"""What a gate has to say: one finding a fault, with the place and the remedy.

One guarantee: a finding is never without a remedy, so whoever reads it knows what to do next.
"""

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# What reading a document of another shape than a gate takes for granted ends in.
OTHER_SHAPE = (AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
# A warning passes; it asks people to look.
Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong: where, by which rule, and what to do about it."""

    file: str  # relative to the repository's root, as in contracts/order/asyncapi.yaml
    line: int  # 1-based; 0 where a line says nothing
    rule: str  # e.g. lint/description, diff/field-removed
    message: str  # what is wrong
    remedy: str  # what to do
    level: Level = "error"

    def __str__(self) -> str:
        prefix = "warning: " if self.level == "warning" else ""
        return f"{prefix}{self.file}:{self.line}: {self.rule}: {self.message}. {self.remedy}"


def met(error: BaseException) -> str:
    """What a gate met in a document of another shape, and in which of its own lines."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error}, in {Path(last.filename).name}:{last.lineno}"

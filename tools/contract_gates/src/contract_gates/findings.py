"""What a gate finds, as every gate says it.

One guarantee: a finding reads as one line, `file:line: rule: what is wrong. what to do`, so that
people, editors and CI annotations read it alike.
"""

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong: where, by which rule, and what to do about it.

    `file` is relative to the repository's root; `line` counts from 1, and is 0 where a line says
    nothing; `rule` is '<gate>/<what>', such as lint/description or diff/field-removed.
    """

    file: str
    line: int
    rule: str
    message: str
    remedy: str
    level: Level = "error"

    def __str__(self) -> str:
        prefix = "warning: " if self.level == "warning" else ""
        return f"{prefix}{self.file}:{self.line}: {self.rule}: {self.message}. {self.remedy}"

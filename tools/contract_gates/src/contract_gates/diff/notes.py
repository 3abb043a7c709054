"""Gathers what the comparisons see, and turns it into findings: each cause once.

One guarantee: a change to a shared schema is one finding that lists all it touches, not one finding
for each message and endpoint that refers to it.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from contract_gates.diff.documents import Located
from contract_gates.diff.inclusion import Reason
from contract_gates.findings import Finding, Level

_SHOWN = 4


@dataclass(frozen=True)
class Place:
    """Where somebody would edit; `file` is relative to the repository's root."""

    file: str
    line: int = 0


@dataclass(frozen=True)
class Cause:
    """What several findings have in common. `text` has places for `{subjects}`, `{by}`, `{hit}`."""

    place: Place
    rule: str
    text: str
    remedy: str
    level: Level = "error"


@dataclass
class Notes:
    """The causes seen so far, with the messages or endpoints each touches and who is hit."""

    root: Path
    _seen: dict[Cause, "_Touched"] = field(default_factory=dict)

    def add(
        self, cause: Cause, subject: str = "", hit: Iterable[str] = (), by: Iterable[str] = ()
    ) -> None:
        """Take a cause down for one more subject: by whom it comes, and who is hit."""
        touched = self._seen.setdefault(cause, _Touched())
        touched.subjects[subject] = None
        touched.hit.update(hit)
        touched.by.update(by)

    def place_of(self, reason: Reason, *, is_reader_ours: bool) -> Place:
        """Where the edited side says what differs: its keyword, or else the object around it."""
        ours = reason.reader if is_reader_ours else reason.writer
        if not isinstance(ours, Located):
            return Place("contracts")
        if reason.keyword not in ours and ours.via is not None:
            return self.at(ours.via)  # What is referred to says nothing of it: the reference does.
        return self.at(ours, reason.keyword)

    def at(self, node: Located, *keys: str | int) -> Place:
        """Where a part of a document stands, as seen from the folder above the contracts."""
        relative = node.path.relative_to(self.root.resolve())
        return Place(f"contracts/{relative.as_posix()}", node.line(*keys))

    @property
    def findings(self) -> list[Finding]:
        """All of them, by file and line."""
        found = [
            Finding(
                cause.place.file,
                cause.place.line,
                cause.rule,
                cause.text.format(
                    subjects=_some(touched.subjects), by=_all(touched.by), hit=_all(touched.hit)
                ),
                cause.remedy,
                cause.level,
            )
            for cause, touched in self._seen.items()
        ]
        return sorted(found)


@dataclass
class _Touched:
    subjects: dict[str, None] = field(default_factory=dict)
    hit: set[str] = field(default_factory=set)
    by: set[str] = field(default_factory=set)


def _some(names: Collection[str]) -> str:
    shown = list(names)[:_SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _all(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "nobody"


def at(subject: str, pointer: str) -> str:
    """A message or a body, and where in it."""
    return f"{subject} {pointer}" if pointer else subject


def plain(text: str) -> str:
    """The text with its braces kept, for a Cause."""
    return text.replace("{", "{{").replace("}", "}}")

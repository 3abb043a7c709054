"""Which operation of a run is hit, and how: sites, faults and plans, each written on one line.

Guarantee: a plan's text and nothing else says what a run will meet, so a failure's report is its
reproduction.

    order-worker:commit(StockReserved):crash_after payment-web:put_events(PaymentVoided)#2:late
    ^process     ^what it does          ^fault                                         ^2nd time
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# What any operation may meet; an operation's twists come on top (see `Gate`).
KINDS: Mapping[str, str] = {
    "crash_before": "the process dies before the operation takes effect",
    "crash_after": "the process dies after it took effect, before hearing of it",
    "error_before": "the other side is out of reach; nothing happens",
    "error_after": "it takes effect, but the answer is lost",
    "pause_before": "the process stands still beyond every lease and deadline, then asks",
    "pause_after": "it takes effect; the process stands still before it goes on",
}
TWISTS: Mapping[str, str] = {
    "partial": "a part of the batch is refused",
    "duplicate": "it happens twice",
    "repeat": "the client below asks twice by itself, and hears the second answer",
    "late": "it takes effect beyond every lease and deadline",
    "reorder": "what comes later overtakes it",
    "lose": "it is confirmed, and lost",
    "refuse": "it takes no effect, and the answer says so: it may be tried again",
    "fail_before": "it takes no effect, and the answer is an error of the server's",
    "fail_after": "it takes effect, and the answer is an error of the server's",
    "forget": "it takes effect; then the bus, the queues and the tables forget everything",
}
_STRIKE = re.compile(r"([\w-]+):(\w+)\(([^)]*)\)(?:#(\d+))?:(\w+)")


class InvalidPlan(ValueError):
    """The text is no plan; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """One operation: the `nth` of its name on its subject by one process."""

    process: str
    operation: str
    subject: str
    nth: int = 1

    def __str__(self) -> str:
        nth = f"#{self.nth}" if self.nth > 1 else ""
        return f"{self.process}:{self.operation}({self.subject}){nth}"

    @property
    def place(self) -> str:
        """The site whatever its number: a row of the report's matrix."""
        return f"{self.process}:{self.operation}({self.subject})"


@dataclass(frozen=True, slots=True, order=True)
class Strike:
    """A fault at a site."""

    site: Site
    fault: str

    def __str__(self) -> str:
        return f"{self.site}:{self.fault}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The faults of one run. Which of them was met is only known after it."""

    strikes: tuple[Strike, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.strikes)) or "no fault"

    def __len__(self) -> int:
        return len(self.strikes)

    def plus(self, strike: Strike) -> "Plan":
        """This plan and one more fault."""
        return Plan((*self.strikes, strike))

    @property
    def faults(self) -> list[str]:
        """The kinds of faults."""
        return [strike.fault for strike in self.strikes]

    @classmethod
    def parse(cls, text: str) -> "Plan":
        """Read what `str` wrote; raises InvalidPlan."""
        if text.strip() in ("", "no fault"):
            return cls()
        return cls(tuple(_strike(word) for word in _words(text)))


def _words(text: str) -> Iterable[str]:
    # Subjects may hold spaces, so a word ends where the fault does.
    position = 0
    for found in _STRIKE.finditer(text):
        if text[position : found.start()].strip():
            raise InvalidPlan(f"{text[position : found.start()].strip()!r} is no fault at a site")
        position = found.end()
        yield found.group()
    if text[position:].strip():
        raise InvalidPlan(f"{text[position:].strip()!r} is no fault at a site")


def _strike(word: str) -> Strike:
    found = _STRIKE.fullmatch(word)
    assert found is not None
    process, operation, subject, nth, fault = found.groups()
    if fault not in KINDS and fault not in TWISTS:
        known = ", ".join([*KINDS, *TWISTS])
        raise InvalidPlan(f"{fault!r} is no kind of fault; there are {known}")
    return Strike(Site(process, operation, subject, int(nth or 1)), fault)

"""What a check is, and what can come of it.

Guarantee: a check that fails says what was expected, what was seen, why it matters and where the
rule is written; one that does not apply says why.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from conformance.stage import Stage


# Of an answer that is not what it should be, the beginning.
SHOWN = 200


class Verdict(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Check:
    """One rule. `run` answers with what it saw; it raises Failed or NotApplicable.

    `proves` is the claim, `why` the failure that the rule spares, `read` where it is written.
    """

    name: str
    proves: str
    why: str
    read: str
    run: "Callable[[Stage], Awaitable[str]]"


class Failed(Exception):
    """The participant broke the rule."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; seen: {seen}")
        self.expected = expected
        self.seen = seen


class NotApplicable(Exception):
    """The rule is about something that this participant does not do; the text says what."""


@dataclass(frozen=True)
class Result:
    """One line of the scorecard; `expected` is there where the check failed."""

    check: Check
    verdict: Verdict
    seen: str
    seconds: float
    expected: str | None = None


def document_in(response: "httpx.Response") -> Any:
    """The JSON in an answer; raises Failed where there is none."""
    try:
        return response.json()
    except ValueError:
        request = f"{response.request.method} {response.request.url.path}"
        raise Failed(f"JSON from {request}", response.text[:SHOWN]) from None


def require(holds: bool, *, expected: str, seen: object) -> None:
    """Raise Failed unless it holds."""
    if not holds:
        raise Failed(expected, str(seen))

"""Append-only collections and Stripe's cursor pagination over them.

Guarantee: walking pages by `starting_after` shows every object that existed at the first page
exactly once, whatever is added meanwhile, because cursors are ids and not offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from stripe_simulator import forms
from stripe_simulator.errors import invalid, missing

DEFAULT_LIMIT = 10
MAX_LIMIT = 100
PAGE_PARAMETERS = frozenset({"limit", "starting_after", "ending_before", "created", "expand"})


class Entry(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def created(self) -> int: ...


T = TypeVar("T", bound=Entry)


@dataclass(frozen=True, slots=True)
class Page:
    """What a list call asks for."""

    limit: int
    starting_after: str | None
    ending_before: str | None
    earliest: int  # created >= earliest
    latest: int  # created <= latest

    @classmethod
    def parse(cls, params: forms.Params) -> Page:
        limit = forms.integer(params, "limit")
        if limit is None:
            limit = DEFAULT_LIMIT
        if not 1 <= limit <= MAX_LIMIT:
            raise invalid(f"Invalid limit: must be between 1 and {MAX_LIMIT}", "limit")
        after, before = forms.text(params, "starting_after"), forms.text(params, "ending_before")
        if after and before:
            raise invalid(
                "You may only specify one of these parameters: starting_after, ending_before."
            )
        earliest, latest = 0, 1 << 62
        created = params.get("created")
        if isinstance(created, str) and created:
            earliest = latest = forms.integer(params, "created") or 0
        elif isinstance(created, dict):
            forms.only(created, ("gt", "gte", "lt", "lte"))
            bounds = {name: forms.integer(created, name) for name in created}
            earliest = max(bounds.get("gte") or 0, (bounds.get("gt") or -1) + 1)
            latest = min(
                latest if bounds.get("lte") is None else bounds["lte"] or 0,
                latest if bounds.get("lt") is None else (bounds["lt"] or 0) - 1,
            )
        return cls(limit, after, before, earliest, latest)


class Log(Generic[T]):
    """Objects in order of creation; `capacity` lets the oldest go."""

    def __init__(self, kind: str, capacity: int | None = None) -> None:
        self._kind = kind
        self._capacity = capacity
        self._entries: list[T] = []
        self._positions: dict[str, int] = {}
        self._forgotten = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries)

    def append(self, entry: T) -> None:
        self._positions[entry.id] = self._forgotten + len(self._entries)
        self._entries.append(entry)
        if self._capacity is not None and len(self._entries) > self._capacity * 5 // 4:
            surplus = len(self._entries) - self._capacity
            for forgotten in self._entries[:surplus]:
                del self._positions[forgotten.id]
            del self._entries[:surplus]
            self._forgotten += surplus

    def find(self, identifier: str) -> T | None:
        position = self._positions.get(identifier)
        return None if position is None else self._entries[position - self._forgotten]

    def get(self, identifier: str, param: str = "id", *, status: int = 404) -> T:
        """The object; raises StripeError resource_missing."""
        entry = self.find(identifier)
        if entry is None:
            raise missing(self._kind, identifier, param, status=status)
        return entry

    def page(self, page: Page, keep: Callable[[T], bool] | None = None) -> tuple[list[T], bool]:
        """The page, newest first, and whether more lie beyond it."""
        entries = self._entries
        if page.ending_before is not None:
            start = self._cursor(page.ending_before, "ending_before") + 1
            positions = range(start, len(entries))
        else:
            start = len(entries) - 1
            if page.starting_after is not None:
                start = self._cursor(page.starting_after, "starting_after") - 1
            positions = range(start, -1, -1)
        found: list[T] = []
        for position in positions:
            entry = entries[position]
            # `created` never decreases along the log, so the first entry past the far bound ends.
            if positions.step < 0 and entry.created < page.earliest:
                break
            if positions.step > 0 and entry.created > page.latest:
                break
            if not page.earliest <= entry.created <= page.latest:
                continue
            if keep is not None and not keep(entry):
                continue
            found.append(entry)
            if len(found) > page.limit:
                break
        more = len(found) > page.limit
        del found[page.limit :]
        if positions.step > 0:
            found.reverse()
        return found, more

    def _cursor(self, identifier: str, param: str) -> int:
        position = self._positions.get(identifier)
        if position is None:
            raise missing(self._kind, identifier, param, status=400)
        return position - self._forgotten

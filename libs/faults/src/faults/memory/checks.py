"""CHECK constraints that are declared as text, as closures over a row.

Guarantee: SQL's three-valued logic; what the little grammar below does not know is refused by
NotImplementedError when the table is made.

    or      and ("OR" and)*
    and     not ("AND" not)*
    not     "NOT" not | compared
    compared  sum ((">=" | "<=" | "<>" | "=" | ">" | "<") sum | "IS" "NOT"? "NULL"
                   | "NOT"? "IN" "(" sum ("," sum)* ")")?
    sum     atom (("+" | "-") atom)*
    atom    number | 'text' | column | "(" or ")"
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from faults.memory.logic import all_of, any_of, inverse, member, strict

Check = Callable[[Any, Any], Any]

_TOKEN = re.compile(r"\s*(?:(>=|<=|<>|[=<>+\-(),])|(\d+)|'((?:[^']|'')*)'|([A-Za-z_]\w*))")
_COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
}  # fmt: skip
_WORDS = frozenset({"AND", "OR", "NOT", "IN", "IS", "NULL"})


def parse_check(text: str, positions: Mapping[str, int]) -> Check:
    """The check as a function of ((values,), context): True, False, or None for unknown.

    `positions`: where in the values each column is.
    """
    parser = _Parser(text, positions)
    check = parser.disjunction()
    if parser.token is not None:
        raise parser.unknown()
    return check


class _Parser:
    def __init__(self, text: str, positions: Mapping[str, int]) -> None:
        self._text = text
        self._positions = positions
        self._at = 0
        self.token: tuple[str, Any] | None = None
        self._advance()

    def disjunction(self) -> Check:
        parts = [self._conjunction()]
        while self._took("OR"):
            parts.append(self._conjunction())
        return parts[0] if len(parts) == 1 else any_of(parts)

    def unknown(self) -> NotImplementedError:
        return NotImplementedError(f"the check {self._text!r} at {self._text[: self._at]!r}")

    def _conjunction(self) -> Check:
        parts = [self._negation()]
        while self._took("AND"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else all_of(parts)

    def _negation(self) -> Check:
        return inverse(self._negation()) if self._took("NOT") else self._comparison()

    def _comparison(self) -> Check:
        left = self._sum()
        if self._took("IS"):
            wants_null = not self._took("NOT")
            self._expect("NULL")
            return lambda rows, context: (left(rows, context) is None) is wants_null
        if self._took("NOT"):
            self._expect("IN")
            return inverse(self._listed(left))
        if self._took("IN"):
            return self._listed(left)
        for sign, compare in _COMPARED.items():
            if self._took(sign):
                return strict(compare, left, self._sum())
        return left

    def _listed(self, left: Check) -> Check:
        self._expect("(")
        items = [self._sum()]
        while self._took(","):
            items.append(self._sum())
        self._expect(")")
        return member(left, lambda rows, context: [item(rows, context) for item in items])

    def _sum(self) -> Check:
        total = self._atom()
        while True:
            if self._took("+"):
                total = strict(operator.add, total, self._atom())
            elif self._took("-"):
                total = strict(operator.sub, total, self._atom())
            else:
                return total

    def _atom(self) -> Check:
        if self._took("("):
            inner = self.disjunction()
            self._expect(")")
            return inner
        kind, value = self.token or ("", "")
        if kind == "value":
            self._advance()
            return lambda rows, context: value
        if kind == "name" and value in self._positions:
            self._advance()
            position = self._positions[value]
            return lambda rows, context: rows[0][position]
        raise self.unknown()

    def _took(self, word: str) -> bool:
        if self.token != ("sign", word):
            return False
        self._advance()
        return True

    def _expect(self, word: str) -> None:
        if not self._took(word):
            raise self.unknown()

    def _advance(self) -> None:
        if not self._text[self._at :].strip():
            self.token = None
            return
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise self.unknown()
        self._at = match.end()
        sign, number, quoted, name = match.groups()
        if sign or (name and name.upper() in _WORDS):
            self.token = ("sign", sign or name.upper())
        elif name:
            self.token = ("name", name)
        else:
            self.token = ("value", int(number) if number else quoted.replace("''", "'"))

"""DynamoDB's languages, as far as services write in them: conditions, updates and PartiQL.

Guarantee: a text is read once and then cached; one that is not fully understood is refused with
NotImplementedError, never guessed at.

    condition: NOT, AND, OR, parentheses, attribute_exists(a), attribute_not_exists(a), and
               a = :b with the other comparisons < <= > >=
    update:    SET a = :b, c = :d
    PartiQL:   INSERT INTO "table" VALUE {'a': ?, 'b': ?}
               UPDATE "table" SET "a" = ? SET "b" = ? WHERE "key" = ? AND "c" = ?
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

Attribute = Mapping[str, Any]
Item = Mapping[str, Attribute]
# Names and values that stand for themselves are looked up when a condition is asked.
Test = Callable[[Item, Mapping[str, str], Mapping[str, Attribute]], bool]
Operand = Callable[[Item, Mapping[str, str], Mapping[str, Attribute]], Attribute | None]

_TOKEN = re.compile(r"\s*([#:]?[A-Za-z_]\w*|<=|>=|<>|[=<>(),])")
_WORD = re.compile(r"[#]?[A-Za-z_]\w*")
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_KEYWORDS = {"AND", "OR", "NOT"}


@dataclass(frozen=True, slots=True)
class Condition:
    """A ConditionExpression, and the placeholders that it uses."""

    holds: Test
    names: frozenset[str]
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Update:
    """An UpdateExpression: attribute (or its placeholder) and value, and the placeholders."""

    assignments: tuple[tuple[str, str], ...]
    names: frozenset[str]
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Insert:
    """A PartiQL INSERT; the parameters are the attributes' values, in this order."""

    table: str
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A PartiQL UPDATE; the parameters are first what is set, then what is compared."""

    table: str
    assigned: tuple[str, ...]
    compared: tuple[str, ...]


@cache
def parse_condition(text: str) -> Condition:
    """Read a ConditionExpression."""
    tokens = _tokens(text)
    reader = _Reader(text, tokens)
    test = reader.alternatives()
    reader.expect_end()
    return Condition(test, _starting("#", tokens), _starting(":", tokens))


@cache
def parse_update(text: str) -> Update:
    """Read an UpdateExpression."""
    tokens = _tokens(text)
    if len(tokens) % 4 != 0 or tokens[:1] != ["SET"]:
        raise NotImplementedError(f"update {text!r}")
    assignments = []
    # SET a = :b , c = :d
    for start in range(0, len(tokens), 4):
        lead, name, sign, value = tokens[start : start + 4]
        if (lead, sign) != ("SET" if start == 0 else ",", "=") or value[0] != ":":
            raise NotImplementedError(f"update {text!r}")
        if not _WORD.fullmatch(name):
            raise NotImplementedError(f"update {text!r}")
        assignments.append((name, value))
    return Update(tuple(assignments), _starting("#", tokens), _starting(":", tokens))


_INSERT = re.compile(r"""INSERT INTO "([^"]+)" VALUE \{('\w+': \?(?:, '\w+': \?)*)\}""")
_CHANGE = re.compile(
    r"""UPDATE "([^"]+)"((?: SET "\w+" = \?)+) WHERE ("\w+" = \?(?: AND "\w+" = \?)*)"""
)


@cache
def parse_statement(text: str) -> Insert | Change:
    """Read a PartiQL statement."""
    if found := _INSERT.fullmatch(text):
        return Insert(found[1], tuple(re.findall(r"'(\w+)'", found[2])))
    if found := _CHANGE.fullmatch(text):
        assigned, compared = (tuple(re.findall(r'"(\w+)"', part)) for part in found.group(2, 3))
        return Change(found[1], assigned, compared)
    raise NotImplementedError(f"PartiQL {text!r}")


def same(left: Attribute | None, right: Attribute | None) -> bool:
    """Whether two attributes are equal, as numbers where they are numbers."""
    return _compare(operator.eq, left, right)


def _tokens(text: str) -> list[str]:
    tokens = []
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        found = _TOKEN.match(stripped, position)
        if found is None:
            raise NotImplementedError(f"expression {text!r} from {stripped[position:]!r} on")
        tokens.append(found[1])
        position = found.end()
    return tokens


def _starting(sign: str, tokens: list[str]) -> frozenset[str]:
    return frozenset(token for token in tokens if token[0] == sign)


class _Reader:
    """Recursive descent: one method a level of binding, the loosest first."""

    def __init__(self, text: str, tokens: list[str]) -> None:
        self._text = text
        self._tokens = tokens
        self._position = 0

    def alternatives(self) -> Test:
        tests = [self._conjunction()]
        while self._next_is("OR"):
            tests.append(self._conjunction())
        if len(tests) == 1:
            return tests[0]
        return lambda item, names, values: any(test(item, names, values) for test in tests)

    def expect_end(self) -> None:
        if self._position != len(self._tokens):
            raise self._refused()

    def _conjunction(self) -> Test:
        tests = [self._negation()]
        while self._next_is("AND"):
            tests.append(self._negation())
        if len(tests) == 1:
            return tests[0]
        return lambda item, names, values: all(test(item, names, values) for test in tests)

    def _negation(self) -> Test:
        if not self._next_is("NOT"):
            return self._primary()
        test = self._negation()
        return lambda item, names, values: not test(item, names, values)

    def _primary(self) -> Test:
        if self._next_is("("):
            test = self.alternatives()
            self._expect(")")
            return test
        first = self._take()
        if first in ("attribute_exists", "attribute_not_exists"):
            self._expect("(")
            attribute = self._operand(self._take())
            self._expect(")")
            if first == "attribute_exists":
                return lambda item, names, values: attribute(item, names, values) is not None
            return lambda item, names, values: attribute(item, names, values) is None
        left = self._operand(first)
        compare = _COMPARISONS.get(self._take())
        if compare is None:
            raise self._refused()
        right = self._operand(self._take())
        return lambda item, names, values: _compare(
            compare, left(item, names, values), right(item, names, values)
        )

    def _operand(self, token: str) -> Operand:
        if token.startswith(":"):
            return lambda item, names, values: values[token]
        if token.startswith("#"):
            return lambda item, names, values: item.get(names[token])
        if token in _KEYWORDS or not _WORD.fullmatch(token):
            raise self._refused()
        return lambda item, names, values: item.get(token)

    def _next_is(self, token: str) -> bool:
        if self._position < len(self._tokens) and self._tokens[self._position] == token:
            self._position += 1
            return True
        return False

    def _take(self) -> str:
        if self._position == len(self._tokens):
            raise self._refused()
        self._position += 1
        return self._tokens[self._position - 1]

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise self._refused()

    def _refused(self) -> NotImplementedError:
        return NotImplementedError(f"condition {self._text!r}")


def _compare(
    compare: Callable[[Any, Any], bool], left: Attribute | None, right: Attribute | None
) -> bool:
    """False when one is missing or of another type, as in DynamoDB."""
    if left is None or right is None:
        return False
    ((left_type, left_value),) = left.items()
    ((right_type, right_value),) = right.items()
    if left_type != right_type:
        return False
    if left_type == "N":
        return compare(_number(left_value), _number(right_value))
    if left_type != "S":
        raise NotImplementedError(f"a comparison of type {left_type}")
    return compare(left_value, right_value)


def _number(text: str) -> int | Decimal:
    return int(text) if text.isdigit() else Decimal(text)

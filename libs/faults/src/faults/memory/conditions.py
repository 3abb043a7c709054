"""DynamoDB's languages, as far as services write in them: conditions, updates and PartiQL.

Guarantee: a text is read once and then cached; one that is not fully understood is refused with
NotImplementedError, never guessed at.

    condition: NOT, AND, OR, parentheses, attribute_exists(a), attribute_not_exists(a), and
               a = :b with the other comparisons < <= > >=
    update:    SET a = :b, c = :d REMOVE e, f ADD n :o (numbers), each at most once, in any order
    key:       a = :b, perhaps with AND c < :d (another comparison) or AND begins_with(c, :d)
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
    """An UpdateExpression: attributes (or their placeholders), with values; the placeholders."""

    assignments: tuple[tuple[str, str], ...]
    removed: tuple[str, ...]
    added: tuple[tuple[str, str], ...]
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
    clauses = _clauses(text, tokens)
    return Update(
        tuple((name, value) for name, value in _terms(text, clauses.get("SET"), ["=", ":"])),
        tuple(name for (name,) in _terms(text, clauses.get("REMOVE"), [])),
        tuple((name, value) for name, value in _terms(text, clauses.get("ADD"), [":"])),
        _starting("#", tokens),
        _starting(":", tokens),
    )


def _clauses(text: str, tokens: list[str]) -> dict[str, list[str]]:
    clauses: dict[str, list[str]] = {}
    current: list[str] | None = None
    for token in tokens:
        if token in ("SET", "REMOVE", "ADD") and token not in clauses:
            current = clauses[token] = []
        elif current is None:
            raise NotImplementedError(f"update {text!r}")
        else:
            current.append(token)
    if not clauses or not all(clauses.values()):
        raise NotImplementedError(f"update {text!r}")
    return clauses


def _terms(text: str, tokens: list[str] | None, shape: list[str]) -> list[tuple[str, ...]]:
    """The terms of a clause between its commas, each a name and then what `shape` says: a sign, or
    ':' for the placeholder of a value; a sign is left out.
    """
    terms = []
    for term in _split(tokens, ",") if tokens is not None else []:
        name, *rest = term or [""]
        fits = len(rest) == len(shape) and all(
            token[0] == ":" if wanted == ":" else token == wanted
            for token, wanted in zip(rest, shape, strict=True)
        )
        if not fits or not _WORD.fullmatch(name):
            raise NotImplementedError(f"update {text!r}")
        terms.append((name, *(token for token in rest if token[0] == ":")))
    return terms


def _split(tokens: list[str], between: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == between:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


@dataclass(frozen=True, slots=True)
class KeyCondition:
    """A KeyConditionExpression: placeholders of the partition's value and of the sort key's."""

    key: str
    partition: str
    sort_key: str | None
    test: str
    bound: str

    @property
    def values(self) -> set[str]:
        """The placeholders."""
        return {self.partition, self.bound} if self.sort_key is not None else {self.partition}

    def fits(self, item: Item, values: Mapping[str, Attribute]) -> bool:
        """Whether it means the item."""
        if not same(item.get(self.key), values[self.partition]):
            return False
        if self.sort_key is None:
            return True
        if self.test == "begins_with":
            return str(item[self.sort_key]["S"]).startswith(values[self.bound]["S"])
        return _compare(_COMPARISONS[self.test], item[self.sort_key], values[self.bound])


_KEY = re.compile(
    r"(\w+) = (:\w+)(?: AND (?:(\w+) (=|<|<=|>|>=) (:\w+)|begins_with\((\w+), (:\w+)\)))?"
)


@cache
def parse_key_condition(text: str) -> KeyCondition:
    """Read a KeyConditionExpression."""
    found = _KEY.fullmatch(text)
    if found is None:
        raise NotImplementedError(f"key condition {text!r}")
    key, partition, compared, test, bound, begun, prefix = found.groups()
    if begun is not None:
        return KeyCondition(key, partition, begun, "begins_with", prefix)
    return KeyCondition(key, partition, compared, test or "", bound or "")


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

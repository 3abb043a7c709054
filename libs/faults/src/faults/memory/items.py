"""Tables of items with a string key, or two, and what one write does to one item.

Guarantee: a write happens as a whole when its condition holds, and not at all otherwise. What is in
a table is replaced, never changed.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from faults.memory.aws_client import refusal
from faults.memory.conditions import (
    Change,
    Insert,
    Item,
    KeyCondition,
    parse_condition,
    parse_statement,
    parse_update,
)

# Stands between the two keys in their text; no key of the product has a line break.
_BETWEEN = "\n"


class Table:
    """One table; `items` by the text of their key, or of both keys, one a line."""

    def __init__(self, name: str, key: str, sort_key: str | None = None) -> None:
        self.name = name
        self.key = key
        self.sort_key = sort_key
        self.items: dict[str, Item] = {}

    @property
    def keys(self) -> tuple[str, ...]:
        """The names of the attributes that tell items apart."""
        return (self.key,) if self.sort_key is None else (self.key, self.sort_key)

    def key_of(self, item: Item) -> str:
        """The text of the item's key."""
        if self.sort_key is None:
            return self._text(item, self.key)
        pair = self._text(item, self.key), self._text(item, self.sort_key)
        if any(_BETWEEN in text for text in pair):
            raise NotImplementedError(f"a key of {self.name} with a line break")
        return _BETWEEN.join(pair)

    def chosen(self, condition: KeyCondition, values: Mapping[str, Any]) -> list[Item]:
        """The items that a key condition means, in the order of their sort keys."""
        if condition.key != self.key or condition.sort_key not in (None, self.sort_key):
            raise NotImplementedError(f"a query by {condition.key} and {condition.sort_key}")
        found = [item for item in self.items.values() if condition.fits(item, values)]
        return sorted(found, key=self.key_of)

    def _text(self, item: Item, name: str) -> str:
        attribute = item.get(name)
        if attribute is None or attribute.keys() != {"S"}:
            raise NotImplementedError(f"an item of {self.name} without the key {name}")
        return str(attribute["S"])


class Statement:
    """A PartiQL statement with its parameters: what it assigns, and to which item."""

    __slots__ = ("assigned", "inserts", "table", "where")

    def __init__(self, statement: Mapping[str, Any]) -> None:
        if statement.keys() != {"Statement", "Parameters"}:
            raise NotImplementedError(f"a statement with {[*statement]}")
        parsed: Insert | Change = parse_statement(statement["Statement"])
        parameters = statement["Parameters"]
        self.table = parsed.table
        self.inserts = isinstance(parsed, Insert)
        if isinstance(parsed, Insert):
            self.assigned: Item = dict(zip(parsed.attributes, parameters, strict=True))
            self.where: Item = self.assigned
        else:
            count = len(parsed.assigned)
            self.assigned = dict(zip(parsed.assigned, parameters[:count], strict=True))
            self.where = dict(zip(parsed.compared, parameters[count:], strict=True))


class Write:
    """The condition of a write, its update, and the placeholders of both."""

    __slots__ = ("_condition", "_names", "_operation", "_update", "_values", "returns_old")

    def __init__(
        self,
        operation: str,
        update: str | None,
        *,
        ConditionExpression: str | None = None,
        ExpressionAttributeNames: Mapping[str, str] | None = None,
        ExpressionAttributeValues: Mapping[str, Any] | None = None,
        ReturnValuesOnConditionCheckFailure: str = "NONE",
        **others: Any,
    ) -> None:
        for other in others:
            raise NotImplementedError(other)
        self._operation = operation
        self._condition = parse_condition(ConditionExpression) if ConditionExpression else None
        self._update = parse_update(update) if update else None
        self._names = ExpressionAttributeNames or {}
        self._values = ExpressionAttributeValues or {}
        # Whether a refusal brings the item along that it found.
        self.returns_old = ReturnValuesOnConditionCheckFailure == "ALL_OLD"

    def holds(self, found: Item | None) -> bool:
        """Whether the condition does; raises where a placeholder has no use or value."""
        parts = [part for part in (self._condition, self._update) if part is not None]
        self._check_used("Names", self._names, (part.names for part in parts))
        self._check_used("Values", self._values, (part.values for part in parts))
        return self._condition is None or self._condition.holds(
            found or {}, self._names, self._values
        )

    def updated(self, table: Table, key: Item, found: Item | None) -> Item:
        """The item after the update; it is made where it is missing."""
        new = dict(key if found is None else found)
        if self._update is not None:
            for name, value in self._update.assignments:
                new[self._named(name)] = self._values[value]
            for name in self._update.removed:
                new.pop(self._named(name), None)
            for name, value in self._update.added:
                new[self._named(name)] = _sum(new.get(self._named(name)), self._values[value])
        if any(new.get(name) != key[name] for name in table.keys):
            raise refusal(self._operation, "ValidationException", "The key cannot be updated.")
        return new

    def _named(self, name: str) -> str:
        return self._names.get(name, name)

    def _check_used(
        self, kind: str, given: Mapping[str, Any], used: Iterable[frozenset[str]]
    ) -> None:
        if given.keys() != frozenset().union(*used):
            message = f"ExpressionAttribute{kind} differ from those used: {sorted(given)}"
            raise refusal(self._operation, "ValidationException", message)


def _sum(old: Mapping[str, Any] | None, added: Mapping[str, Any]) -> dict[str, str]:
    if added.keys() != {"N"} or (old is not None and old.keys() != {"N"}):
        raise NotImplementedError("ADD of what is no number")
    return {"N": str(Decimal(old["N"] if old is not None else 0) + Decimal(added["N"]))}

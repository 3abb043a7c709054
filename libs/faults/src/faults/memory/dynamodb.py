"""Tables with one string key, and the DynamoDB client of one process.

Guarantee: a write happens as a whole when its condition holds, and not at all otherwise. Nothing
expires by itself: DynamoDB may take days to delete what its TTL lets it delete.

Every conditional write can be made twice, by the twist 'repeat', with the second answer for an
answer: so it looks when the first was lost on its way and the client, as all of them do, tried
again by itself.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

from faults.gate import Gate
from faults.memory.aws_client import Client, ConditionalCheckFailedException, refusal
from faults.memory.conditions import (
    Change,
    Insert,
    Item,
    parse_condition,
    parse_statement,
    parse_update,
    same,
)

T = TypeVar("T")

# BatchExecuteStatement and BatchWriteItem both take 25 items (DynamoDB service quotas).
MAX_BATCH_ITEMS = 25

_CONDITION_FAILED = "The conditional request failed"


class Table:
    """One table; `items` by the text of their key. What is in it is replaced, never changed."""

    def __init__(self, name: str, key: str) -> None:
        self.name = name
        self.key = key
        self.items: dict[str, Item] = {}

    def key_of(self, item: Item) -> str:
        """The text of the item's key."""
        attribute = item.get(self.key)
        if attribute is None or attribute.keys() != {"S"}:
            raise NotImplementedError(f"an item of {self.name} without the key {self.key}")
        return str(attribute["S"])


class DynamoDbClient(Client):
    """All of a topology's tables. The keyword arguments are those of botocore."""

    exceptions = SimpleNamespace(ConditionalCheckFailedException=ConditionalCheckFailedException)

    def __init__(self, gate: Gate, unsupported: list[str], tables: Mapping[str, Table]) -> None:
        super().__init__(gate, unsupported)
        self._tables = tables

    async def batch_execute_statement(
        self, *, Statements: Sequence[Mapping[str, Any]], **others: Any
    ) -> dict[str, Any]:
        """The twist 'partial' throttles the first statement."""
        self._refuse_others("batch_execute_statement", others)
        try:
            parsed = [_Statement(each) for each in Statements]
        except NotImplementedError as missing:
            raise self._missing(str(missing)) from None
        keys = [self._statement_key(each) for each in parsed]
        known = [(each.table, key) for each, key in zip(parsed, keys, strict=True) if key]
        if len(set(known)) < len(known):
            # What DynamoDB does then is not documented.
            raise self._missing("batch_execute_statement with a key twice")

        def effect(twist: str | None) -> dict[str, Any]:
            if not 1 <= len(parsed) <= MAX_BATCH_ITEMS:
                raise refusal("BatchExecuteStatement", "ValidationException", "Statements")
            answers = []
            for index, statement in enumerate(parsed):
                if twist == "partial" and index == 0:
                    answers.append(_statement_error("ThrottlingError", "Throttled."))
                else:
                    answers.append(self._execute(statement))
            return {"Responses": answers}

        return await self._pass(
            "batch_execute_statement", keys, _repeatable(effect), ("partial", "repeat")
        )

    async def batch_write_item(
        self, *, RequestItems: Mapping[str, Sequence[Mapping[str, Any]]], **others: Any
    ) -> dict[str, Any]:
        """Puts only. The twist 'partial' leaves the first of them unwritten."""
        self._refuse_others("batch_write_item", others)
        puts: list[tuple[str, Item]] = []
        for name, requests in RequestItems.items():
            for request in requests:
                if request.keys() != {"PutRequest"}:
                    raise self._missing(f"batch_write_item with {[*request]}")
                puts.append((name, request["PutRequest"]["Item"]))
        keys = [self._key_text(name, item) for name, item in puts]

        def effect(twist: str | None) -> dict[str, Any]:
            if not 1 <= len(puts) <= MAX_BATCH_ITEMS:
                raise refusal("BatchWriteItem", "ValidationException", "RequestItems")
            if len(set(zip((name for name, _ in puts), keys, strict=True))) < len(puts):
                message = "Provided list of item keys contains duplicates"
                raise refusal("BatchWriteItem", "ValidationException", message)
            tables = [self._table("BatchWriteItem", name) for name, _ in puts]
            unwritten: dict[str, Any] = {}
            for index, (table, (name, item)) in enumerate(zip(tables, puts, strict=True)):
                if twist == "partial" and index == 0:
                    unwritten[name] = [{"PutRequest": {"Item": dict(item)}}]
                else:
                    table.items[table.key_of(item)] = dict(item)
            return {"UnprocessedItems": unwritten}

        return await self._pass("batch_write_item", keys, effect, ("partial",))

    async def get_item(
        self,
        *,
        TableName: str,
        Key: Item,
        ConsistentRead: bool = False,
        **others: Any,
    ) -> dict[str, Any]:
        self._refuse_others("get_item", others)
        if not ConsistentRead:
            raise self._missing("get_item without ConsistentRead, whose answer may be stale")

        def effect(_: str | None) -> dict[str, Any]:
            table = self._table("GetItem", TableName)
            found = table.items.get(table.key_of(Key))
            return {} if found is None else {"Item": dict(found)}

        return await self._pass("get_item", [self._key_text(TableName, Key)], effect)

    async def put_item(self, *, TableName: str, Item: Item, **arguments: Any) -> dict[str, Any]:
        write = self._write("PutItem", arguments)

        def effect(_: str | None) -> dict[str, Any]:
            table = self._table("PutItem", TableName)
            key = table.key_of(Item)
            write.check(table.items.get(key))
            table.items[key] = dict(Item)
            return {}

        keys = [self._key_text(TableName, Item)]
        return await self._pass("put_item", keys, _repeatable(effect), ("repeat",))

    async def update_item(
        self, *, TableName: str, Key: Item, UpdateExpression: str, **arguments: Any
    ) -> dict[str, Any]:
        write = self._write("UpdateItem", arguments, UpdateExpression)

        def effect(_: str | None) -> dict[str, Any]:
            table = self._table("UpdateItem", TableName)
            key = table.key_of(Key)
            found = table.items.get(key)
            write.check(found)
            new = dict(Key if found is None else found) | write.assigned()
            if new[table.key] != Key[table.key]:
                raise refusal("UpdateItem", "ValidationException", "The key cannot be updated.")
            table.items[key] = new
            return {}

        keys = [self._key_text(TableName, Key)]
        return await self._pass("update_item", keys, _repeatable(effect), ("repeat",))

    async def delete_item(self, *, TableName: str, Key: Item, **arguments: Any) -> dict[str, Any]:
        write = self._write("DeleteItem", arguments)

        def effect(_: str | None) -> dict[str, Any]:
            table = self._table("DeleteItem", TableName)
            key = table.key_of(Key)
            write.check(table.items.get(key))
            table.items.pop(key, None)
            return {}

        keys = [self._key_text(TableName, Key)]
        return await self._pass("delete_item", keys, _repeatable(effect), ("repeat",))

    def _table(self, operation: str, name: str) -> Table:
        table = self._tables.get(name)
        if table is None:
            message = "Requested resource not found"
            raise refusal(operation, "ResourceNotFoundException", message)
        return table

    def _key_text(self, table_name: str, item: Item) -> str:
        """For the gate; a table that does not exist is refused behind it."""
        table = self._tables.get(table_name)
        try:
            return "" if table is None else table.key_of(item)
        except NotImplementedError as missing:
            raise self._missing(str(missing)) from None

    def _write(
        self, operation: str, arguments: Mapping[str, Any], update: str | None = None
    ) -> "_Write":
        try:
            return _Write(operation, update, **arguments)
        except NotImplementedError as missing:
            raise self._missing(f"{operation}: {missing}") from None

    def _statement_key(self, statement: "_Statement") -> str:
        return self._key_text(statement.table, statement.where)

    def _execute(self, statement: "_Statement") -> dict[str, Any]:
        table = self._tables.get(statement.table)
        if table is None:
            return _statement_error("ResourceNotFound", "Requested resource not found")
        key = table.key_of(statement.where)
        found = table.items.get(key)
        if statement.inserts:
            if found is not None:
                message = "Duplicate primary key exists in table"
                return _statement_error("DuplicateItem", message, table.name)
            table.items[key] = statement.assigned
            return {"TableName": table.name}
        if found is None or not all(
            same(found.get(name), value) for name, value in statement.where.items()
        ):
            return _statement_error("ConditionalCheckFailed", _CONDITION_FAILED, table.name)
        table.items[key] = {**found, **statement.assigned}
        return {"TableName": table.name}


class _Statement:
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


class _Write:
    """The condition of a write, its update, and the placeholders of both."""

    __slots__ = ("_condition", "_names", "_old", "_operation", "_update", "_values")

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
        self._old = ReturnValuesOnConditionCheckFailure == "ALL_OLD"

    def check(self, found: Item | None) -> None:
        """Raise where the condition does not hold, or where a placeholder has no use or value."""
        parts = [part for part in (self._condition, self._update) if part is not None]
        self._check_used("Names", self._names, (part.names for part in parts))
        self._check_used("Values", self._values, (part.values for part in parts))
        if self._condition is None or self._condition.holds(found or {}, self._names, self._values):
            return
        raise ConditionalCheckFailedException(self._operation, found if self._old else None)

    def assigned(self) -> dict[str, Any]:
        """What the update sets."""
        assignments = self._update.assignments if self._update is not None else ()
        return {self._names.get(name, name): self._values[value] for name, value in assignments}

    def _check_used(
        self, kind: str, given: Mapping[str, Any], used: Iterable[frozenset[str]]
    ) -> None:
        if given.keys() != frozenset().union(*used):
            message = f"ExpressionAttribute{kind} differ from those used: {sorted(given)}"
            raise refusal(self._operation, "ValidationException", message)


def _repeatable(effect: Callable[[str | None], T]) -> Callable[[str | None], T]:
    """Perform the effect twice where the twist is 'repeat'."""

    def repeatable(twist: str | None) -> T:
        if twist == "repeat":
            effect(None)
            return effect(None)
        return effect(twist)

    return repeatable


def _statement_error(code: str, message: str, table: str | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"Error": {"Code": code, "Message": message}}
    if table is not None:
        answer["TableName"] = table
    return answer

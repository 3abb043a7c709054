"""The DynamoDB client of one process, on tables in memory.

Guarantee: a write happens as a whole when its condition holds, and not at all otherwise; so does a
transaction's every write when all of its conditions hold. Nothing expires by itself: DynamoDB may
take days to delete what its TTL lets it delete.

Every conditional write can be made twice, by the twist 'repeat', with the second answer for an
answer: so it looks when the first was lost on its way and the client, as all of them do, tried
again by itself. A transaction cannot: the client repeats it with its token, by which DynamoDB knows
it again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from faults.gate import Gate
from faults.memory.aws_client import (
    Client,
    ConditionalCheckFailedException,
    TransactionCanceledException,
    refusal,
)
from faults.memory.conditions import Item, parse_key_condition, same
from faults.memory.items import Statement, Table, Write

T = TypeVar("T")

# BatchExecuteStatement and BatchWriteItem both take 25 items, BatchGetItem and TransactWriteItems
# 100 (DynamoDB service quotas).
MAX_BATCH_ITEMS = 25
MAX_READ_ITEMS = 100
MAX_TRANSACTION_ITEMS = 100

_CONDITION_FAILED = "The conditional request failed"


class DynamoDbClient(Client):
    """All of a topology's tables. The keyword arguments are those of botocore."""

    exceptions = SimpleNamespace(
        ClientError=ClientError,
        ConditionalCheckFailedException=ConditionalCheckFailedException,
        TransactionCanceledException=TransactionCanceledException,
    )

    def __init__(self, gate: Gate, unsupported: list[str], tables: Mapping[str, Table]) -> None:
        super().__init__(gate, unsupported)
        self._tables = tables
        self._tokens: set[str] = set()

    async def batch_execute_statement(
        self, *, Statements: Sequence[Mapping[str, Any]], **others: Any
    ) -> dict[str, Any]:
        """The twist 'partial' throttles the first statement."""
        self._refuse_others("batch_execute_statement", others)
        try:
            parsed = [Statement(each) for each in Statements]
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
            _check(write, "PutItem", table.items.get(key))
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
            _check(write, "UpdateItem", found)
            table.items[key] = write.updated(table, Key, found)
            return {}

        keys = [self._key_text(TableName, Key)]
        return await self._pass("update_item", keys, _repeatable(effect), ("repeat",))

    async def delete_item(self, *, TableName: str, Key: Item, **arguments: Any) -> dict[str, Any]:
        write = self._write("DeleteItem", arguments)

        def effect(_: str | None) -> dict[str, Any]:
            table = self._table("DeleteItem", TableName)
            key = table.key_of(Key)
            _check(write, "DeleteItem", table.items.get(key))
            table.items.pop(key, None)
            return {}

        keys = [self._key_text(TableName, Key)]
        return await self._pass("delete_item", keys, _repeatable(effect), ("repeat",))

    async def batch_get_item(
        self, *, RequestItems: Mapping[str, Mapping[str, Any]], **others: Any
    ) -> dict[str, Any]:
        """The twist 'partial' leaves the first key unread."""
        self._refuse_others("batch_get_item", others)
        wanted: list[tuple[str, Item]] = []
        for name, request in RequestItems.items():
            if request.keys() != {"Keys", "ConsistentRead"} or not request["ConsistentRead"]:
                raise self._missing(f"batch_get_item with {[*request]}")
            wanted += [(name, key) for key in request["Keys"]]
        keys = [self._key_text(name, key) for name, key in wanted]

        def effect(twist: str | None) -> dict[str, Any]:
            if not 1 <= len(wanted) <= MAX_READ_ITEMS:
                raise refusal("BatchGetItem", "ValidationException", "RequestItems")
            if len(set(zip((name for name, _ in wanted), keys, strict=True))) < len(keys):
                message = "Provided list of item keys contains duplicates"
                raise refusal("BatchGetItem", "ValidationException", message)
            found: dict[str, Any] = {name: [] for name in RequestItems}
            unread: dict[str, Any] = {}
            for index, ((name, key), text) in enumerate(zip(wanted, keys, strict=True)):
                item = self._table("BatchGetItem", name).items.get(text)
                if twist == "partial" and index == 0:
                    unread[name] = {"Keys": [dict(key)], "ConsistentRead": True}
                elif item is not None:
                    found[name].append(dict(item))
            return {"Responses": found, "UnprocessedKeys": unread}

        return await self._pass("batch_get_item", keys, effect, ("partial",))

    async def query(
        self,
        *,
        TableName: str,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Mapping[str, Any],
        ConsistentRead: bool = False,
        Limit: int | None = None,
        ExclusiveStartKey: Item | None = None,
        **others: Any,
    ) -> dict[str, Any]:
        """Items of one partition in the order of their sort keys. A page has `Limit` items; what
        else ends one, a megabyte, is not modelled.
        """
        self._refuse_others("query", others)
        if not ConsistentRead:
            raise self._missing("query without ConsistentRead, whose answer may be stale")
        try:
            condition = parse_key_condition(KeyConditionExpression)
        except NotImplementedError as missing:
            raise self._missing(f"query: {missing}") from None

        def effect(_: str | None) -> dict[str, Any]:
            table = self._table("Query", TableName)
            if condition.values != ExpressionAttributeValues.keys():
                message = f"values differ from those used: {sorted(ExpressionAttributeValues)}"
                raise refusal("Query", "ValidationException", message)
            chosen = table.chosen(condition, ExpressionAttributeValues)
            if ExclusiveStartKey is not None:
                after = table.key_of(ExclusiveStartKey)
                chosen = [each for each in chosen if table.key_of(each) > after]
            page = chosen if Limit is None else chosen[:Limit]
            answer: dict[str, Any] = {"Items": [dict(each) for each in page], "Count": len(page)}
            if len(page) < len(chosen):
                answer["LastEvaluatedKey"] = {name: page[-1][name] for name in table.keys}
            return answer

        partition = ExpressionAttributeValues.get(condition.partition, {}).get("S", "")
        return await self._pass("query", [str(partition)], effect)

    async def transact_write_items(
        self,
        *,
        TransactItems: Sequence[Mapping[str, Any]],
        ClientRequestToken: str = "",
        **others: Any,
    ) -> dict[str, Any]:
        """All writes, or none. The twist 'refuse' says that another transaction is under way."""
        self._refuse_others("transact_write_items", others)
        if ClientRequestToken in self._tokens:
            raise self._missing("transact_write_items with a token twice")
        if ClientRequestToken:
            self._tokens.add(ClientRequestToken)
        writes = [self._transacted(each) for each in TransactItems]

        def effect(twist: str | None) -> dict[str, Any]:
            if not 1 <= len(writes) <= MAX_TRANSACTION_ITEMS:
                raise refusal("TransactWriteItems", "ValidationException", "TransactItems")
            if len({(each.table, each.text) for each in writes}) < len(writes):
                message = "Transaction request cannot include multiple operations on one item"
                raise refusal("TransactWriteItems", "ValidationException", message)
            if twist == "refuse":
                reasons = [{"Code": "TransactionConflict"}, *[{"Code": "None"}] * len(writes[1:])]
                raise TransactionCanceledException("TransactWriteItems", reasons)
            tables = [self._table("TransactWriteItems", each.table) for each in writes]
            pairs = list(zip(writes, tables, strict=True))
            reasons = [each.reason(table.items.get(each.text)) for each, table in pairs]
            if any(reason["Code"] != "None" for reason in reasons):
                raise TransactionCanceledException("TransactWriteItems", reasons)
            made = [each.item(table, table.items.get(each.text)) for each, table in pairs]
            for (each, table), item in zip(pairs, made, strict=True):
                if item is None:
                    table.items.pop(each.text, None)
                else:
                    table.items[each.text] = item
            return {}

        texts = [each.text for each in writes]
        return await self._pass("transact_write_items", texts, effect, ("refuse",))

    def _transacted(self, request: Mapping[str, Any]) -> "_Transacted":
        ((kind, arguments),) = request.items()
        if kind not in ("Put", "Update", "Delete", "ConditionCheck"):
            raise self._missing(f"transact_write_items with {kind}")
        rest = dict(arguments)
        table = rest.pop("TableName")
        key = rest.pop("Item" if kind == "Put" else "Key")
        write = self._write("TransactWriteItems", rest, rest.pop("UpdateExpression", None))
        return _Transacted(kind, table, self._key_text(table, key), key, write)

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
    ) -> Write:
        try:
            return Write(operation, update, **arguments)
        except NotImplementedError as missing:
            raise self._missing(f"{operation}: {missing}") from None

    def _statement_key(self, statement: Statement) -> str:
        return self._key_text(statement.table, statement.where)

    def _execute(self, statement: Statement) -> dict[str, Any]:
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


@dataclass(frozen=True, slots=True)
class _Transacted:
    """One write of a transaction: `key` is the whole item where it is a Put."""

    kind: str
    table: str
    text: str
    key: Item
    write: Write

    def reason(self, found: Item | None) -> dict[str, Any]:
        """Why it keeps the transaction from being made; the code 'None' where it does not."""
        if self.write.holds(found):
            return {"Code": "None"}
        old = {"Item": dict(found)} if self.write.returns_old and found is not None else {}
        return {"Code": "ConditionalCheckFailed", "Message": _CONDITION_FAILED, **old}

    def item(self, table: Table, found: Item | None) -> Item | None:
        """What is there afterwards."""
        if self.kind == "Put":
            return dict(self.key)
        if self.kind == "Update":
            return self.write.updated(table, self.key, found)
        return found if self.kind == "ConditionCheck" else None


def _check(write: Write, operation: str, found: Item | None) -> None:
    """Raise where the condition does not hold."""
    if not write.holds(found):
        raise ConditionalCheckFailedException(operation, found if write.returns_old else None)


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

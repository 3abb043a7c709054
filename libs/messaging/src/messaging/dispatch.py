"""From an envelope to the handler that its contract names.

Guarantee: no handler ever sees a payload that breaks its contract, nor one of an unknown version.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from contracts import (
    ContractViolationError,
    UnknownMessageError,
    message_type,
    message_type_of,
    parse,
)
from messaging.envelope import Envelope
from messaging.errors import ContractViolation, UnknownMessage
from messaging.transactions import Route, Transactions, W


class Handled(Protocol):
    """What says which message it is for."""

    @property
    def message(self) -> type[BaseModel]: ...


H = TypeVar("H", bound=Handled)


class Table(Generic[H]):
    """What handles which message, by its contract."""

    def __init__(self, handled: Iterable[H]) -> None:
        self._by_contract: dict[tuple[str, int], H] = {}
        for each in handled:
            contract = message_type_of(each.message)
            self._by_contract[(contract.name, contract.version)] = each

    def find(self, message: Envelope) -> tuple[H, BaseModel]:
        """What handles the message, and its payload; raises UnknownMessage, ContractViolation."""
        found = self._by_contract.get((message.type, message.version))
        if found is None:
            try:
                message_type(message.type, message.version)
            except UnknownMessageError as error:
                raise UnknownMessage(str(error)) from None
            raise UnknownMessage(f"nothing here handles {message.dataschema}")
        try:
            return found, parse(message.type, message.version, message.data)
        except ContractViolationError as error:
            raise ContractViolation(str(error)) from None


def dispatcher(
    routes: Iterable[Route[W]], transactions: Transactions[W]
) -> Callable[[Envelope], Awaitable[bool]]:
    """A `handle(envelope)` for the consumer."""
    table: Table[Route[Any]] = Table(routes)

    async def handle(message: Envelope) -> bool:
        route, payload = table.find(message)
        return await transactions.handle(message, payload, route)

    return handle

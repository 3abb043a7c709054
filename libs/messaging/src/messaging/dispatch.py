"""From an envelope to the handler that its contract names.

Guarantee: no handler ever sees a payload that breaks its contract, nor one of another version than
its own: what is older is upcast first, and what is unknown is refused.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from contracts import (
    UPCASTERS,
    ContractViolationError,
    NoUpcasterError,
    UnknownMessageError,
    Upcasters,
    message_type,
    message_type_of,
    parse,
    upcast,
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
    """What handles which message, by its contract: by the exact version, else by a newer one."""

    def __init__(self, handled: Iterable[H], upcasters: Upcasters = UPCASTERS) -> None:
        self._by_contract: dict[tuple[str, int], H] = {}
        self._upcasters = upcasters
        for each in handled:
            contract = message_type_of(each.message)
            self._by_contract[(contract.name, contract.version)] = each

    def find(self, message: Envelope) -> tuple[H, BaseModel]:
        """What handles the message, and its payload; raises UnknownMessage, ContractViolation."""
        name, version = message.type, message.version
        try:
            message_type(name, version)
            handled = self._version_handled(name, version)
            if handled is None:
                raise UnknownMessage(f"nothing here handles {message.dataschema}")
            data = message.data
            if handled != version:
                data = upcast(name, version, dict(data), to=handled, upcasters=self._upcasters)
            return self._by_contract[name, handled], parse(name, handled, data)
        except (UnknownMessageError, NoUpcasterError) as error:
            raise UnknownMessage(str(error)) from None
        except ContractViolationError as error:
            raise ContractViolation(str(error)) from None

    def _version_handled(self, name: str, version: int) -> int | None:
        """This version, or the next newer one that something handles."""
        if (name, version) in self._by_contract:
            return version
        newer = [each for known, each in self._by_contract if known == name and each > version]
        return min(newer, default=None)


def dispatcher(
    routes: Iterable[Route[W]], transactions: Transactions[W]
) -> Callable[[Envelope], Awaitable[bool]]:
    """A `handle(envelope)` for the consumer."""
    table: Table[Route[Any]] = Table(routes)

    async def handle(message: Envelope) -> bool:
        route, payload = table.find(message)
        return await transactions.handle(message, payload, route)

    return handle

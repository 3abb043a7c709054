"""From an envelope to the handler that its contract names.

Guarantee: no handler ever sees a payload that breaks its contract, nor one of an unknown version.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

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


def dispatcher(
    routes: Iterable[Route[W]], transactions: Transactions[W]
) -> Callable[[Envelope], Awaitable[bool]]:
    """A `handle(envelope)` for the consumer."""
    by_contract: dict[tuple[str, int], Route[Any]] = {}
    for route in routes:
        contract = message_type_of(route.message)
        by_contract[(contract.name, contract.version)] = route

    async def handle(message: Envelope) -> bool:
        route = by_contract.get((message.type, message.version))
        if route is None:
            try:
                message_type(message.type, message.version)
            except UnknownMessageError as error:
                raise UnknownMessage(str(error)) from None
            raise UnknownMessage(f"nothing here handles {message.dataschema}")
        try:
            payload = parse(message.type, message.version, message.data)
        except ContractViolationError as error:
            raise ContractViolation(str(error)) from None
        return await transactions.handle(message, payload, route)

    return handle

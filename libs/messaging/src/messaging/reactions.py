"""Runs the handlers of a service that keeps no SQL database, and so sends no messages either.

Guarantee: a message is recorded as handled only after its handler has returned, and deleted only
after that. So a crash at any point repeats the handler, which must stand that: its effect carries a
version or a record of its own.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from idempotency import Inbox
from messaging.dispatch import Table
from messaging.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Reaction:
    """A message and what is done about it; the handler gets the payload and its envelope."""

    message: type[BaseModel]
    handler: Callable[[Any, Envelope], Awaitable[None]]


def reactor(reactions: Iterable[Reaction], inbox: Inbox) -> Callable[[Envelope], Awaitable[bool]]:
    """A `handle(envelope)` for the consumer."""
    table = Table(reactions)

    async def handle(message: Envelope) -> bool:
        reaction, payload = table.find(message)
        await reaction.handler(payload, message)
        return await inbox.record(message.id, message.type)

    return handle

"""The few pieces of ASGI that both doors need, and a protocol whose connections can be cut."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

MAX_BODY_BYTES = 64 * 1024
TRANSPORT = "stripe_simulator.transport"


class BodyTooLarge(Exception):
    """More than MAX_BODY_BYTES were sent."""


class CuttableProtocol(HttpToolsProtocol):
    """Puts its transport into the scope, so that a fault can drop the connection mid-request."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


def cut(scope: Scope) -> bool:
    """Abort the connection; False when the server offers no way to."""
    extension = scope.get("extensions", {}).get(TRANSPORT)
    if extension is None:
        return False
    extension["transport"].abort()
    return True


async def read_body(receive: Receive) -> bytes:
    """Raises BodyTooLarge."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False):
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
        message = await receive()
        body += message.get("body", b"")
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge
    return body


async def reply(send: Send, status: int, body: bytes, extra: Headers | None = None) -> None:
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if extra:
        headers += extra
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

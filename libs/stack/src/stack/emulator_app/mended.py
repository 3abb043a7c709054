"""The emulator's application, with two things put right: long polls end when their client is gone,
and the mailbox is there again after a restart, as the tables are.

Guarantee: a ReceiveMessage whose connection is closed takes no message with it. MiniStack would
poll on for up to 20 s, and hide what comes for the visibility timeout from the consumer that was
started in the dead one's place. AWS ends the poll with the connection, too.

Runs in the emulator's own environment, so it imports nothing but MiniStack.
"""

import asyncio
import copy
import functools
import gc
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ministack.app import app as ministack  # type: ignore[import-not-found]
from ministack.services import _dynamodb_keywords as keywords  # type: ignore[import-not-found]
from ministack.services import ses

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# It reads the text of each PartiQL statement twice; ours have four texts.
keywords._tokenize = functools.lru_cache(maxsize=100)(keywords._tokenize)
# What its imports made is there to stay; its requests leave next to no cycles behind.
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 20, 50)

_state_of_ses, _restore_ses = ses.get_state, ses.load_persisted_state


def _with_mailbox() -> dict[str, Any]:
    return {**_state_of_ses(), "_sent_emails": copy.deepcopy(ses._sent_emails)}


def _restored_with_mailbox(state: dict[str, Any]) -> None:
    _restore_ses(state)
    if "_sent_emails" in state:
        ses._sent_emails.update(state["_sent_emails"])


ses.get_state, ses.load_persisted_state = _with_mailbox, _restored_with_mailbox

RECEIVE = (b"x-amz-target", b"AmazonSQS.ReceiveMessage")


async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """MiniStack's ASGI application."""
    if scope["type"] != "http" or RECEIVE not in scope["headers"]:
        await ministack(scope, receive, send)
        return
    parts = [await receive()]
    while parts[-1].get("more_body"):
        parts.append(await receive())
    unread = iter(parts)

    async def read() -> Message:
        part = next(unread, None)
        return part if part is not None else await receive()

    polling = asyncio.ensure_future(ministack(scope, read, send))
    hung_up = asyncio.ensure_future(receive())  # After the body comes nothing but the end.
    try:
        await asyncio.wait([polling, hung_up], return_when=asyncio.FIRST_COMPLETED)
        if polling.done():
            await polling
    finally:
        polling.cancel()
        hung_up.cancel()
        await asyncio.gather(polling, hung_up, return_exceptions=True)

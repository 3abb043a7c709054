"""Forgets cached books once the messages that changed their stock have committed.

Guarantee: a book is forgotten after the commit, never before, so that no reader can bring the old
stock back in between and keep it longer than the cache's limit.
"""

from collections.abc import Awaitable, Callable, Sequence

from catalog_service.cache import BookCache
from messaging import Envelope

Handle = Callable[[Envelope], Awaitable[bool]]


class Invalidation:
    """Remembers by message which books its batch changes, until its handling has returned."""

    def __init__(self, cache: BookCache) -> None:
        self._cache = cache
        self._changed: dict[str, Sequence[str]] = {}

    def expect(self, message_id: str, book_ids: Sequence[str]) -> None:
        """A batch with this message is about to commit changes of these books."""
        self._changed[message_id] = book_ids

    def after(self, handle: Handle) -> Handle:
        """The same `handle`, which then forgets what the message's batch has changed."""

        async def handle_and_forget(message: Envelope) -> bool:
            try:
                return await handle(message)
            finally:
                await self._cache.forget(self._changed.pop(message.id, ()))

        return handle_and_forget

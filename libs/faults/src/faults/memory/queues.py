"""Queues as SQS keeps them: messages that are visible, hidden for a while, or delayed.

Guarantee: a message is handed out to one receiver at a time while it is hidden, comes back when its
time is over, and is moved to the dead letters instead of being handed out once too often. A poll
that waits costs nothing until a message becomes visible to it.

    put --> visible --hand out--> hidden --delete--> (gone)
             ^  ^                   |
    delayed -+  +--- time is over --+

Nothing expires by retention: no test runs for days.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from faults.memory.aws_client import loop_time


@dataclass(slots=True, eq=False)
class Message:
    """A message in a queue. `type` is its detail-type; `receives` counts over all queues."""

    number: int
    type: str
    body: str
    attributes: dict[str, Any]
    receives: int = 0
    # When it comes back, by the loop's clock; its place in the queue's heap of hidden messages,
    # or 0 while it is visible.
    visible_at: float = 0.0
    hiding: int = 0
    # The poll that has seen it and whose request is on its way through the gate.
    promised_to: object | None = None

    @property
    def id(self) -> str:
        """As SQS would call it."""
        return uuid_of(self.number)

    def state(self, now: float) -> str:
        """'visible', 'hidden' (handed out) or 'delayed' (not yet)."""
        if not self.hiding or self.visible_at <= now:
            return "visible"
        return "hidden" if self.receives else "delayed"


class Queue:
    """One queue. `max_receive_count` and `dead_letters`: its redrive policy, if it has one."""

    def __init__(
        self,
        name: str,
        number: int,
        numbers: Iterator[int],
        *,
        visibility_seconds: float = 30,
        long_poll_seconds: float = 0,
        max_receive_count: int | None = None,
        dead_letters: "Queue | None" = None,
    ) -> None:
        self.name = name
        self.number = number
        self.visibility_seconds = visibility_seconds
        self.long_poll_seconds = long_poll_seconds
        self.max_receive_count = max_receive_count
        self.dead_letters = dead_letters
        self._numbers = numbers
        self._messages: dict[int, Message] = {}
        # What may be handed out now, in the order in which it became visible.
        self._ready: dict[int, Message] = {}
        # (time, place, message); an entry is out of date once the message's `hiding` is another.
        self._hidden: list[tuple[float, int, Message]] = []
        self._places = 0
        self._polls: deque[asyncio.Future[bool]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def messages(self) -> list[Message]:
        """Everything in it, in the order of arrival."""
        return list(self._messages.values())

    @property
    def bodies(self) -> list[str]:
        """The texts of everything in it."""
        return [each.body for each in self._messages.values()]

    def __len__(self) -> int:
        return len(self._messages)

    def put(
        self,
        body: str,
        message_type: str | None = None,
        *,
        attributes: dict[str, Any] | None = None,
        delay_seconds: float = 0,
    ) -> Message:
        """Add a message; its type is read from the body where the caller does not know it."""
        kind = type_of(body) if message_type is None else message_type
        message = Message(next(self._numbers), kind, body, attributes or {})
        self._add(message, delay_seconds)
        return message

    def _add(self, message: Message, delay_seconds: float = 0) -> None:
        self._messages[message.number] = message
        if delay_seconds > 0:
            self._hide(message, loop_time() + delay_seconds)
        else:
            self._show(message)

    def promise(self, poll: object, limit: int) -> list[Message]:
        """Up to `limit` visible messages that from now on no other poll sees.

        A poll hands them out, or gives them back with `give_back`.
        """
        if self._hidden:
            self._show_due(loop_time())
        promised: list[Message] = []
        ready = self._ready
        while ready and len(promised) < limit:
            message = ready.pop(next(iter(ready)))
            if self.max_receive_count is not None and message.receives >= self.max_receive_count:
                self._bury(message)
            else:
                message.promised_to = poll
                promised.append(message)
        self._wake()
        return promised

    def hand_out(
        self, poll: object, promised: Sequence[Message], seconds: float, *, stay: bool = False
    ) -> list[Message]:
        """Hide what was promised for some seconds; what is still there of it, with new receipts.

        It may come late, when the poll that asked is dead and has given everything back. `stay`:
        do not hide it, so that somebody else gets it too.
        """
        taken: list[Message] = []
        until = loop_time() + seconds
        for message in promised:
            if message.number not in self._messages or message.hiding:
                continue
            if message.promised_to is None:
                del self._ready[message.number]
            elif message.promised_to is not poll:
                continue
            message.promised_to = None
            message.receives += 1
            taken.append(message)
            if stay or seconds <= 0:
                self._show(message)
            else:
                self._hide(message, until)
        return taken

    def give_back(self, poll: object, promised: Sequence[Message]) -> None:
        """Show others again what was promised to the poll and not handed out."""
        for message in promised:
            if message.promised_to is poll:
                message.promised_to = None
                if message.number in self._messages:
                    self._show(message)

    async def wait(self, deadline: float) -> bool:
        """Until a message becomes visible (then True; another may be faster) or the deadline."""
        loop = asyncio.get_running_loop()
        if loop.time() >= deadline:
            # A poll without waiting lets others run too, as a request over the network does.
            await asyncio.sleep(0)
            return False
        poll: asyncio.Future[bool] = loop.create_future()
        self._polls.append(poll)
        self._set_timer()
        expiry = loop.call_at(deadline, _expire, poll)
        try:
            return await poll
        except asyncio.CancelledError:
            # Killed after it was woken and before it could look: the next one must.
            self._wake()
            raise
        finally:
            expiry.cancel()
            if poll in self._polls:
                self._polls.remove(poll)
            if not self._polls and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def receipt(self, message: Message) -> str:
        """The handle of the message's last receipt. Whatever came before it is superseded."""
        return f"{self.number}-{message.number}-{message.receives}-{message.type}"

    def find(self, receipt: str) -> Message | None:
        """The message of a receipt, unless it is gone or was received again.

        Raises ValueError for what is no receipt of this queue.
        """
        queue, number, receives, _ = receipt.split("-", 3)
        if int(queue) != self.number:
            raise ValueError(receipt)
        message = self._messages.get(int(number))
        return message if message is not None and message.receives == int(receives) else None

    def remove(self, message: Message) -> None:
        """Delete it for good, wherever it is."""
        del self._messages[message.number]
        self._ready.pop(message.number, None)
        message.hiding = 0
        message.promised_to = None

    def change_visibility(self, message: Message, seconds: float) -> bool:
        """Hide a message that is handed out from now on; False for one that is visible."""
        self._show_due(loop_time())
        if not message.hiding:
            return False
        if seconds > 0:
            self._hide(message, loop_time() + seconds)
        else:
            self._show(message)
        return True

    def clear(self) -> None:
        """Delete everything; polls go on waiting."""
        for message in self._messages.values():
            message.hiding = 0
            message.promised_to = None
        self._messages.clear()
        self._ready.clear()
        self._hidden.clear()

    def _bury(self, message: Message) -> None:
        assert self.dead_letters is not None
        self.remove(message)
        self.dead_letters._add(message)

    def _show(self, message: Message) -> None:
        message.hiding = 0
        self._ready[message.number] = message
        self._wake()

    def _hide(self, message: Message, until: float) -> None:
        self._places += 1
        message.hiding = self._places
        message.visible_at = until
        heapq.heappush(self._hidden, (until, self._places, message))
        if self._polls:
            self._set_timer()

    def _show_due(self, now: float) -> None:
        hidden = self._hidden
        while hidden and (hidden[0][0] <= now or hidden[0][2].hiding != hidden[0][1]):
            _, place, message = heapq.heappop(hidden)
            if message.hiding == place:
                self._show(message)

    def _wake(self) -> None:
        """Wake one poll if there is something for it; it wakes the next if it leaves something."""
        while self._ready and self._polls:
            poll = self._polls.popleft()
            if not poll.done():
                poll.set_result(True)
                return

    def _set_timer(self) -> None:
        """Wake up when the first hidden message becomes visible, while somebody waits for it."""
        hidden = self._hidden
        while hidden and hidden[0][2].hiding != hidden[0][1]:
            heapq.heappop(hidden)
        if not hidden:
            return
        due = hidden[0][0]
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._on_timer, due)

    def _on_timer(self, due: float) -> None:
        self._timer = None
        # A loop calls early by less than its clock can tell, so the time set counts.
        self._show_due(max(due, loop_time()))
        if self._polls:
            self._set_timer()


def _expire(poll: asyncio.Future[bool]) -> None:
    if not poll.done():
        poll.set_result(False)


def uuid_of(number: int) -> str:
    """An id that looks like those of AWS and depends on nothing but the number."""
    return f"00000000-0000-4000-8000-{number:012x}"


def type_of(body: str) -> str:
    """The detail-type of an EventBridge event, or 'unknown' for any other text."""
    try:
        return str(orjson.loads(body)["detail-type"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "unknown"

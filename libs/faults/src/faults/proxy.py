"""A TCP proxy that loses, delays and cuts what passes through it, on request.

Guarantee: without a rule each byte passes unchanged and in order, and so does the end of each
direction; a rule acts on bytes alone, so neither side can tell it from a network that does this.

    client --> [rule, rule, ...] --> server        TO_SERVER
           <-- [rule, rule, ...] <--               TO_CLIENT

It listens on 127.0.0.1 only. Rules come and go while connections are open.
"""

import asyncio
import contextlib
import enum
import socket
import struct
from collections import Counter

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
# What a PostgreSQL server answers once a COMMIT is durable: the message CommandComplete with the
# tag COMMIT (PostgreSQL, "Message Formats": 'C', length of itself and the text, the text, a zero).
POSTGRES_COMMIT = b"C\x00\x00\x00\x0bCOMMIT\x00"
# SO_LINGER with a linger of zero seconds: closing sends RST and drops what is unsent (tcp(7)).
_ABORTIVE = struct.pack("ii", 1, 0)


class Direction(enum.StrEnum):
    """Which way bytes go."""

    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"


class Cut(Exception):
    """A rule ends the connection, in both directions; `last` still passes."""

    def __init__(self, last: bytes = b"") -> None:
        super().__init__(f"cut, {len(last)} bytes pass")
        self.last = last


class Rule:
    """Lets everything through; what happens to a network is a class of its own."""

    def refuses(self) -> bool:
        """Whether a connection that is being opened is reset at once."""
        return False

    async def pass_on(self, connection: int, direction: Direction, data: bytes) -> bytes:
        """What of `data` goes on, now that this returns; empty data are the direction's end.

        Raises Cut.
        """
        return data

    def lift(self) -> None:
        """The rule has been taken away: nothing may wait in it any longer."""


class Refuse(Rule):
    """Nobody gets a new connection; what is open stays."""

    def refuses(self) -> bool:
        return True


class Delay(Rule):
    """Each piece comes later, as on a long or busy way."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def pass_on(self, connection: int, direction: Direction, data: bytes) -> bytes:
        await asyncio.sleep(self._seconds)
        return data


class Blackhole(Rule):
    """Nothing passes, and nobody is told; what was held arrives once the rule is lifted.

    `direction`: only that one. `connections`: only those, so that newer ones work: a device on the
    way has forgotten the old ones.
    """

    def __init__(
        self, direction: Direction | None = None, connections: frozenset[int] | None = None
    ) -> None:
        self._direction = direction
        self._connections = connections
        self._lifted = asyncio.Event()

    async def pass_on(self, connection: int, direction: Direction, data: bytes) -> bytes:
        if self._direction in (None, direction) and (
            self._connections is None or connection in self._connections
        ):
            await self._lifted.wait()
        return data

    def lift(self) -> None:
        self._lifted.set()


class CutAfter(Rule):
    """Cuts the first connection on which so many bytes have passed since the rule came."""

    def __init__(self, direction: Direction, count: int) -> None:
        self.fired = asyncio.Event()
        self._direction = direction
        self._count = count
        self._passed: Counter[int] = Counter()

    async def pass_on(self, connection: int, direction: Direction, data: bytes) -> bytes:
        if direction is not self._direction or self.fired.is_set():
            return data
        left = self._count - self._passed[connection]
        self._passed[connection] += len(data)
        if len(data) < left or not data:
            return data
        self.fired.set()
        raise Cut(data[:left])


class CutAtPattern(Rule):
    """Cuts where a pattern begins for the nth time in one direction; `keep` bytes of it pass.

    The connections are counted together. With POSTGRES_COMMIT the server has committed, and the
    client does not hear of it. Of a pattern that comes in two pieces the first has passed already.
    """

    def __init__(
        self, direction: Direction, pattern: bytes, *, keep: int = 0, nth: int = 1
    ) -> None:
        self.fired = asyncio.Event()
        self._direction = direction
        self._pattern = pattern
        self._keep = keep
        self._left = nth
        self._tails: dict[int, bytes] = {}

    async def pass_on(self, connection: int, direction: Direction, data: bytes) -> bytes:
        if direction is not self._direction or self.fired.is_set():
            return data
        tail = self._tails.get(connection, b"")
        seen = tail + data
        found = seen.find(self._pattern)
        while found >= 0:
            self._left -= 1
            if self._left == 0:
                self.fired.set()
                raise Cut(seen[len(tail) : found + self._keep])
            found = seen.find(self._pattern, found + len(self._pattern))
        # Shorter than the pattern, so that none is counted twice.
        self._tails[connection] = seen[max(len(seen) - len(self._pattern) + 1, 0) :]
        return data


class Proxy:
    """One listening port in front of one server."""

    def __init__(self, server_port: int, *, server_host: str = HOST, name: str = "") -> None:
        self.name = name
        self.port = 0
        self._server_address = (server_host, server_port)
        self._rules: list[Rule] = []
        self._listener: asyncio.Server | None = None
        self._connections: dict[int, _Connection] = {}
        self._opened = 0

    async def start(self, port: int = 0) -> None:
        """Listen; on any free port unless one is given."""
        self._listener = await asyncio.start_server(self._accept, HOST, port, limit=CHUNK_BYTES)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and reset what is open."""
        if self._listener is not None:
            self._listener.close()
        self.clear()
        self.reset()
        await asyncio.gather(*(each.gone.wait() for each in self._connections.values()))

    @property
    def connections(self) -> frozenset[int]:
        """The numbers of what is open; a number is never used twice."""
        return frozenset(self._connections)

    def add(self, rule: Rule) -> None:
        """From now on, behind the rules that are there."""
        self._rules.append(rule)

    def remove(self, rule: Rule) -> None:
        """No longer; nothing happens if it is gone already."""
        if rule in self._rules:
            self._rules.remove(rule)
        rule.lift()

    def clear(self) -> None:
        """Let everything through again."""
        for rule in tuple(self._rules):
            self.remove(rule)

    def reset(self, connections: frozenset[int] | None = None) -> int:
        """End what is open (or only those) by RST, to both sides; how many it was."""
        chosen = [n for n in self._connections if connections is None or n in connections]
        for number in chosen:
            self._connections[number].abort()
        return len(chosen)

    def half_close(self, direction: Direction) -> int:
        """Send an end (FIN) in that direction on all that is open, and nothing after it."""
        for connection in self._connections.values():
            connection.end(direction)
        return len(self._connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._opened += 1
        number = self._opened
        if any(rule.refuses() for rule in self._rules):
            _reset(writer)
            return
        connection = _Connection(number, self._rules, reader, writer)
        self._connections[number] = connection
        try:
            await connection.run(*self._server_address)
        finally:
            del self._connections[number]
            connection.gone.set()


class _Connection:
    """A pair of sockets, and what is carried between them."""

    def __init__(
        self,
        number: int,
        rules: list[Rule],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._number = number
        self._rules = rules
        self._client = reader, writer
        self._writers = {Direction.TO_CLIENT: writer}
        self._task = asyncio.current_task()
        self._ended: set[Direction] = set()
        self.gone = asyncio.Event()

    async def run(self, host: str, port: int) -> None:
        """Until both directions have ended, or either side is gone."""
        try:
            reader, writer = await asyncio.open_connection(host, port, limit=CHUNK_BYTES)
            self._writers[Direction.TO_SERVER] = writer
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._carry(self._client[0], Direction.TO_SERVER))
                tasks.create_task(self._carry(reader, Direction.TO_CLIENT))
        except* (OSError, Cut):
            self._abort_both()
        except* asyncio.CancelledError:
            self._abort_both()  # By `abort`; nobody waits for this task's result.
        else:
            for each in self._writers.values():
                each.close()

    def abort(self) -> None:
        """RST to both sides."""
        self._abort_both()
        if self._task is not None:
            self._task.cancel()

    def end(self, direction: Direction) -> None:
        """FIN in one direction; what still comes for it is thrown away."""
        writer = self._writers.get(direction)
        if writer is None or direction in self._ended:
            return
        self._ended.add(direction)
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _carry(self, reader: asyncio.StreamReader, direction: Direction) -> None:
        writer = self._writers[direction]
        while True:
            data = await reader.read(CHUNK_BYTES)
            at_end = not data
            try:
                for rule in tuple(self._rules):
                    data = await rule.pass_on(self._number, direction, data)
            except Cut as cut:
                if cut.last and direction not in self._ended:
                    writer.write(cut.last)
                    await writer.drain()
                raise
            if direction not in self._ended and data:
                writer.write(data)
                await writer.drain()
            if at_end:
                self.end(direction)
                return

    def _abort_both(self) -> None:
        for writer in self._writers.values():
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError, ValueError):  # It may be closed already.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORTIVE)
    writer.transport.abort()

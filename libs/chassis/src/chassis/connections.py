"""Kept-alive HTTP/1.1 connections to one address, for the calls that every message pays.

Guarantee: a request gets the whole answer that belongs to it, or raises; a connection on which
anything else happened (an error, a time-out, a caller that gave up) is closed and not used again.

It does next to nothing else, which is the point: a request costs a third of the CPU time of one in
a full client (ADR 7). Whoever asks sees to retries and redirects.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httptools

# Whatever lies in between (NAT, load balancers) may have forgotten an older one without a word.
MAX_IDLE_SECONDS = 15.0
# Ten messages of 1 MiB are the largest answer that anybody here asks for.
MAX_ANSWER_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpConnections:
    """At most `limit` connections to the host of `url`. Raises OSError or TimeoutError."""

    def __init__(
        self, url: str, *, limit: int, connect_seconds: float, answer_seconds: float
    ) -> None:
        parts = urlsplit(url)
        self.host = parts.netloc
        self._name = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._slots = asyncio.Semaphore(limit)
        self._idle: list[tuple[_Connection, float]] = []

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Ask for a target such as `/v1/refunds?limit=10`; `headers` name the host."""
        lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
        head = f"{method} {target} HTTP/1.1\r\n{''.join(lines)}content-length: {len(body)}\r\n\r\n"
        if head.count("\n") != len(lines) + 3 or head.count("\r") != len(lines) + 3:
            raise ValueError("a header or the target holds a line break")
        async with self._slots:
            connection = self._take_idle() or await self._open()
            try:
                async with asyncio.timeout(self._answer_seconds):
                    answer = await connection.ask(head.encode("latin-1") + body)
            except BaseException:
                connection.close()
                raise
            if connection.is_reusable:
                self._idle.append((connection, asyncio.get_running_loop().time()))
            else:
                connection.close()
            return answer

    def close(self) -> None:
        """Close what is idle; what is in use closes with its request."""
        while self._idle:
            self._idle.pop()[0].close()

    def _take_idle(self) -> "_Connection | None":
        while self._idle:
            connection, since = self._idle.pop()
            idle_seconds = asyncio.get_running_loop().time() - since
            if connection.is_reusable and idle_seconds < MAX_IDLE_SECONDS:
                return connection
            connection.close()
        return None

    async def _open(self) -> "_Connection":
        async with asyncio.timeout(self._connect_seconds):
            _, connection = await asyncio.get_running_loop().create_connection(
                _Connection, self._name, self._port, ssl=self._ssl
            )
        return connection


class _Connection(asyncio.Protocol):
    """One request at a time; httptools (llhttp) reads the answers."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._parser: Any = None
        self._answer: asyncio.Future[Answer] | None = None
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._is_whole = False

    @property
    def is_reusable(self) -> bool:
        """The last answer was whole, and the connection is open: also in the moment in which it is
        closed and nobody has been told yet, when uvloop says RuntimeError to who writes.
        """
        return self._is_whole and not self._transport.is_closing()

    def ask(self, request: bytes) -> "asyncio.Future[Answer]":
        """Send a request; the future ends with its answer."""
        if self._transport.is_closing():
            raise ConnectionResetError("the server closed the connection")
        self._is_whole = False
        self._headers, self._body, self._size = {}, [], 0
        self._parser = httptools.HttpResponseParser(self)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Drop the connection, whatever is under way on it."""
        self._is_whole = False
        self._transport.abort()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.close()  # Nobody asked for this: no telling whose answer it is.
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionError(f"no HTTP: {error}"))
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_whole = False
        self._fail(ConnectionResetError(str(error or "the server closed the connection")))

    def on_message_begin(self) -> None:
        if self._answer is None:
            self.close()  # The beginning of an answer that nobody asked for.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > MAX_ANSWER_BYTES:
            self._fail(ConnectionError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes"))
            self.close()
        else:
            self._body.append(part)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            self._headers = {}  # RFC 9110, 15.2: an interim response; the answer comes after it.
            return
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            self._is_whole = bool(self._parser.should_keep_alive())
            status = self._parser.get_status_code()
            answer.set_result(Answer(status, self._headers, b"".join(self._body)))
        else:
            self.close()  # Nobody asked for this: no telling whose answer it is.

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
